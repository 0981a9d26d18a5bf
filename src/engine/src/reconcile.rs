//! Reconciliation with networks: the figures of DE 74-89 and 97, what was compared
//! with which result, and what this side still owes a network (ISO 8583:1987,
//! 05xx messages; FIELD.md, "Reconciliation").

use std::collections::VecDeque;

use crate::command::Identity;
use crate::date::Date;
use crate::engine::Engine;
use crate::ids::{Currency, NetworkId, Seq, TimeUs};
use crate::limits::RECONCILIATIONS_KEPT;
use crate::mix;
use crate::night::DayEnd;
use crate::totals::{NetworkTotals, Tally};

/// DE 97, the net amount.
pub const NET: u8 = 97;
const FIRST: u8 = 74;
const LAST: u8 = 89;

/// The figures of a reconciliation, as far as they were sent: DE 74 to 81 counts,
/// 82 to 85 fees, 86 to 89 amounts, and 97 the net amount, signed. Each takes as
/// many bytes as its digits need: two of these must not make every event large.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// A bit an element: DE 74 the lowest, 97 the seventeenth.
    present: [u8; 3],
    counts_and_fees: [[u8; 5]; 12],
    amounts: [[u8; 7]; 4],
    net: [u8; 8],
}

const _: () = assert!(size_of::<Figures>() == 99);

impl Figures {
    /// None at all.
    pub const NONE: Self = Self {
        present: [0; 3],
        counts_and_fees: [[0; 5]; 12],
        amounts: [[0; 7]; 4],
        net: [0; 8],
    };

    /// The elements that a reconciliation has, ascending.
    pub fn elements() -> impl Iterator<Item = u8> {
        (FIRST..=LAST).chain([NET])
    }

    /// The bit of an element; `None` if it is none of these.
    const fn bit(element: u8) -> Option<u32> {
        match element {
            FIRST..=LAST => Some(1 << (element - FIRST)),
            NET => Some(1 << (LAST - FIRST + 1)),
            _ => None,
        }
    }

    const fn mask(&self) -> u32 {
        let [low, middle, high] = self.present;
        u32::from_le_bytes([low, middle, high, 0])
    }

    /// The largest value of an element: n10 counts, n12 fees, n16 amounts.
    #[must_use]
    pub const fn most(element: u8) -> i64 {
        match element {
            74..=81 => 9_999_999_999,
            82..=85 => 999_999_999_999,
            _ => 9_999_999_999_999_999,
        }
    }

    /// The value of an element; `None` when it was not sent, or is none of these.
    #[must_use]
    pub fn get(&self, element: u8) -> Option<i64> {
        if self.mask() & Self::bit(element)? == 0 {
            return None;
        }
        Some(match element {
            FIRST..=85 => {
                let place = self.counts_and_fees.get(usize::from(element - FIRST))?;
                let [a, b, c, d, e] = *place;
                i64::from_le_bytes([a, b, c, d, e, 0, 0, 0])
            }
            86..=LAST => {
                let [a, b, c, d, e, f, g] = *self.amounts.get(usize::from(element - 86))?;
                i64::from_le_bytes([a, b, c, d, e, f, g, 0])
            }
            _ => i64::from_le_bytes(self.net),
        })
    }

    /// With an element. `None` when that is none of these or the value has too
    /// many digits; only the net amount may be negative (a debit).
    #[must_use]
    pub fn with(mut self, element: u8, value: i64) -> Option<Self> {
        let least = if element == NET { -Self::most(NET) } else { 0 };
        if !(least..=Self::most(element)).contains(&value) {
            return None;
        }
        let bit = Self::bit(element)?;
        let [a, b, c, d, e, f, g, _] = value.to_le_bytes();
        match element {
            FIRST..=85 => {
                let place = usize::from(element - FIRST);
                *self.counts_and_fees.get_mut(place)? = [a, b, c, d, e];
            }
            86..=LAST => {
                *self.amounts.get_mut(usize::from(element - 86))? = [a, b, c, d, e, f, g];
            }
            _ => self.net = value.to_le_bytes(),
        }
        let [low, middle, high, _] = (self.mask() | bit).to_le_bytes();
        self.present = [low, middle, high];
        Some(self)
    }

    /// Those that are there, by element, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u8, i64)> {
        Self::elements().filter_map(|element| Some((element, self.get(element)?)))
    }

    /// The elements that are there and are others in `ours`: element, this side's
    /// value, the value in `ours` (0 when absent there).
    pub fn differences(&self, ours: &Self) -> impl Iterator<Item = (u8, i64, i64)> {
        self.iter()
            .map(|(element, value)| (element, value, ours.get(element).unwrap_or(0)))
            .filter(|(_, value, ours)| value != ours)
    }

    fn hash(&self, hash: u64) -> u64 {
        self.iter().fold(hash, |hash, (element, value)| {
            mix::mix6([hash, u64::from(element), value as u64, 0, 0, 0])
        })
    }
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    /// DE 66 = 1.
    InBalance = 1,
    /// DE 66 = 2: an exception.
    OutOfBalance = 2,
    /// The network would not compare what we sent: an exception.
    Refused = 3,
    /// DE 66 = 9: the network has received ours, and says no more.
    Received = 9,
}

impl Verdict {
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::InBalance),
            2 => Some(Self::OutOfBalance),
            3 => Some(Self::Refused),
            9 => Some(Self::Received),
            _ => None,
        }
    }

    /// What figures of a network come to beside ours: in balance when all that were
    /// sent are the same.
    #[must_use]
    pub fn of(theirs: &Figures, ours: &Figures) -> Self {
        if theirs.differences(ours).next().is_none() {
            Self::InBalance
        } else {
            Self::OutOfBalance
        }
    }

    /// Whether somebody should look at it.
    #[must_use]
    pub const fn is_exception(self) -> bool {
        matches!(self, Self::OutOfBalance | Self::Refused)
    }
}

/// Who asked for a reconciliation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Origin {
    /// The network, with its 0500 or 0520.
    Theirs = 1,
    /// This side, with its 0500 after the network's cutover.
    Ours = 2,
}

impl Origin {
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Theirs),
            2 => Some(Self::Ours),
            _ => None,
        }
    }
}

/// A reconciliation that is done: both sides' figures, and the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconciliation {
    /// The event.
    pub seq: Seq,
    /// Who asked.
    pub origin: Origin,
    /// What the network's message is recognised by; zeros where we asked.
    pub identity: Identity,
    /// With which network.
    pub network: NetworkId,
    /// Of which settlement date.
    pub settlement_date: Date,
    /// In which currency.
    pub currency: Currency,
    /// What came of it.
    pub verdict: Verdict,
    /// Our figures at that sequence, or as we sent them.
    pub ours: Figures,
    /// The network's, as far as it sent them.
    pub theirs: Figures,
}

/// A reconciliation that this side asks for, and that is not answered yet: the
/// message follows from it, after a restart as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The event; DE 11 follows from it.
    pub seq: Seq,
    /// When; DE 7 follows from it.
    pub time_us: TimeUs,
    /// Of which settlement date.
    pub settlement_date: Date,
    /// In which currency.
    pub currency: Currency,
    /// Our figures at that sequence.
    pub ours: Figures,
}

/// A cutover of the bank that a network has not acknowledged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The event of the cutover; DE 11 follows from it.
    pub seq: Seq,
    /// Its time; DE 7 follows from it.
    pub time_us: TimeUs,
    /// The date that it closed.
    pub closed: Date,
}

/// What is known of one network's reconciliations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkBook {
    pub network: NetworkId,
    /// What this side has asked and has no answer to.
    pub asked: Option<Asked>,
    /// The newest cutover of the bank that the network has acknowledged.
    pub announced: Option<Date>,
    /// What this side has asked and was answered; ascending.
    pub answered: Vec<(Date, Currency)>,
    /// The newest, oldest first.
    pub kept: VecDeque<Reconciliation>,
}

/// All networks', by network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub networks: Vec<NetworkBook>,
}

impl Books {
    pub fn of(&self, network: NetworkId) -> Option<&NetworkBook> {
        let at = self
            .networks
            .binary_search_by_key(&network, |book| book.network)
            .ok()?;
        self.networks.get(at)
    }

    pub fn of_mut(&mut self, network: NetworkId) -> Option<&mut NetworkBook> {
        let found = self
            .networks
            .binary_search_by_key(&network, |book| book.network);
        let at = match found {
            Ok(at) => at,
            Err(at) => {
                let book = NetworkBook {
                    network,
                    asked: None,
                    announced: None,
                    answered: Vec::new(),
                    kept: VecDeque::new(),
                };
                self.networks.insert(at, book);
                at
            }
        };
        self.networks.get_mut(at)
    }

    /// Forgets what was answered for dates up to and with `last`, as the totals are.
    pub fn forget(&mut self, last: Date) {
        for book in &mut self.networks {
            book.answered.retain(|(date, _)| *date > last);
        }
    }

    /// Into the state hash; a journal without reconciliations hashes as ever.
    pub fn hash(&self, mut hash: u64) -> u64 {
        for book in &self.networks {
            hash = mix::mix6([
                hash,
                u64::from(book.network.0),
                book.asked.map_or(0, |asked| asked.seq),
                book.announced.map_or(0, |date| u64::from(date.0) + 1),
                book.answered.len() as u64,
                book.kept.len() as u64,
            ]);
            if let Some(asked) = &book.asked {
                hash = asked.ours.hash(hash);
            }
            for done in &book.kept {
                let what = u64::from(done.settlement_date.0) << 32
                    | u64::from(done.currency.0) << 16
                    | (done.origin as u64) << 8
                    | done.verdict as u64;
                hash = mix::mix6([hash, done.seq, what, done.identity.key, 0, 0]);
                hash = done.theirs.hash(done.ours.hash(hash));
            }
        }
        hash
    }
}

impl NetworkBook {
    /// Keeps a reconciliation, and forgets the oldest beyond the bound.
    pub fn keep(&mut self, done: Reconciliation) {
        if self.kept.len() >= RECONCILIATIONS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(done);
    }
}

/// A count of postings and its amount, as two figures.
fn tally(figures: Figures, tally: Tally, count: u8, amount: Option<u8>) -> Option<Figures> {
    let figures = figures.with(count, i64::try_from(tally.count).ok()?)?;
    match amount {
        Some(amount) => figures.with(amount, i64::try_from(tally.amount_minor).ok()?),
        None => Some(figures),
    }
}

/// Totals as the elements of a reconciliation: authorisations and fees (DE 81 to
/// 85) are zero. DE 97 is what the network pays less what it gets: credits and
/// reversed debits less debits and reversed credits. `None` when a figure has more
/// digits than its element.
fn figures(totals: &NetworkTotals) -> Option<Figures> {
    let mut all = Figures::NONE;
    all = tally(all, totals.credits, 74, Some(86))?;
    all = tally(all, totals.credit_reversals, 75, Some(87))?;
    all = tally(all, totals.debits, 76, Some(88))?;
    all = tally(all, totals.debit_reversals, 77, Some(89))?;
    all = tally(all, totals.transfers, 78, None)?;
    all = tally(all, totals.transfer_reversals, 79, None)?;
    all = all.with(80, i64::try_from(totals.inquiries).ok()?)?;
    for element in 81..=85 {
        all = all.with(element, 0)?;
    }
    let amount = |element| all.get(element).unwrap_or(0);
    // Four numbers of 16 digits each: far within 64 bits.
    let net = amount(86) - amount(87) - amount(88) + amount(89);
    all.with(NET, net)
}

impl Engine {
    /// Our figures of a network's settlement date in a currency; zeros where nothing
    /// is known of it. `None` when one has more digits than its element.
    #[must_use]
    pub fn figures(&self, network: NetworkId, date: Date, currency: Currency) -> Option<Figures> {
        let key = (network, date, currency);
        match self.totals.network(key) {
            Some(totals) => figures(totals),
            None => figures(&NetworkTotals::new(key)),
        }
    }

    /// A kept reconciliation, by the event that it came with.
    #[must_use]
    pub fn reconciliation(&self, seq: Seq) -> Option<&Reconciliation> {
        self.books
            .networks
            .iter()
            .find_map(|book| book.kept.iter().rev().find(|done| done.seq == seq))
    }

    /// The kept reconciliations, by network, oldest first.
    pub fn reconciliations(&self) -> impl Iterator<Item = &Reconciliation> {
        self.books.networks.iter().flat_map(|book| &book.kept)
    }

    /// The newest cutover of the bank, if this network has not acknowledged it.
    #[must_use]
    pub fn unannounced(&self, network: NetworkId) -> Option<Announcement> {
        let announced = self.books.of(network).and_then(|book| book.announced);
        let newest = self.night.days.iter().rev().find(|day| day.cutover != 0)?;
        let DayEnd {
            date,
            cutover,
            cutover_us,
            ..
        } = *newest;
        announced
            .is_none_or(|last| last < date)
            .then_some(Announcement {
                seq: cutover,
                time_us: cutover_us,
                closed: date,
            })
    }

    /// What this side has asked a network and has no answer to.
    #[must_use]
    pub fn asked(&self, network: NetworkId) -> Option<&Asked> {
        self.books.of(network)?.asked.as_ref()
    }

    /// The oldest settlement date and currency with traffic that this side has not
    /// asked the network about, of the dates before the network's current one.
    #[must_use]
    pub fn to_ask(&self, network: NetworkId) -> Option<(Date, Currency)> {
        let today = self.night.clock(network)?.date;
        let answered = self
            .books
            .of(network)
            .map_or(&[][..], |book| book.answered.as_slice());
        self.totals
            .networks
            .iter()
            .map(NetworkTotals::key)
            .filter(|(of, date, _)| *of == network && *date < today)
            .map(|(_, date, currency)| (date, currency))
            .filter(|key| answered.binary_search(key).is_err())
            // What has more digits than its element can't be asked.
            .find(|(date, currency)| self.figures(network, *date, *currency).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_to_their_elements_and_digits() {
        for element in 0..=u8::MAX {
            let known = (74..=89).contains(&element) || element == NET;
            assert_eq!(Figures::NONE.with(element, 1).is_some(), known, "{element}");
        }
        assert_eq!(Figures::NONE.with(76, -1), None);
        assert_eq!(Figures::NONE.with(76, 10_000_000_000), None);
        assert_eq!(Figures::NONE.with(88, 10_000_000_000_000_000), None);
        let net = Figures::NONE.with(NET, -9_999_999_999_999_999).unwrap();
        assert_eq!(net.get(NET), Some(-9_999_999_999_999_999));
        assert_eq!(net.get(76), None);
    }

    #[test]
    fn only_what_was_sent_can_differ() {
        let theirs = Figures::NONE.with(76, 2).unwrap().with(88, 10).unwrap();
        let ours = Figures::NONE.with(74, 5).unwrap().with(76, 2).unwrap();
        let seen: Vec<_> = theirs.differences(&ours).collect();
        assert_eq!(seen, [(88, 10, 0)]);
    }

    #[test]
    fn totals_as_elements() {
        let sum = |count, amount_minor| Tally {
            count,
            amount_minor,
        };
        let totals = NetworkTotals {
            debits: sum(3, 1_000),
            credits: sum(2, 70),
            debit_reversals: sum(1, 200),
            credit_reversals: sum(1, 20),
            transfers: sum(4, 5_000),
            transfer_reversals: sum(1, 500),
            inquiries: 9,
            ..NetworkTotals::new((NetworkId(1), Date(1), Currency(410)))
        };
        let seen: Vec<_> = figures(&totals).unwrap().iter().collect();
        let expected = [
            (74, 2),
            (75, 1),
            (76, 3),
            (77, 1),
            (78, 4),
            (79, 1),
            (80, 9),
            (81, 0),
            (82, 0),
            (83, 0),
            (84, 0),
            (85, 0),
            (86, 70),
            (87, 20),
            (88, 1_000),
            (89, 200),
            (97, 70 - 20 - 1_000 + 200),
        ];
        assert_eq!(seen, expected);
        let beyond = NetworkTotals {
            debits: sum(1, 10_000_000_000_000_000),
            ..totals
        };
        assert_eq!(figures(&beyond), None, "seventeen digits can't be said");
    }
}
