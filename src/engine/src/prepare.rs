//! Fetching ahead: what a decision will read is asked for before it is needed. Nothing
//! is decided here, and nothing depends on it.
//!
//! A decision waits for memory twice: for the look-up bucket of the PAN, and then for
//! the rows of card and account, which that bucket names, while the bucket of the
//! locator is on its way beside them. Over a batch of commands the waits overlap.

use std::ops::Range;

use crate::command::Request;
use crate::engine::{Engine, pan_hash};
use crate::event::{Event, Row};
use crate::table::Reserved;

/// Commands whose waits overlap: about as many as a processor has misses in flight.
const BLOCK: usize = 16;

/// Asks for the cache line of a place, and does not wait for it as a read would.
#[inline(always)]
pub(crate) fn fetch<T>(place: &T) {
    branches::prefetch_read_data::<T, 0>(place);
}

impl Engine {
    /// Fetches what deciding `requests` will read. Worth its while for two
    /// commands and more, such as all that one read of a socket brought.
    pub fn prepare<'a>(&self, requests: impl Iterator<Item = &'a Request>) {
        let Some(pans) = &self.by_pan else {
            return;
        };
        let mut requests = requests.peekable();
        while requests.peek().is_some() {
            let mut hashes = [None; BLOCK];
            for (to, request) in hashes.iter_mut().zip(requests.by_ref()) {
                let (identity, pan) = match request {
                    Request::Transaction(t) => (&t.identity, t.pan),
                    Request::Reversal(r) => (&r.identity, r.pan),
                    _ => continue,
                };
                *to = pan.map(pan_hash);
                if let Some(hash) = *to {
                    pans.fetch(hash);
                }
                self.memory.fetch(identity.locator.max(1));
            }
            for hash in hashes.into_iter().flatten() {
                self.fetch_rows(hash);
            }
        }
    }

    /// Addresses of the memory that is read at random: look-up tables, and rows. A system
    /// that holds it in larger pages spares most of the waits for page tables. There is
    /// nothing else to be done with addresses.
    pub fn tables(&self) -> impl Iterator<Item = Range<usize>> {
        let laid_out = [
            self.by_pan.as_ref().map(crate::pans::Pans::addresses),
            self.by_number.as_ref().map(crate::index::Index::addresses),
            self.memory
                .index
                .as_ref()
                .map(crate::index::Index::addresses),
        ];
        let rows = self.accounts.addresses().chain(self.cards.addresses());
        laid_out.into_iter().flatten().chain(rows)
    }

    /// `reserved` is told, from now on, of memory that remembered transactions are about
    /// to take, for 65,536 of them at a time but for the first ones of a date: whoever
    /// touches it before they do spares this thread the wait for the system.
    pub fn tell_of_records(&mut self, reserved: Reserved) {
        self.memory.tell(reserved);
    }

    /// Fetches the rows that applying the encoded event at the front will change, and
    /// returns what is behind it; `None` where nothing more is to be seen.
    #[inline]
    pub fn expect<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        Event::glance(bytes, |row| match row {
            Row::Account(ix) => {
                if let Some(row) = self.accounts.get(ix.0) {
                    row.fetch();
                }
            }
            Row::Card(ix) => {
                if let Some(row) = self.cards.get(ix.0) {
                    row.fetch();
                }
            }
        })
    }

    /// Fetches what deciding one message will read.
    #[inline(always)]
    pub(crate) fn fetch(&self, locator: u32, hash: Option<u64>) {
        self.memory.fetch(locator);
        if let Some(hash) = hash {
            self.fetch_rows(hash);
        }
    }

    /// Fetches card and account, as soon as the bucket that names them is there.
    #[inline(always)]
    fn fetch_rows(&self, hash: u64) {
        // Perhaps a stranger's: then they were fetched in vain.
        if let Some((card, account)) = self.by_pan.as_ref().and_then(|pans| pans.likely(hash)) {
            if let Some(row) = self.cards.get(card.0) {
                row.fetch();
            }
            if let Some(row) = self.accounts.get(account.0) {
                row.fetch();
            }
        }
    }
}
