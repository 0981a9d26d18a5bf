//! Keys and values of the entries: rows packed by the chunk.
//!
//! One row per entry would cost sled more memory than the row itself, and a
//! checkpoint of scattered rows is no dearer by the chunk: over one sweep nearly
//! every chunk has changed anyway.

use gapless_engine::AccountRow;
use gapless_engine::CardRow;

/// Rows of accounts in one entry. Entries of about 1.3 KB take the least memory
/// (measured with a million rows: 25 MB; twice the size takes 45 MB, since sled
/// keeps 256 pages of 16 entries whatever its cache is set to).
pub(crate) const ACCOUNTS_PER_CHUNK: u32 = 16;
/// Rows of cards in one entry.
pub(crate) const CARDS_PER_CHUNK: u32 = 32;
/// Bytes of residue in one entry.
pub(crate) const RESIDUE_PER_ENTRY: usize = 1_400;
/// Entries in one batch: at most 256 rows of accounts or cards.
pub(crate) const ENTRIES_PER_BATCH: usize = 8;
/// sled puts a page above a quarter of its segment (128 KiB) into a blob file,
/// which it never syncs. A page holds up to 16 entries, and one or two more
/// while it splits.
pub(crate) const MAX_VALUE: usize = 1_500;

const _: () = assert!(ENTRIES_PER_BATCH * ACCOUNTS_PER_CHUNK as usize <= 256);
const _: () = assert!(ENTRIES_PER_BATCH * CARDS_PER_CHUNK as usize <= 256);
const _: () = assert!(18 * (MAX_VALUE + 16) < 128 * 1024);
const _: () = assert!(RESIDUE_PER_ENTRY + OVERHEAD <= MAX_VALUE);
const _: () = assert!(ACCOUNTS_PER_CHUNK as usize * AccountRow::BYTES + OVERHEAD <= MAX_VALUE);
const _: () = assert!(CARDS_PER_CHUNK as usize * CardRow::BYTES + OVERHEAD <= MAX_VALUE);

const DIGEST: u8 = 0;
const MARK: u8 = 1;
const RESIDUE: u8 = 2;
const ACCOUNTS: u8 = 3;
const CARDS: u8 = 4;

/// Version of this layout.
const VERSION: u8 = 1;
const HEADER: usize = 3;
const OVERHEAD: usize = HEADER + 4;

/// What an entry holds. The order of the kinds is that of the keys: whoever
/// reads all of them meets digest, mark and residue before the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Count and sum of all other entries.
    Digest,
    /// The mark.
    Mark,
    /// A piece of the residue; the slot that the mark names is the valid one.
    Residue(u8, u32),
    /// Account rows `chunk * ACCOUNTS_PER_CHUNK ..`.
    Accounts(u32),
    /// Card rows `chunk * CARDS_PER_CHUNK ..`.
    Cards(u32),
}

impl Key {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8);
        match self {
            Self::Accounts(chunk) => {
                bytes.push(ACCOUNTS);
                bytes.extend_from_slice(&chunk.to_be_bytes());
            }
            Self::Cards(chunk) => {
                bytes.push(CARDS);
                bytes.extend_from_slice(&chunk.to_be_bytes());
            }
            Self::Residue(slot, piece) => {
                bytes.extend_from_slice(&[RESIDUE, slot]);
                bytes.extend_from_slice(&piece.to_be_bytes());
            }
            Self::Mark => bytes.push(MARK),
            Self::Digest => bytes.push(DIGEST),
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        Some(match *kind {
            ACCOUNTS => Self::Accounts(u32::from_be_bytes(rest.try_into().ok()?)),
            CARDS => Self::Cards(u32::from_be_bytes(rest.try_into().ok()?)),
            RESIDUE => {
                let (slot, piece) = rest.split_first()?;
                Self::Residue(*slot, u32::from_be_bytes(piece.try_into().ok()?))
            }
            MARK if rest.is_empty() => Self::Mark,
            DIGEST if rest.is_empty() => Self::Digest,
            _ => return None,
        })
    }
}

/// Frames `payload` (`items` of equal size; 1 for what is no row) as the value of `key`.
pub(crate) fn seal(key: &[u8], items: u16, payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(payload.len() + OVERHEAD);
    value.push(VERSION);
    value.extend_from_slice(&items.to_be_bytes());
    value.extend_from_slice(payload);
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &value);
    value.extend_from_slice(&crc.to_be_bytes());
    value
}

/// Number of items and payload of a value, if it is whole and belongs to `key`.
pub(crate) fn open<'v>(key: &[u8], value: &'v [u8]) -> Option<(u16, &'v [u8])> {
    let (framed, crc) = value.split_last_chunk::<4>()?;
    let (header, payload) = framed.split_first_chunk::<HEADER>()?;
    let [version, high, low] = *header;
    let fits = version == VERSION
        && crc32c::crc32c_append(crc32c::crc32c(key), framed) == u32::from_be_bytes(*crc);
    fits.then(|| (u16::from_be_bytes([high, low]), payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        for key in [
            Key::Accounts(0),
            Key::Accounts(u32::MAX),
            Key::Cards(7),
            Key::Residue(1, 9),
            Key::Mark,
            Key::Digest,
        ] {
            assert_eq!(Key::from_bytes(&key.to_bytes()), Some(key));
        }
        assert_eq!(Key::from_bytes(b""), None);
        assert_eq!(Key::from_bytes(&[ACCOUNTS, 1, 2]), None);
        assert_eq!(Key::from_bytes(&[MARK, 0]), None);
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let key = Key::Cards(1).to_bytes();
        let value = seal(&key, 2, b"some rows");
        assert_eq!(open(&key, &value), Some((2, &b"some rows"[..])));
        assert_eq!(open(&Key::Cards(2).to_bytes(), &value), None);
        for at in 0..value.len() {
            for bit in 0..8 {
                let mut bad = value.clone();
                bad[at] ^= 1 << bit;
                assert_eq!(open(&key, &bad), None, "byte {at}, bit {bit}");
            }
            assert_eq!(open(&key, &value[..at]), None, "cut at {at}");
        }
    }
}
