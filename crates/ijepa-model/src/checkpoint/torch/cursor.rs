//! A bounds-checked reader over the bytes of a pickle.

use super::error::PickleErrorKind;

/// The unread rest of a pickle.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// Fails unless `length` more bytes follow; a declared length is never trusted.
    pub(super) fn require(&self, length: u64) -> Result<usize, PickleErrorKind> {
        let left = self.rest().len();
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(length),
            _ => Err(PickleErrorKind::Truncated {
                wanted: length,
                left,
            }),
        }
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: u64) -> Result<&'a [u8], PickleErrorKind> {
        let length = self.require(length)?;
        let taken = &self.rest()[..length];
        self.position += length;
        Ok(taken)
    }

    /// The next `N` bytes as an array, for fixed-width numbers.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleErrorKind> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, PickleErrorKind> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, PickleErrorKind> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, PickleErrorKind> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, PickleErrorKind> {
        self.array().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, PickleErrorKind> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next line without its end.
    pub(super) fn line(&mut self) -> Result<&'a str, PickleErrorKind> {
        let rest = self.rest();
        let Some(length) = rest.iter().position(|&byte| byte == b'\n') else {
            return Err(PickleErrorKind::Truncated {
                wanted: rest.len() as u64 + 1,
                left: rest.len(),
            });
        };
        self.position += length + 1;
        text(&rest[..length])
    }
}

/// Bytes as UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<&str, PickleErrorKind> {
    std::str::from_utf8(bytes).map_err(|_| PickleErrorKind::Utf8)
}
