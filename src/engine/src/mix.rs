//! A small fixed mixing function, for look-up tables and state hashes. It is no
//! defence against chosen input: secrets are hashed with a key by the adapter.

const K0: u64 = 0xa076_1d64_78bd_642f;
const K1: u64 = 0xe703_7ed1_a0b4_28db;
const K2: u64 = 0x8ebc_6af0_9c88_c6e3;
const K3: u64 = 0x5899_65cc_7537_4cc3;

/// Both halves of the 128-bit product, folded (as in wyhash's finaliser).
#[inline]
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// One word.
#[inline]
pub(crate) const fn mix1(a: u64) -> u64 {
    fold(a ^ K0, K1)
}

/// Two words.
#[inline]
pub(crate) const fn mix2(a: u64, b: u64) -> u64 {
    fold(fold(a ^ K0, b ^ K1) ^ K2, K3)
}

/// Six words: independent products, so that they overlap in the processor.
#[inline]
pub(crate) const fn mix6(w: [u64; 6]) -> u64 {
    let [a, b, c, d, e, f] = w;
    let left = fold(a ^ K0, b ^ K1);
    let middle = fold(c ^ K1, d ^ K2);
    let right = fold(e ^ K2, f ^ K3);
    fold(left ^ K3 ^ middle.rotate_left(23), right ^ K0)
}

/// Any bytes; the length counts.
pub(crate) fn mix_bytes(bytes: &[u8]) -> u64 {
    let mut acc = K2 ^ (bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0u8; 8];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        acc = fold(acc ^ u64::from_le_bytes(word), K1);
    }
    mix1(acc)
}
