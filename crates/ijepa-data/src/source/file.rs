//! Reading a file of a data set.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};

/// Bytes that the file of an image may have; the largest image that is decoded takes half of it.
const MOST_BYTES: u64 = 1 << 30;

/// Puts the file of an image into `buffer`.
///
/// # Errors
///
/// [`DataError::Read`], [`DataError::NotARegularFile`] for what may never end (a pipe, a device),
/// [`DataError::FileTooLarge`].
pub(super) fn fetch_file(path: &Path, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
    let unreadable = |source| DataError::Read {
        path: path.to_owned(),
        source,
    };
    let too_large = |found| DataError::FileTooLarge {
        path: path.to_owned(),
        found,
        most: MOST_BYTES,
    };
    buffer.clear();
    // Opening a pipe waits for a writer.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        let path = path.to_owned();
        return Err(DataError::NotARegularFile { path }.into());
    }
    if metadata.len() > MOST_BYTES {
        return Err(too_large(metadata.len()).into());
    }
    buffer.reserve(metadata.len() as usize + 1);
    let file = File::open(path).map_err(unreadable)?;
    let read = file.take(MOST_BYTES + 1).read_to_end(buffer);
    match read.map_err(unreadable)? as u64 {
        found if found > MOST_BYTES => Err(too_large(found).into()),
        _ => Ok(Fetched::File),
    }
}
