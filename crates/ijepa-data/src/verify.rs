//! Which images of a data set can be read, and why others cannot.

use crate::error::DataError;
use crate::fetch::FetchError;
use crate::loader::Skipped;
use crate::reading::{ImageReader, Reading, in_order};
use crate::source::Source;

/// Images in a row that storage does not give until nobody waits any longer: it is away then, and
/// the images are not to blame.
const MOST_AWAY: usize = 8;

/// Images that are done and may wait for one before them, of `workers` threads.
pub(crate) fn ahead(workers: usize) -> usize {
    workers.saturating_mul(4)
}

/// Reads and decodes every image with `workers` threads, and gives those that cannot be used, in
/// the order of the source, each with its reason. `progress` is told how many are done.
///
/// Images that are not there or not permitted are listed, too.
///
/// # Errors
///
/// [`DataError::GaveUp`] if storage gave none of several images in a row, [`DataError::Threads`].
///
/// # Examples
///
/// ```
/// use ijepa_data::{DataSpec, Reading, verify};
///
/// let source = "scenes:n=8,size=16".parse::<DataSpec>()?.open()?;
/// let bad = verify(source.as_ref(), Reading::default(), 2, |_| ())?;
/// assert_eq!(bad, []);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
pub fn verify(
    source: &dyn Source,
    reading: Reading,
    workers: usize,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Skipped>, DataError> {
    let reader = ImageReader::new(reading);
    let read = |index, stopped: &dyn Fn() -> bool| {
        reader.read_with_file(source, index, stopped, |_, _| Ok(()))
    };
    let (mut bad, mut away) = (Vec::new(), 0);
    let list = |index, read: Result<(), FetchError>| {
        let error = read.err().map(FetchError::into_error);
        away = match error {
            Some(DataError::GaveUp { .. }) => away + 1,
            _ => 0,
        };
        match error {
            Some(error) if away >= MOST_AWAY => return Err(error),
            Some(error) => bad.push(Skipped::new(source, index, &error)),
            None => {}
        }
        progress(index + 1);
        Ok(())
    };
    in_order(source.len(), workers, ahead(workers), read, list)??;
    Ok(bad)
}
