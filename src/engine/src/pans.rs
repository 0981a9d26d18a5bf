//! Where cards are looked up by their PAN's hash: buckets of one cache line, laid out
//! and touched for a named capacity at the start, as [`crate::index`] does it. An
//! entry names the card's row and the account's that the card draws on, so that both
//! rows are on their way from memory as soon as the bucket is there, and the account
//! does not wait for the card. What is decided goes by the card's row: an account
//! named here is worth a fetch and nothing more.
//!
//! Seven entries of nine bytes per bucket, at most six of them used on average:
//! 10.7 bytes per card when full. Cards are never taken out.

use crate::ids::{AccountIx, CardIx};
use crate::mix::mix1;
use crate::prepare::fetch;
use crate::table::{Reserved, laid_out};

const SLOTS: usize = 7;
const EMPTY: u32 = u32::MAX;
const AVERAGE_PER_BUCKET: u32 = 5;
/// In the last byte of [`Bucket::tags`]: an entry is in a later bucket, since this one was full.
const PASSED: u8 = 1;
const LOW_BITS: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each slot's byte.
const SLOT_BITS: u64 = 0x0080_8080_8080_8080;

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Bucket {
    /// Rows of cards; filled from the front.
    cards: [u32; SLOTS],
    /// Rows of their accounts.
    accounts: [u32; SLOTS],
    /// Eight bits of each hash, and [`PASSED`].
    tags: [u8; SLOTS + 1],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    const NEW: Self = Self {
        cards: [EMPTY; SLOTS],
        accounts: [EMPTY; SLOTS],
        tags: [0; SLOTS + 1],
    };

    /// The highest bit of each slot's byte whose tag may be this one; of those behind
    /// the first, a few that are not.
    #[inline(always)]
    const fn matches(&self, tag: u8) -> u64 {
        let differing = u64::from_le_bytes(self.tags) ^ (LOW_BITS * tag as u64);
        differing.wrapping_sub(LOW_BITS) & !differing & SLOT_BITS
    }

    #[inline(always)]
    const fn has_passed(&self) -> bool {
        self.tags[SLOTS] & PASSED != 0
    }
}

/// A card's row and its account's.
pub(crate) type Entry = (CardIx, AccountIx);

/// Cards by the hash of their PAN.
#[derive(Debug)]
pub(crate) struct Pans {
    buckets: Vec<Bucket>,
}

impl Pans {
    /// Room for `capacity` cards; touches all of it.
    pub fn with_capacity(capacity: u32, reserved: Reserved) -> Self {
        let buckets = capacity / AVERAGE_PER_BUCKET + 2;
        Self {
            buckets: laid_out(Bucket::NEW, buckets as usize, reserved),
        }
    }

    /// Where its buckets lie.
    pub fn addresses(&self) -> std::ops::Range<usize> {
        crate::table::addresses(&self.buckets)
    }

    #[inline(always)]
    fn place(&self, hash: u64) -> (usize, u8) {
        let mixed = mix1(hash);
        let bucket = ((mixed >> 32) * (self.buckets.len() as u64)) >> 32;
        (bucket as usize, mixed as u8)
    }

    /// Fetches the bucket of a hash.
    #[inline(always)]
    pub fn fetch(&self, hash: u64) {
        let (at, _) = self.place(hash);
        if let Some(bucket) = self.buckets.get(at) {
            fetch(bucket);
        }
    }

    /// The first that may be of this hash, so far as one bucket tells: to fetch its rows.
    #[inline(always)]
    pub fn likely(&self, hash: u64) -> Option<Entry> {
        let (at, tag) = self.place(hash);
        let bucket = self.buckets.get(at)?;
        let slot = bucket.matches(tag).trailing_zeros() as usize / 8;
        Some((
            CardIx(*bucket.cards.get(slot)?),
            AccountIx(*bucket.accounts.get(slot)?),
        ))
    }

    /// Of the cards whose PAN's hash may be this one, that which `is` the one.
    #[inline(always)]
    pub fn find(&self, hash: u64, is: impl Fn(CardIx) -> bool) -> Option<CardIx> {
        let (mut at, tag) = self.place(hash);
        for _ in 0..self.buckets.len() {
            let bucket = self.buckets.get(at)?;
            let mut matches = bucket.matches(tag);
            while matches != 0 {
                let slot = matches.trailing_zeros() as usize / 8;
                let card = CardIx(*bucket.cards.get(slot)?);
                if card.0 != EMPTY && is(card) {
                    return Some(card);
                }
                matches &= matches - 1;
            }
            if !bucket.has_passed() {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    #[inline(always)]
    const fn after(&self, at: usize) -> usize {
        if at + 1 == self.buckets.len() {
            0
        } else {
            at + 1
        }
    }

    /// Adds a card. `false` when the table is full, which its owner's capacity rules out.
    pub fn insert(&mut self, hash: u64, card: CardIx, account: AccountIx) -> bool {
        let (mut at, tag) = self.place(hash);
        for _ in 0..self.buckets.len() {
            let next = self.after(at);
            let Some(bucket) = self.buckets.get_mut(at) else {
                return false;
            };
            let free = bucket.cards.iter().position(|there| *there == EMPTY);
            if let Some(slot) = free
                && let (Some(to), Some(to_account), Some(to_tag)) = (
                    bucket.cards.get_mut(slot),
                    bucket.accounts.get_mut(slot),
                    bucket.tags.get_mut(slot),
                )
            {
                (*to, *to_account, *to_tag) = (card.0, account.0, tag);
                return true;
            }
            bucket.tags[SLOTS] |= PASSED;
            at = next;
        }
        false
    }

    /// Where a card that was put in with this hash stands.
    fn slot_of(&self, hash: u64, card: CardIx) -> Option<(usize, usize)> {
        let (mut at, _) = self.place(hash);
        for _ in 0..self.buckets.len() {
            let bucket = self.buckets.get(at)?;
            if let Some(slot) = bucket.cards.iter().position(|there| *there == card.0) {
                return Some((at, slot));
            }
            if !bucket.has_passed() {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// Names another account of a card that was put in with this hash.
    pub fn set_account(&mut self, hash: u64, card: CardIx, account: AccountIx) {
        if let Some((at, slot)) = self.slot_of(hash, card)
            && let Some(to) = self
                .buckets
                .get_mut(at)
                .and_then(|bucket| bucket.accounts.get_mut(slot))
        {
            *to = account.0;
        }
    }

    /// The account that is named of a card that was put in with this hash.
    pub fn account_of(&self, hash: u64, card: CardIx) -> Option<AccountIx> {
        let (at, slot) = self.slot_of(hash, card)?;
        let account = self.buckets.get(at)?.accounts.get(slot)?;
        Some(AccountIx(*account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u32) -> u64 {
        mix1(u64::from(n) ^ 0x1234_5678_9abc)
    }

    #[test]
    fn finds_each_card_of_a_full_table_and_no_stranger() {
        const CARDS: u32 = 10_000;
        let mut pans = Pans::with_capacity(CARDS, crate::table::UNTOLD);
        for n in 0..CARDS {
            assert!(pans.insert(hash(n), CardIx(n), AccountIx(n + 7)));
        }
        let mut looked_at = 0;
        let mut first = 0;
        for n in 0..CARDS {
            let seen = std::cell::Cell::new(0);
            let found = pans.find(hash(n), |card| {
                seen.set(seen.get() + 1);
                card == CardIx(n)
            });
            assert_eq!(found, Some(CardIx(n)));
            looked_at += seen.get();
            first += u32::from(pans.likely(hash(n)) == Some((CardIx(n), AccountIx(n + 7))));
        }
        assert!(looked_at < CARDS * 11 / 10, "{looked_at} looked at");
        // Those that stand in their own bucket, before any stranger of their tag.
        assert!(first > CARDS * 7 / 10, "{first} fetched at once");
        for n in CARDS..2 * CARDS {
            assert_eq!(pans.find(hash(n), |card| card == CardIx(n)), None);
        }
    }

    #[test]
    fn a_card_s_account_can_be_another_later() {
        let mut pans = Pans::with_capacity(100, crate::table::UNTOLD);
        for n in 0..100 {
            // Ten of each hash: some stand in later buckets.
            assert!(pans.insert(hash(n / 10), CardIx(n), AccountIx(n)));
        }
        for n in (0..100).step_by(3) {
            pans.set_account(hash(n / 10), CardIx(n), AccountIx(1000 + n));
        }
        for n in 0..100 {
            let account = if n % 3 == 0 { 1000 + n } else { n };
            let named = pans.account_of(hash(n / 10), CardIx(n));
            assert_eq!(named, Some(AccountIx(account)));
        }
        assert_eq!(pans.account_of(hash(0), CardIx(100)), None);
        pans.set_account(hash(0), CardIx(100), AccountIx(1));
    }

    #[test]
    fn a_full_table_says_so_and_ends_its_search() {
        let mut pans = Pans::with_capacity(1, crate::table::UNTOLD);
        let room = pans.buckets.len() * SLOTS;
        for n in 0..room as u32 {
            assert!(pans.insert(hash(n), CardIx(n), AccountIx(0)));
        }
        assert!(!pans.insert(0, CardIx(99), AccountIx(0)));
        assert_eq!(pans.find(hash(77), |_| false), None);
        assert_eq!(
            Pans::with_capacity(1, crate::table::UNTOLD).find(0, |_| true),
            None
        );
    }

    #[test]
    fn the_first_match_is_true_whatever_stands_around_it() {
        for tag in 0..=u8::MAX {
            for slot in 0..SLOTS {
                let mut bucket = Bucket::NEW;
                bucket.tags = std::array::from_fn(|n| tag.wrapping_sub(1 + n as u8 % 3));
                bucket.tags[slot] = tag;
                let matches = bucket.matches(tag);
                assert_eq!(matches.trailing_zeros() as usize / 8, slot, "{tag} {slot}");
            }
        }
    }
}
