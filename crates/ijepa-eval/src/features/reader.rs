//! Threads that read images ahead of the encoder, in order.

use ijepa_data::{
    FetchError, Image, ImageReader, Preprocess, Reading, Skipped, Source, View, in_order,
};

use super::ExtractError;

/// Reads and resizes.
pub(crate) struct Reader<'a> {
    source: &'a dyn Source,
    preprocess: Preprocess,
    /// `[height, width]`.
    size: [usize; 2],
    images: ImageReader,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        source: &'a dyn Source,
        preprocess: Preprocess,
        size: [usize; 2],
        reading: Reading,
    ) -> Self {
        Self {
            source,
            preprocess,
            size,
            images: ImageReader::new(reading),
        }
    }

    /// Gives every image to `each`, in the order of the source, in the calling thread, until it
    /// fails or an image cannot be had; `workers` threads read about `ahead` images ahead.
    pub(super) fn read_all<E: From<ExtractError>>(
        &self,
        workers: usize,
        ahead: usize,
        mut each: impl FnMut(usize, Result<Image, Skipped>) -> Result<(), E>,
    ) -> Result<(), E> {
        let read = |index, stopped: &dyn Fn() -> bool| self.read(index, stopped);
        let each = |index, image: Result<_, ExtractError>| each(index, image?);
        in_order(self.source.len(), workers, ahead, read, each).map_err(ExtractError::from)?
    }

    /// One image of the right size, or why it is none.
    pub(crate) fn read(
        &self,
        index: usize,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Result<Image, Skipped>, ExtractError> {
        let view = |width, height| self.preprocess.view(width, height, self.size);
        let read = self.images.read(self.source, index, stopped, view);
        unless_damaged(self.source, index, read)
    }

    /// One image as it is.
    pub(super) fn original(
        source: &dyn Source,
        index: usize,
        reading: Reading,
    ) -> Result<Result<Image, Skipped>, ExtractError> {
        let reader = ImageReader::new(reading);
        let whole = |width, height| Ok(View::whole(width, height));
        let read = reader.read(source, index, &|| false, whole);
        unless_damaged(source, index, read)
    }
}

/// A damaged image is left out, one that cannot be had is an error.
fn unless_damaged(
    source: &dyn Source,
    index: usize,
    read: Result<Image, FetchError>,
) -> Result<Result<Image, Skipped>, ExtractError> {
    match read {
        Ok(image) => Ok(Ok(image)),
        Err(FetchError::Corrupt(error)) => Ok(Err(Skipped::new(source, index, &error))),
        Err(lost) => Err(lost.into_error().into()),
    }
}
