//! What rows and base files have in common.

use gapless_engine::AccountRow;
use gapless_engine::CardRow;
use gapless_engine::Record;
use gapless_engine::date::Date;
use gapless_engine::ids::Seq;

use crate::remembered::Extent;

/// Encoded sizes of an account row, a card row and a record. Other sizes are another format.
pub(crate) type Sizes = [u16; 3];

/// Those of this build.
pub(crate) const SIZES: Sizes = [
    AccountRow::BYTES as u16,
    CardRow::BYTES as u16,
    Record::BYTES as u16,
];

const _: () = assert!(AccountRow::BYTES < u16::MAX as usize);
const _: () = assert!(CardRow::BYTES < u16::MAX as usize);
const _: () = assert!(Record::BYTES < u16::MAX as usize);

/// One thing out of stored rows or a base file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'a> {
    Account(u32, &'a [u8]),
    Card(u32, &'a [u8]),
    Record(Date, &'a [u8]),
    /// A record that the journal brought back.
    Slot(Date, Record),
    Residue(&'a [u8]),
    /// Whose rows these are, and at which sequence: before all of them.
    Mark([u8; 16], Seq),
    /// The first records of a date are in files; the others follow.
    Files(Date, Extent),
    /// An account's row that is younger than the mark: not to be loaded.
    LaterAccount(&'a [u8]),
    /// A card's row that is younger than the mark.
    LaterCard(&'a [u8]),
}
