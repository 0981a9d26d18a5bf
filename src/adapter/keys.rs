//! The keys that turn a PAN into what the engine may know of it.
//!
//! A stored PAN must be unreadable, and a keyed hash is what makes it so: a
//! plain one is undone by trying all PANs (PCI DSS 3.5.1.1). The key therefore
//! lives apart from the journal and the cache, in a file of its own.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use gapless_engine::ids::PanHash;
use siphasher::{sip, sip128};
use zeroize::{Zeroize, Zeroizing};

/// The key file inside the data directory.
const FILE: &str = "keys/pan.key";
/// First word of the file: what it is, and the version of its format, by which
/// the hash of identities goes.
const MAGIC: &str = "gapless-keys-2";
/// The version before, which files of long ago have. The journal holds hashes of that
/// kind then, so it stays with it.
const MAGIC_1: &str = "gapless-keys-1";
const _: () = assert!(MAGIC.len() == MAGIC_1.len());
/// Two SipHash keys of 16 bytes: for PANs, and for the identities of messages.
const KEY_BYTES: usize = 32;
/// `MAGIC`, a blank, the key in hexadecimal, a newline.
const FILE_BYTES: usize = MAGIC.len() + 1 + 2 * KEY_BYTES + 1;

/// What is wrong with the key file. Never says what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file or its folder can't be read or made.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Somebody else than the owner may read it.
    #[error("{path}: mode {mode:03o} lets others read it; make it 600")]
    Mode {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not what this program wrote.
    #[error("{path}: not a key file of this program, or damaged")]
    Damaged {
        /// Which file.
        path: PathBuf,
    },
}

/// How the identities of messages are hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rounds {
    /// SipHash-2-4: key files of version 1.
    TwoFour,
    /// SipHash-1-3, half the work, for what is no secret: an identity's hash only has
    /// to spread, and not to be made to meet another's by a peer; and for its short
    /// parts, which others are compared beside, one keyed multiplication.
    OneThree,
}

/// Keyed hashes of PANs (SipHash-2-4, 128 bits) and of message identities (SipHash-1-3,
/// 64 bits; SipHash-2-4 with a key file of version 1).
///
/// Shared by the links and the import: the same PAN gives the same hash for as
/// long as the key file stays. Without it no card is found again, so
/// [`PanKeys::key_check`] goes into the journal's first event.
pub struct PanKeys {
    pan: [u64; 2],
    identity: [u64; 2],
    rounds: Rounds,
}

impl PanKeys {
    /// Reads `keys/pan.key` in the data directory, or makes it (mode 600, from
    /// the system's randomness, synced) when there is none.
    ///
    /// # Errors
    /// The file can't be read or written, others may read it, or it is damaged.
    /// A damaged key is never replaced: cards would be lost.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, KeyError> {
        let path = data_dir.join(FILE);
        let io_error = |error| KeyError::Io {
            path: path.clone(),
            error,
        };
        let loaded = match Self::load(&path) {
            Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                create(&path).map_err(io_error)?;
                Self::load(&path)
            }
            loaded => loaded,
        }?;
        // At every start: the one that made the file may have been killed
        // before its name was durable, and no card is found without it.
        sync_folders(&path).map_err(io_error)?;
        Ok(loaded)
    }

    fn load(path: &Path) -> Result<Self, KeyError> {
        let io_error = |error| KeyError::Io {
            path: path.to_owned(),
            error,
        };
        let damaged = || KeyError::Damaged {
            path: path.to_owned(),
        };
        let file = File::open(path).map_err(io_error)?;
        let mode = file.metadata().map_err(io_error)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Mode {
                path: path.to_owned(),
                mode,
            });
        }
        // One byte more than the file may have, so that a longer one shows.
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
        file.take(FILE_BYTES as u64 + 1)
            .read_to_end(&mut text)
            .map_err(io_error)?;
        let versions = [(MAGIC, Rounds::OneThree), (MAGIC_1, Rounds::TwoFour)];
        let (digits, rounds) = versions
            .into_iter()
            .find_map(|(magic, rounds)| {
                let rest = text.strip_prefix(magic.as_bytes())?.strip_prefix(b" ")?;
                Some((rest.strip_suffix(b"\n")?, rounds))
            })
            .ok_or_else(damaged)?;
        let key = unhex(digits).ok_or_else(damaged)?;
        if key.iter().all(|byte| *byte == 0) {
            return Err(damaged());
        }
        Ok(Self {
            rounds,
            ..Self::from_bytes(&key)
        })
    }

    /// From 32 bytes: for tests, and for a key that comes from elsewhere.
    #[must_use]
    pub fn from_bytes(key: &[u8; KEY_BYTES]) -> Self {
        let mut words = Zeroizing::new([0u64; 4]);
        for (word, bytes) in words.iter_mut().zip(key.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [a, b, c, d] = *words;
        Self {
            pan: [a, b],
            identity: [c, d],
            rounds: Rounds::OneThree,
        }
    }

    /// A value that tells whether this is the key that a journal was begun
    /// with, and tells nothing of the key. It covers both halves.
    #[must_use]
    pub fn key_check(&self) -> u64 {
        let inner = self.hash64(b"gapless key check");
        let [k0, k1] = self.pan;
        sip::SipHasher24::new_with_keys(k0, k1).hash(&inner.to_le_bytes())
    }

    /// The PAN (DE 2; ASCII digits, no blanks) as the engine knows it.
    #[inline]
    #[must_use]
    pub fn pan_hash(&self, digits: &[u8]) -> PanHash {
        let [k0, k1] = self.pan;
        PanHash(
            sip128::SipHasher24::new_with_keys(k0, k1)
                .hash(digits)
                .as_u128(),
        )
    }

    /// Keyed 64-bit hash of whatever tells messages apart.
    #[inline]
    #[must_use]
    pub(crate) fn hash64(&self, bytes: &[u8]) -> u64 {
        let [k0, k1] = self.identity;
        match self.rounds {
            Rounds::OneThree => sip::SipHasher13::new_with_keys(k0, k1).hash(bytes),
            Rounds::TwoFour => sip::SipHasher24::new_with_keys(k0, k1).hash(bytes),
        }
    }

    /// Keyed hash of two words, for parts of an identity that are never compared alone:
    /// the halves of their product, folded together. `None` with a key file of version
    /// 1, which has [`Self::hash64`] for them as well.
    #[inline]
    #[must_use]
    pub(crate) fn fold(&self, a: u64, b: u64) -> Option<u64> {
        let [k0, k1] = self.identity;
        let product = u128::from(a ^ k0) * u128::from(b ^ k1);
        (self.rounds == Rounds::OneThree).then_some((product >> 64) as u64 ^ product as u64)
    }
}

/// Makes the file under another name and links it into place when it is
/// durable: after a crash there is a whole key file or none, and one that is
/// there is never overwritten.
fn create(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    fill_random(key.as_mut_slice())?;
    let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES));
    text.push_str(MAGIC);
    text.push(' ');
    for byte in key.iter() {
        let digit = |nibble| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        text.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    text.push('\n');

    let temporary = path.with_extension("key.new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // Unlike a rename, a link refuses to replace a file that came in between.
    fs::hard_link(&temporary, path)?;
    fs::remove_file(&temporary)
}

/// Makes the names of the file, its folder and the data directory durable.
fn sync_folders(path: &Path) -> io::Result<()> {
    for folder in path.ancestors().skip(1).take(3) {
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        match File::open(folder) {
            // What may not be read was made by somebody else.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            opened => opened?.sync_all()?,
        }
    }
    Ok(())
}

/// Exactly [`KEY_BYTES`] bytes in hexadecimal, or nothing.
fn unhex(digits: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    if pairs.len() != KEY_BYTES {
        return None;
    }
    let mut key = Zeroizing::new([0u8; KEY_BYTES]);
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        let value = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|v| u8::try_from(v).ok())
        };
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(key)
}

fn fill_random(mut rest: &mut [u8]) -> io::Result<()> {
    while !rest.is_empty() {
        let filled = rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty())?;
        rest = rest.get_mut(filled..).unwrap_or_default();
    }
    Ok(())
}

impl Drop for PanKeys {
    fn drop(&mut self) {
        self.pan.zeroize();
        self.identity.zeroize();
    }
}

impl fmt::Debug for PanKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PanKeys(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAN: &[u8] = b"9410000000000008";

    #[test]
    fn a_made_key_is_found_again_and_is_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let made = PanKeys::load_or_create(dir.path()).unwrap();
        let found = PanKeys::load_or_create(dir.path()).unwrap();
        assert_eq!(made.key_check(), found.key_check());
        assert_eq!(made.pan_hash(PAN), found.pan_hash(PAN));
        let mode = |path: &str| {
            let metadata = fs::metadata(dir.path().join(path)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        assert_eq!((mode("keys"), mode(FILE)), (0o700, 0o600));
        let names: Vec<_> = fs::read_dir(dir.path().join("keys")).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays behind");
    }

    #[test]
    fn two_keys_differ_in_everything() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let a = PanKeys::load_or_create(a.path()).unwrap();
        let b = PanKeys::load_or_create(b.path()).unwrap();
        assert_ne!(a.key_check(), b.key_check());
        assert_ne!(a.pan_hash(PAN), b.pan_hash(PAN));
        assert_ne!(a.hash64(PAN), b.hash64(PAN));
    }

    /// Cards imported by one build must be found by the next: SipHash-2-4 with
    /// the key 00 01 .. 1f, checked against the reference vectors' key for the PAN half.
    #[test]
    fn hashes_are_fixed_for_ever() {
        let mut key = [0u8; KEY_BYTES];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = at as u8;
        }
        let keys = PanKeys::from_bytes(&key);
        // Reference vector of SipHash-2-4-128 for the empty input and this key.
        assert_eq!(
            keys.pan_hash(b"").0.to_le_bytes(),
            [
                0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55,
                0x02, 0x93
            ]
        );
        let mut other = key;
        other[31] ^= 1;
        assert_ne!(keys.key_check(), PanKeys::from_bytes(&other).key_check());
    }

    /// What a journal of long ago holds must be recognised for ever.
    #[test]
    fn a_file_of_version_1_keeps_its_hash_of_identities() {
        let dir = tempfile::tempdir().unwrap();
        let made = PanKeys::load_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace(MAGIC, MAGIC_1)).unwrap();
        let old = PanKeys::load_or_create(dir.path()).unwrap();
        let [k0, k1] = made.identity;
        let expected = sip::SipHasher24::new_with_keys(k0, k1).hash(b"200");
        assert_eq!(old.hash64(b"200"), expected);
        assert_ne!(made.hash64(b"200"), expected);
        assert_eq!(old.pan_hash(PAN), made.pan_hash(PAN));
        assert_eq!(old.fold(1, 2), None);
        assert!(made.fold(1, 2).is_some());
        let kept = fs::read_to_string(&path).unwrap();
        assert!(kept.starts_with(MAGIC_1), "it stays of version 1");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        PanKeys::load_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = PanKeys::load_or_create(dir.path()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("mode 640 lets others read it; make it 600")
        );
    }

    #[test]
    fn a_damaged_file_is_refused_kept_and_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        PanKeys::load_or_create(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        let good = fs::read(&path).unwrap();
        let zero = format!("{MAGIC} {}\n", "0".repeat(64)).into_bytes();
        let damages: [(&str, Vec<u8>); 6] = [
            ("empty", Vec::new()),
            ("cut", good[..good.len() - 2].to_vec()),
            ("longer", [&good[..], b"\n"].concat()),
            (
                "another version",
                [b"gapless-keys-3", &good[MAGIC.len()..]].concat(),
            ),
            (
                "no digits",
                [&good[..MAGIC.len() + 1], &[b'x'; 64], b"\n"].concat(),
            ),
            ("all zero", zero),
        ];
        for (what, bytes) in damages {
            fs::write(&path, &bytes).unwrap();
            let error = PanKeys::load_or_create(dir.path()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .ends_with("not a key file of this program, or damaged"),
                "{what}: {error}"
            );
            assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: left as it is");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(
            format!("{:?}", PanKeys::from_bytes(&[7; 32])),
            "PanKeys(..)"
        );
    }
}
