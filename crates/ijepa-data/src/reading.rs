//! From an index to pixels: the one way on which loaders and evaluations read images.

mod ahead;
mod meter;
mod pixels;
mod retry;

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub use ahead::in_order;
pub use meter::Costs;
pub use retry::Retry;

use crate::decode::{Decoding, as_asked, decode_part, guard};
use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::image::Image;
use crate::source::Source;
use crate::view::View;
use meter::Meter;
use pixels::PixelBudget;

/// Bytes of a buffer that is kept for the next image.
const KEPT_BYTES: usize = 16 << 20;

/// How images are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// How long images are waited for that cannot be read for now.
    pub retry: Retry,
    /// Pixels that are decoded at once by all threads together; an image of more is decoded alone.
    /// In full depth a pixel counts as many as take its memory.
    pub most_pixels: u64,
    /// Bytes of files that a loader holds until they are decoded, where each request that is under
    /// way counts as the largest file so far; a file of more is held alone.
    pub most_bytes: u64,
    /// Requests that a loader with workers has under way at once; 0 is four a worker, at least 16.
    pub io_depth: usize,
    /// What files become where there is a choice.
    pub decoding: Decoding,
    /// Channels that pictures show as red, green and blue of images in full depth; the first ones
    /// if nothing is said.
    pub picture: Option<[usize; 3]>,
}

impl Reading {
    /// Channels that pictures show as red, green and blue: those asked for if there are such, else
    /// the first three, the first one where there is but one, and the second twice of two.
    pub fn shown(&self) -> [usize; 3] {
        let channels = self.decoding.channels;
        let asked = self
            .picture
            .filter(|shown| shown.iter().all(|&it| it < channels));
        asked.unwrap_or_else(|| [0, 1, 2].map(|place| place.min(channels.saturating_sub(1))))
    }
}

impl Default for Reading {
    /// Eight attempts within 24 seconds; 2^28 pixels, 800 MB as 8-bit RGB; 2^28 bytes of files,
    /// four requests a worker; pixels as torchvision's.
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            most_pixels: 1 << 28,
            most_bytes: 1 << 28,
            io_depth: 0,
            decoding: Decoding::default(),
            picture: None,
        }
    }
}

/// What a source gave of an image.
#[derive(Debug)]
pub(crate) struct FetchedImage {
    name: String,
    buffer: Vec<u8>,
    fetched: Fetched,
}

impl FetchedImage {
    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        let pixels = match &self.fetched {
            Fetched::Pixels(image) => image.byte_len(),
            Fetched::File => 0,
        };
        (self.buffer.capacity() + pixels) as u64
    }
}

/// Reads images for any number of threads.
///
/// Storage that fails for now is asked again ([`Retry`]). Of the images that are being read, the
/// files are in memory (one a thread, at most 1 GiB each) and [`Reading::most_pixels`] pixels, or
/// one larger image; decoding waits for its share. A panic of a source, a decoder or `choose` is a
/// damaged image.
#[derive(Debug)]
pub struct ImageReader {
    retry: Retry,
    decoding: Decoding,
    pixels: PixelBudget,
    buffers: Mutex<Vec<Vec<u8>>>,
    meter: Meter,
}

impl ImageReader {
    /// Reads as `config` says.
    pub fn new(config: Reading) -> Self {
        Self {
            retry: config.retry,
            decoding: config.decoding,
            pixels: PixelBudget::new(config.most_pixels),
            buffers: Mutex::default(),
            meter: Meter::default(),
        }
    }

    /// The part of image `index` of `source` that `choose` wants of an image with so many columns
    /// and rows. Nothing is waited for any more once `stopped`.
    ///
    /// # Errors
    ///
    /// [`FetchError::Corrupt`] if there is no image in it or `choose` fails,
    /// [`FetchError::Missing`] if it cannot be had, also after all attempts; never
    /// [`FetchError::Transient`].
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below the number of images.
    pub fn read(
        &self,
        source: &dyn Source,
        index: usize,
        stopped: &dyn Fn() -> bool,
        choose: impl FnMut(usize, usize) -> Result<View, DataError>,
    ) -> Result<Image, FetchError> {
        let image = self.fetch_image(source, index, stopped)?;
        self.view(image, choose).map_err(FetchError::Corrupt)
    }

    /// What `make` makes of all pixels of image `index` of `source`, with the file that they come
    /// from, if they come from one.
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
        make: impl FnOnce(&Image, Option<&[u8]>) -> Result<T, DataError>,
    ) -> Result<T, FetchError> {
        let name = source.name(index);
        self.fetch(source, index, stopped, |fetched, file| match fetched {
            Fetched::Pixels(image) => make(as_asked(&image, &name, self.decoding)?.as_ref(), None),
            Fetched::File => {
                let whole = |width, height| Ok(View::whole(width, height));
                let hold = |pixels| self.pixels.take(pixels);
                let part = decode_part(file, &name, self.decoding, hold, whole)?;
                make(&part.image, Some(file))
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
        let FetchedImage {
            name,
            buffer,
            fetched,
        } = self.fetch_image(source, index, stopped)?;
        let made = guard(&name, || make(fetched, &buffer)).flatten();
        self.keep(buffer);
        made.map_err(FetchError::Corrupt)
    }

    /// The first half of [`read`](Self::read): waits for the storage.
    pub(crate) fn fetch_image(
        &self,
        source: &dyn Source,
        index: usize,
        stopped: &dyn Fn() -> bool,
    ) -> Result<FetchedImage, FetchError> {
        let (name, since) = (source.name(index), Instant::now());
        let mut buffer = self.buffer();
        let attempt = || guard(&name, || source.fetch(index, &mut buffer))?;
        match self.retry.run(stopped, attempt) {
            Ok(fetched) => {
                let bytes = match &fetched {
                    Fetched::Pixels(image) => image.byte_len(),
                    Fetched::File => buffer.len(),
                };
                self.meter.fetched(bytes as u64, since);
                Ok(FetchedImage {
                    name,
                    buffer,
                    fetched,
                })
            }
            Err(error) => {
                self.keep(buffer);
                Err(error)
            }
        }
    }

    /// The second half: decodes.
    pub(crate) fn view(
        &self,
        image: FetchedImage,
        mut choose: impl FnMut(usize, usize) -> Result<View, DataError>,
    ) -> Result<Image, DataError> {
        let FetchedImage {
            name,
            buffer,
            fetched,
        } = image;
        let view = guard(&name, || match &fetched {
            Fetched::Pixels(image) => {
                let since = Instant::now();
                let view = choose(image.width(), image.height())?;
                let shown = view.of_any(as_asked(image, &name, self.decoding)?.as_ref());
                self.meter.cropped(since);
                shown
            }
            Fetched::File => self.decode_and_crop(&buffer, &name, choose),
        });
        self.keep(buffer);
        view?
    }

    fn decode_and_crop(
        &self,
        file: &[u8],
        name: &str,
        choose: impl FnMut(usize, usize) -> Result<View, DataError>,
    ) -> Result<Image, DataError> {
        let waited = Cell::new(Instant::now());
        let hold = |pixels| {
            let share = self.pixels.take(pixels);
            waited.set(Instant::now());
            share
        };
        let part = decode_part(file, name, self.decoding, hold, choose)?;
        self.meter.decoded(waited.get());
        let since = Instant::now();
        let shown = part.shown();
        self.meter.cropped(since);
        shown
    }

    /// What reading has cost so far.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
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
