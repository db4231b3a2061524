//! A source that does what a test says.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use ijepa_data::{DataError, FetchError, Fetched, RgbImage8, Source};

type Fetch = dyn Fn(usize, &mut Vec<u8>) -> Result<Fetched, FetchError> + Send + Sync;

/// Images called `level-N` that a function gives.
pub(crate) struct Fake {
    len: usize,
    fetch: Box<Fetch>,
}

impl Fake {
    pub(crate) fn new(
        len: usize,
        fetch: impl Fn(usize, &mut Vec<u8>) -> Result<Fetched, FetchError> + Send + Sync + 'static,
    ) -> Self {
        let fetch = Box::new(fetch);
        Self { len, fetch }
    }

    /// The images of which [`level`] makes one.
    pub(crate) fn levels(len: usize) -> Self {
        Self::new(len, |index, _| level(index))
    }

    /// As [`levels`](Self::levels), but there are none in `bad`.
    pub(crate) fn with_bad(len: usize, bad: impl IntoIterator<Item = usize>) -> Self {
        let bad: HashSet<usize> = bad.into_iter().collect();
        Self::new(len, move |index, _| match bad.contains(&index) {
            true => Err(no_image(index)),
            false => level(index),
        })
    }

    /// 64 images of 20 x 16 pixels as files of 973 bytes.
    pub(crate) fn files() -> Self {
        Self::new(64, |index, buffer| Ok(file(index, buffer)))
    }

    /// The images of `source`, but for requests that fail for now: those of which `failing` says
    /// so, by how many there were before.
    pub(crate) fn flaky(
        source: impl Source + 'static,
        failing: impl Fn(u32) -> bool + Send + Sync + 'static,
    ) -> Self {
        let asked = AtomicU32::new(0);
        Self::new(source.len(), move |index, buffer| {
            match failing(asked.fetch_add(1, Ordering::Relaxed)) {
                true => Err(DataError::Read {
                    path: source.name(index).into(),
                    source: std::io::Error::from_raw_os_error(5),
                }
                .into()),
                false => source.fetch(index, buffer),
            }
        })
    }
}

/// An image of 20 x 16 pixels: a gradient in red, so that different crops of it differ, and its
/// number in green and blue.
pub(crate) fn level(index: usize) -> Result<Fetched, FetchError> {
    let pixels = (0..20 * 16).flat_map(|at| [(at % 20 * 12) as u8, index as u8, index as u8]);
    Ok(Fetched::Pixels(
        RgbImage8::new(20, 16, pixels.collect())?.into(),
    ))
}

pub(crate) fn no_image(index: usize) -> FetchError {
    let name = name(index);
    DataError::MissingImage { name }.into()
}

pub(crate) fn file(index: usize, buffer: &mut Vec<u8>) -> Fetched {
    *buffer = [b"P6 20 16 255\n".as_slice(), &[index as u8; 960]].concat();
    Fetched::File
}

fn name(index: usize) -> String {
    format!("level-{index}")
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} images of a test", self.len)
    }
}

impl Source for Fake {
    fn len(&self) -> usize {
        self.len
    }

    fn name(&self, index: usize) -> String {
        name(index)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        (self.fetch)(index, buffer)
    }
}
