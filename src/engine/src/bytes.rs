//! A checked reader and a plain writer of little-endian fields. Trailing bytes are an error.

/// What was expected and not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short;

/// Reads fields off the front of a slice.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn sub(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Short)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Short)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub fn u8(&mut self) -> Result<u8, Short> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn u16(&mut self) -> Result<u16, Short> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn u32(&mut self) -> Result<u32, Short> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn u64(&mut self) -> Result<u64, Short> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn i64(&mut self) -> Result<i64, Short> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn u128(&mut self) -> Result<u128, Short> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    #[inline]
    pub fn i128(&mut self) -> Result<i128, Short> {
        Ok(i128::from_le_bytes(self.array()?))
    }

    /// Fails when something is left.
    pub const fn end(&self) -> Result<(), Short> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Short)
        }
    }
}

/// Appends fields of a known size: each becomes one store.
pub(crate) trait Put {
    fn put<const M: usize>(&mut self, bytes: &[u8; M]);
}

impl Put for Vec<u8> {
    #[inline(always)]
    fn put<const M: usize>(&mut self, bytes: &[u8; M]) {
        self.extend_from_slice(bytes);
    }
}

/// Fills an array of a row's size.
pub(crate) struct Filler<const N: usize> {
    pub bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Filler<N> {
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }
}

impl<const N: usize> Put for Filler<N> {
    /// What does not fit is left out; each row's fields make up its size.
    #[inline(always)]
    fn put<const M: usize>(&mut self, bytes: &[u8; M]) {
        if let Some(to) = self
            .bytes
            .get_mut(self.len..)
            .and_then(<[u8]>::first_chunk_mut)
        {
            *to = *bytes;
            self.len += M;
        }
    }
}
