//! Names of files, end to end.

use std::borrow::Cow;
use std::ffi::OsStr;

/// File names in one piece of memory: eight bytes beside those of each name.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    bytes: Vec<u8>,
    /// Where each name ends.
    ends: Vec<u64>,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn push(&mut self, name: &OsStr) {
        self.bytes.extend_from_slice(name.as_encoded_bytes());
        self.ends.push(self.bytes.len() as u64);
    }

    pub(super) fn extend(&mut self, others: &Self) {
        let before = self.bytes.len() as u64;
        self.bytes.extend_from_slice(&others.bytes);
        self.ends.extend(others.ends.iter().map(|end| before + end));
    }

    pub(super) fn get(&self, index: usize) -> Cow<'_, OsStr> {
        of_bytes(self.bytes_of(index))
    }

    pub(super) fn bytes_of(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start as usize..self.ends[index] as usize]
    }

    /// Those that are `kept`, one flag a name.
    pub(super) fn retain(&mut self, kept: &[bool]) {
        let mut left = Self::default();
        let wanted = (0..self.len()).filter(|&index| kept[index]);
        wanted.for_each(|index| left.push(&self.get(index)));
        *self = left;
    }

    /// All bytes in a row.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Names of these lengths in a row of bytes, if they fit.
    pub(super) fn of_lengths(lengths: impl Iterator<Item = u16>, bytes: Vec<u8>) -> Option<Self> {
        let mut end = 0;
        let ends = lengths.map(|length| {
            end += u64::from(length);
            end
        });
        let ends: Vec<u64> = ends.collect();
        let fits = ends.last().copied().unwrap_or(0) == bytes.len() as u64;
        fits.then_some(Self { bytes, ends })
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} names", self.len())
    }
}

/// The name that was made of these bytes.
#[cfg(unix)]
pub(super) fn of_bytes(bytes: &[u8]) -> Cow<'_, OsStr> {
    Cow::Borrowed(std::os::unix::ffi::OsStrExt::from_bytes(bytes))
}

/// The name that was made of these bytes; one that is no text is not found again.
#[cfg(not(unix))]
pub(super) fn of_bytes(bytes: &[u8]) -> Cow<'_, OsStr> {
    match String::from_utf8_lossy(bytes) {
        Cow::Borrowed(name) => Cow::Borrowed(name.as_ref()),
        Cow::Owned(name) => Cow::Owned(name.into()),
    }
}
