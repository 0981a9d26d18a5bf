//! A table that grows without a pause: rows lie in chunks, a chunk is reserved
//! whole but touched only as rows arrive, and nothing is ever moved.

use std::ops::Range;

use crate::limits::CHUNK_ROWS_LOG2;

/// Told of addresses where memory was reserved and nothing of it touched so far.
pub type Reserved = fn(Range<usize>);

/// Nobody wants to know.
pub(crate) const UNTOLD: Reserved = |_| {};

/// Where a table's memory lies, what is still unused included.
pub(crate) fn addresses<T>(rows: &Vec<T>) -> Range<usize> {
    let start = rows.as_ptr().addr();
    start..start.saturating_add(rows.capacity().saturating_mul(size_of::<T>()))
}

/// As many rows, in memory that was told of before it was touched.
pub(crate) fn laid_out<T: Clone>(row: T, count: usize, reserved: Reserved) -> Vec<T> {
    let mut rows = Vec::with_capacity(count);
    reserved(addresses(&rows));
    rows.resize(count, row);
    rows
}

/// Rows by position, 2^`LOG2` of them to a chunk.
#[derive(Debug)]
pub(crate) struct Chunked<T, const LOG2: u32 = CHUNK_ROWS_LOG2> {
    chunks: Vec<Vec<T>>,
    len: u32,
    reserved: Reserved,
    /// The first chunk that it is told of.
    told_from: usize,
}

impl<T, const LOG2: u32> Chunked<T, LOG2> {
    const ROWS: usize = 1 << LOG2;

    /// Room for `capacity` rows; only the list of chunks is allocated now.
    pub fn with_capacity(capacity: u32) -> Self {
        Self {
            chunks: Vec::with_capacity((capacity as usize >> LOG2) + 2),
            len: 0,
            reserved: UNTOLD,
            told_from: 0,
        }
    }

    pub const fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    pub fn get(&self, ix: u32) -> Option<&T> {
        let ix = ix as usize;
        self.chunks.get(ix >> LOG2)?.get(ix & (Self::ROWS - 1))
    }

    #[inline(always)]
    pub fn get_mut(&mut self, ix: u32) -> Option<&mut T> {
        let ix = ix as usize;
        self.chunks
            .get_mut(ix >> LOG2)?
            .get_mut(ix & (Self::ROWS - 1))
    }

    /// Appends a row. A fresh chunk is one reservation of address space; its
    /// pages are touched one by one as rows arrive.
    #[inline]
    pub fn push(&mut self, row: T) {
        // By number, not by what the last chunk holds: it may have been taken.
        match self.chunks.get_mut(self.len as usize >> LOG2) {
            Some(chunk) => chunk.push(row),
            None => {
                let mut chunk = Vec::with_capacity(Self::ROWS);
                if self.chunks.len() >= self.told_from {
                    (self.reserved)(addresses(&chunk));
                }
                chunk.push(row);
                self.chunks.push(chunk);
            }
        }
        self.len = self.len.saturating_add(1);
    }

    /// Forgets everything from `len` on.
    pub fn truncate(&mut self, len: u32) {
        if len >= self.len {
            return;
        }
        let (whole, part) = (len as usize >> LOG2, len as usize & (Self::ROWS - 1));
        self.chunks.truncate(whole + usize::from(part > 0));
        if part > 0
            && let Some(last) = self.chunks.last_mut()
        {
            last.truncate(part);
        }
        self.len = len;
    }

    /// Takes the rows of a chunk away; they are no longer found. `None` for the last
    /// one, to which rows are still added.
    pub fn take_chunk(&mut self, chunk: usize) -> Option<Vec<T>> {
        if chunk + 1 >= self.chunks.len() {
            return None;
        }
        self.chunks.get_mut(chunk).map(std::mem::take)
    }

    /// Tells where chunks will be, from now on, before anything in them is touched.
    pub const fn tell(&mut self, reserved: Reserved) {
        self.reserved = reserved;
        self.told_from = 0;
    }

    /// As [`Self::tell`], but for the first chunk: where that is not filled, it would be
    /// memory for nothing.
    pub const fn tell_when_large(&mut self, reserved: Reserved) {
        self.reserved = reserved;
        self.told_from = 1;
    }

    /// Tells of what the last chunk has left, unless it is the first.
    pub fn tell_rest(&self, reserved: Reserved) {
        if let [_, .., last] = self.chunks.as_slice() {
            let Range { start, end } = addresses(last);
            reserved(start + last.len() * size_of::<T>()..end);
        }
    }

    /// Addresses of the chunks, as far as they reach.
    pub fn addresses(&self) -> impl Iterator<Item = Range<usize>> {
        self.chunks.iter().map(addresses)
    }

    /// All rows that are there.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    thread_local! {
        static TOLD: RefCell<Vec<Range<usize>>> = const { RefCell::new(Vec::new()) };
    }

    fn note(range: Range<usize>) {
        TOLD.with_borrow_mut(|told| told.push(range));
    }

    #[test]
    fn is_told_of_what_no_row_has_touched() {
        let mut small: Chunked<u32, 4> = Chunked::with_capacity(64);
        small.tell_when_large(note);
        (0..16).for_each(|n| small.push(n));
        assert!(TOLD.take().is_empty(), "the first chunk is as it was");
        small.push(16);
        let all: Vec<_> = small.addresses().collect();
        assert_eq!(TOLD.take(), all[1..]);
        small.push(17);
        small.tell_rest(note);
        let rest = all[1].start + 8..all[1].end;
        assert_eq!(TOLD.take(), std::slice::from_ref(&rest));
        let mut first: Chunked<u32, 4> = Chunked::with_capacity(64);
        first.tell(note);
        first.push(0);
        first.tell_rest(|_| panic!("the first one's is as it was"));
        assert_eq!(TOLD.take(), first.addresses().collect::<Vec<_>>());
    }

    #[test]
    fn a_row_behind_a_chunk_that_was_taken_is_found_by_its_number() {
        let mut table: Chunked<u32, 4> = Chunked::with_capacity(64);
        (0..20).for_each(|n| table.push(n));
        assert_eq!(table.take_chunk(0), Some((0..16).collect()));
        table.truncate(16);
        table.push(77);
        assert_eq!(table.get(16), Some(&77));
        assert_eq!(table.get(0), None);
        assert_eq!(table.len(), 17);
    }

    #[test]
    fn rows_stay_where_they_are_over_chunks() {
        let mut table: Chunked<u32> = Chunked::with_capacity(200_000);
        for n in 0..140_000u32 {
            table.push(n);
        }
        assert_eq!(table.len(), 140_000);
        for n in [0, 1, 65_535, 65_536, 131_072, 139_999] {
            assert_eq!(table.get(n), Some(&n));
        }
        assert_eq!(table.get(140_000), None);
        table.truncate(65_537);
        assert_eq!(table.len(), 65_537);
        assert_eq!(table.get(65_536), Some(&65_536));
        assert_eq!(table.get(65_537), None);
        table.push(7);
        assert_eq!(table.get(65_537), Some(&7));
        table.truncate(65_536);
        table.push(8);
        assert_eq!(table.get(65_536), Some(&8));
        assert_eq!(table.iter().count(), 65_537);
    }
}
