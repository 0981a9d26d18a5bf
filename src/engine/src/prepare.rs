//! Fetching ahead: what deciding a batch of commands will read is brought into
//! the processor's caches, for all of them at once. Deciding one command walks
//! from a look-up bucket to a card to an account, and each step waits for the
//! one before; over a batch, the waits overlap. Nothing is decided here, and
//! nothing depends on it.

use crate::command::Request;
use crate::engine::{Engine, pan_hash};

/// Commands whose waits overlap: about as many as a processor has misses in flight.
const BLOCK: usize = 16;
const NOTHING: u32 = u32::MAX;

impl Engine {
    /// Fetches what deciding `requests` will read. Worth its while for two
    /// commands and more, such as all that one read of a socket brought.
    pub fn prepare<'a>(&self, requests: impl Iterator<Item = &'a Request>) {
        let mut requests = requests.peekable();
        while requests.peek().is_some() {
            let mut pans = [None; BLOCK];
            let mut fetched = 0u64;
            for (to, request) in pans.iter_mut().zip(requests.by_ref()) {
                let (identity, pan) = match request {
                    Request::Transaction(t) => (&t.identity, t.pan),
                    Request::Reversal(r) => (&r.identity, r.pan),
                    _ => continue,
                };
                fetched ^= self.memory.touch(identity.locator.max(1));
                *to = pan.map(pan_hash);
                if let (Some(index), Some(hash)) = (&self.by_pan, *to) {
                    fetched ^= index.touch(hash);
                }
            }
            fetched ^= self.fetch_rows(&pans);
            std::hint::black_box(fetched);
        }
    }

    fn fetch_rows(&self, pans: &[Option<u64>; BLOCK]) -> u64 {
        let mut fetched = 0u64;
        let mut cards = [NOTHING; BLOCK];
        for (card, pan) in cards.iter_mut().zip(pans) {
            if let (Some(index), Some(hash)) = (&self.by_pan, *pan) {
                // Perhaps a stranger's: then it was fetched in vain.
                *card = index.candidates(hash).next().unwrap_or(NOTHING);
            }
        }
        let mut accounts = [NOTHING; BLOCK];
        for (account, card) in accounts.iter_mut().zip(cards) {
            if let Some(row) = self.cards.get(card) {
                *account = row.account.0;
            }
        }
        for account in accounts {
            if let Some(row) = self.accounts.get(account) {
                fetched ^= row.touch();
            }
        }
        fetched
    }
}
