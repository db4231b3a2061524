//! A file that is read in parts.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use super::local::LocalFile;
use super::patiently;
#[cfg(feature = "remote")]
use super::remote::Object;
use crate::error::DataError;
use crate::source::stamp::Stamp;

/// An open file of this machine, or an object behind a URL.
#[derive(Debug)]
pub(in crate::source) enum Blob {
    File(LocalFile),
    #[cfg(feature = "remote")]
    Object(Object),
}

impl Blob {
    /// Opens a file of this machine.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        LocalFile::open(path).map(Self::File)
    }

    /// What it is by now.
    pub(in crate::source) fn stamp(&self) -> Result<Stamp, DataError> {
        match self {
            Self::File(file) => file.stamp(),
            #[cfg(feature = "remote")]
            Self::Object(object) => object.stamp(),
        }
    }

    /// Fills `buffer` with the bytes from `start` on.
    ///
    /// # Errors
    ///
    /// [`DataError::Read`], or [`DataError::Replaced`] if it is not what `stamp` says: what is
    /// known about it would give other images.
    pub(in crate::source) fn read_into(
        &self,
        buffer: &mut [u8],
        start: u64,
        stamp: &Stamp,
    ) -> Result<(), DataError> {
        match self {
            Self::File(file) => file.read_into(buffer, start, stamp),
            #[cfg(feature = "remote")]
            Self::Object(object) => object.read_into(buffer, start, stamp),
        }
    }

    /// The bytes of `range`.
    ///
    /// # Errors
    ///
    /// As [`read_into`](Self::read_into).
    pub(in crate::source) fn read(
        &self,
        range: Range<u64>,
        stamp: &Stamp,
    ) -> Result<Bytes, DataError> {
        match self {
            Self::File(..) => {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                self.read_into(&mut bytes, range.start, stamp)?;
                Ok(bytes.into())
            }
            #[cfg(feature = "remote")]
            Self::Object(object) => object.read(range, stamp),
        }
    }

    /// Bytes that are sooner read than asked for anew behind them.
    fn near(&self) -> u64 {
        match self {
            Self::File(..) => 0,
            #[cfg(feature = "remote")]
            Self::Object(_) => 64 << 10,
        }
    }
}

/// Goes through a file from its beginning to its end and reads little of what is passed over.
#[derive(Debug)]
pub(in crate::source) struct Scanner<'a> {
    blob: &'a Blob,
    stamp: &'a Stamp,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    position: u64,
    /// Bytes of the file from `start` on.
    block: Bytes,
    start: u64,
    failure: Option<DataError>,
}

/// Bytes of the first request and of one behind what was passed over: some headers.
const LEAST_BLOCK: u64 = 4 << 10;
/// Bytes of a request where nothing is passed over.
const MOST_BLOCK: u64 = 1 << 20;

impl<'a> Scanner<'a> {
    /// Begins with the first byte of `blob`, which is what `stamp` says.
    pub(in crate::source) fn new(blob: &'a Blob, stamp: &'a Stamp) -> Self {
        let state = RefCell::default();
        Self { blob, stamp, state }
    }

    /// Why reading failed, if it did; what was made of the error elsewhere does not count.
    pub(in crate::source) fn failure(&self) -> Option<DataError> {
        self.state.borrow_mut().failure.take()
    }

    /// What lies at the position; nothing at the end.
    fn here(&self, state: &mut State) -> io::Result<Bytes> {
        let held = state.start..state.start + state.block.len() as u64;
        let left = self.stamp.bytes.saturating_sub(state.position);
        if !held.contains(&state.position) && left > 0 {
            let gap = state.position.checked_sub(held.end);
            let length = match gap.is_some_and(|gap| gap < self.blob.near()) {
                true => (2 * state.block.len() as u64).clamp(LEAST_BLOCK, MOST_BLOCK),
                false => LEAST_BLOCK,
            };
            let range = state.position..state.position + length.min(left);
            match patiently(|| self.blob.read(range.clone(), self.stamp)) {
                Ok(block) => (state.start, state.block) = (range.start, block),
                Err(error) => {
                    let cause = io::Error::other(error.to_string());
                    state.failure = Some(error);
                    return Err(cause);
                }
            }
        }
        let at = state.position.checked_sub(state.start);
        let at = at.filter(|&at| at < state.block.len() as u64);
        Ok(at.map_or_else(Bytes::new, |at| state.block.slice(at as usize..)))
    }
}

impl Read for &Scanner<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let state = &mut *self.state.borrow_mut();
        let here = self.here(state)?;
        let count = buffer.len().min(here.len());
        buffer[..count].copy_from_slice(&here[..count]);
        state.position += count as u64;
        Ok(count)
    }
}

impl Seek for &Scanner<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let state = &mut *self.state.borrow_mut();
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(step) => state.position.checked_add_signed(step),
            SeekFrom::End(step) => self.stamp.bytes.checked_add_signed(step),
        };
        state.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(state.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanner_reads_what_a_file_holds() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        let content: Vec<u8> = (0..20_000_u32).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let blob = Blob::open(&path).unwrap();
        let stamp = blob.stamp().unwrap();
        let scanner = Scanner::new(&blob, &stamp);
        let mut reader = &scanner;
        let mut found = [0; 700];
        for start in [0, 700, 4000, 100, 19_300] {
            reader.seek(SeekFrom::Start(start)).unwrap();
            reader.read_exact(&mut found).unwrap();
            assert_eq!(found[..], content[start as usize..][..700], "{start}");
        }
        assert_eq!(reader.read(&mut found).unwrap(), 0);
        assert_eq!(reader.seek(SeekFrom::Current(-5)).unwrap(), 19_995);
        assert_eq!(reader.read(&mut found).unwrap(), 5);
        reader.seek(SeekFrom::Start(1 << 40)).unwrap();
        assert_eq!(reader.read(&mut found).unwrap(), 0);
        assert!(scanner.failure().is_none());
        // Another file is no place to go on with.
        std::fs::write(&path, "other").unwrap();
        reader.seek(SeekFrom::Start(9_000)).unwrap();
        assert!(reader.read(&mut found).is_err());
        let failure = scanner.failure();
        assert!(matches!(failure, Some(DataError::Replaced { .. })));
    }
}
