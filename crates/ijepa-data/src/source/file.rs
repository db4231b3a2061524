//! Reading the files of a data set, none of which fills the memory.

use std::fs::{self, File};
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};

/// Bytes that a file may have; the largest image that is decoded takes half of it.
pub(super) const MOST_BYTES: u64 = 1 << 30;

/// Puts the file of an image into `buffer`.
///
/// # Errors
///
/// [`DataError::Read`], [`DataError::NotARegularFile`] for what may never end (a pipe, a device),
/// [`DataError::FileTooLarge`].
pub(super) fn fetch_file(path: &Path, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
    buffer.clear();
    // Opening a pipe waits for a writer.
    let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if !metadata.is_file() {
        let path = path.to_owned();
        return Err(DataError::NotARegularFile { path }.into());
    }
    if metadata.len() > MOST_BYTES {
        return Err(too_large(path, metadata.len()).into());
    }
    buffer.reserve(metadata.len() as usize + 1);
    read_into(path, buffer)?;
    Ok(Fetched::File)
}

/// The bytes of a list or of annotations.
///
/// # Errors
///
/// [`DataError::Read`] or [`DataError::FileTooLarge`].
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    read_into(path, &mut bytes)?;
    Ok(bytes)
}

/// As [`read_file`], of text, without the byte order mark of some editors.
///
/// # Errors
///
/// As [`read_file`].
pub(super) fn read_text(path: &Path) -> Result<String, DataError> {
    let bytes = read_file(path)?;
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes));
    text.map(str::to_owned)
        .map_err(|cause| unreadable(path, Error::new(ErrorKind::InvalidData, cause)))
}

fn read_into(path: &Path, buffer: &mut Vec<u8>) -> Result<(), DataError> {
    let file = File::open(path).map_err(|source| unreadable(path, source))?;
    let read = file.take(MOST_BYTES + 1).read_to_end(buffer);
    match read.map_err(|source| unreadable(path, source))? as u64 {
        found if found > MOST_BYTES => Err(too_large(path, found)),
        _ => Ok(()),
    }
}

pub(crate) fn unreadable(path: &Path, source: Error) -> DataError {
    let path = path.to_owned();
    DataError::Read { path, source }
}

pub(super) fn too_large(path: &Path, found: u64) -> DataError {
    DataError::FileTooLarge {
        path: path.to_owned(),
        found,
        most: MOST_BYTES,
    }
}
