//! From an index to pixels: the one way on which loaders and evaluations read images.

mod ahead;
mod pixels;
mod retry;

use std::sync::{Mutex, PoisonError};

pub use ahead::in_order;
pub use retry::Retry;

use crate::decode::{Decoding, decode_as, guard, size};
use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::image::RgbImage8;
use crate::source::Source;
use pixels::{PixelBudget, Share};

/// Bytes of a buffer that is kept for the next image.
const KEPT_BYTES: usize = 16 << 20;

/// How images are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// How long images are waited for that cannot be read for now.
    pub retry: Retry,
    /// Pixels that are decoded at once by all threads together; an image of more is decoded alone.
    pub most_pixels: u64,
    /// What files become where there is a choice.
    pub decoding: Decoding,
}

impl Default for Reading {
    /// Eight attempts within 24 seconds; 2^28 pixels, 800 MB as 8-bit RGB; pixels as torchvision's.
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            most_pixels: 1 << 28,
            decoding: Decoding::default(),
        }
    }
}

/// Reads images for any number of threads.
///
/// Storage that fails for now is asked again ([`Retry`]). Of the images that are being read, the
/// files are in memory (one a thread, at most 1 GiB each) and [`Reading::most_pixels`] pixels, or
/// one larger image; decoding waits for its share. A panic of a source, a decoder or `make` is a
/// damaged image.
#[derive(Debug)]
pub struct ImageReader {
    retry: Retry,
    decoding: Decoding,
    pixels: PixelBudget,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl ImageReader {
    /// Reads as `config` says.
    pub fn new(config: Reading) -> Self {
        Self {
            retry: config.retry,
            decoding: config.decoding,
            pixels: PixelBudget::new(config.most_pixels),
            buffers: Mutex::default(),
        }
    }

    /// What `make` makes of image `index` of `source`; its pixels are dropped afterwards. Nothing
    /// is waited for any more once `stopped`.
    ///
    /// # Errors
    ///
    /// [`FetchError::Corrupt`] if there is no image in it or `make` fails,
    /// [`FetchError::Missing`] if it cannot be had, also after all attempts; never
    /// [`FetchError::Transient`].
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below the number of images.
    pub fn read<T>(
        &self,
        source: &dyn Source,
        index: usize,
        stopped: &dyn Fn() -> bool,
        make: impl FnOnce(&RgbImage8) -> Result<T, DataError>,
    ) -> Result<T, FetchError> {
        self.read_with_file(source, index, stopped, |image, _| make(image))
    }

    /// As [`read`](Self::read), with the file that the pixels come from, if they come from one.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn read_with_file<T>(
        &self,
        source: &dyn Source,
        index: usize,
        stopped: &dyn Fn() -> bool,
        make: impl FnOnce(&RgbImage8, Option<&[u8]>) -> Result<T, DataError>,
    ) -> Result<T, FetchError> {
        self.fetch(source, index, stopped, |fetched, file| match fetched {
            Fetched::Pixels(image) => make(&image, None),
            Fetched::File => {
                let (image, _share) = self.decode(file, &source.name(index))?;
                make(&image, Some(file))
            }
        })
    }

    /// What `make` makes of image `index` of `source` as it was fetched, with the bytes of its file
    /// if it is one; nothing is decoded.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn fetch<T>(
        &self,
        source: &dyn Source,
        index: usize,
        stopped: &dyn Fn() -> bool,
        make: impl FnOnce(Fetched, &[u8]) -> Result<T, DataError>,
    ) -> Result<T, FetchError> {
        let mut buffer = self.buffer();
        let made = guard(&source.name(index), || {
            let fetch = || source.fetch(index, &mut buffer);
            let fetched = self.retry.run(stopped, fetch)?;
            make(fetched, &buffer).map_err(FetchError::Corrupt)
        });
        self.keep(buffer);
        made.map_err(FetchError::Corrupt)?
    }

    /// Decodes a file when there is room for its pixels.
    fn decode(&self, file: &[u8], name: &str) -> Result<(RgbImage8, Share<'_>), DataError> {
        // What does not say its size may have any.
        let pixels = size(file).map_or(u64::MAX, |[width, height]| width * height);
        let share = self.pixels.take(pixels);
        Ok((decode_as(file, name, self.decoding)?, share))
    }

    fn buffer(&self) -> Vec<u8> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.pop().unwrap_or_default()
    }

    fn keep(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() <= KEPT_BYTES {
            let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
            buffers.push(buffer);
        }
    }
}
