//! Threads that read images ahead of the encoder, in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, scope};

use ijepa_data::{
    DataError, FetchError, ImageReader, Preprocess, Reading, RgbImage8, Skipped, Source,
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
    /// fails or an image cannot be had.
    ///
    /// Thread `n` of `workers` reads every `workers`th image from `n` on, so order needs no
    /// bookkeeping; about `ahead` images wait in all.
    pub(super) fn read_all<E: From<ExtractError>>(
        &self,
        workers: usize,
        ahead: usize,
        mut each: impl FnMut(usize, Result<RgbImage8, Skipped>) -> Result<(), E>,
    ) -> Result<(), E> {
        let images = self.source.len();
        let count = workers.min(images);
        let ended = &AtomicBool::new(false);
        let stopped = || ended.load(Ordering::Relaxed);
        if count == 0 {
            return (0..images).try_for_each(|index| each(index, self.read(index, &stopped)?));
        }
        scope(|scope| {
            let mut queues = Vec::with_capacity(count);
            for first in 0..count {
                let (sender, queue) = sync_channel(ahead.min(images).div_ceil(count));
                let work = move || {
                    for index in (first..images).step_by(count) {
                        // Nobody listens any more once the caller has given up.
                        if sender.send(self.read(index, &stopped)).is_err() {
                            break;
                        }
                    }
                };
                Builder::new()
                    .name(format!("ijepa-eval-{first}"))
                    .spawn_scoped(scope, work)
                    .map_err(|source| ExtractError::Threads { count, source })?;
                queues.push(queue);
            }
            let result = (0..images).try_for_each(|index| {
                let image = queues[index % count].recv();
                let image = image.expect("a thread sends all images of its share");
                each(index, image?)
            });
            ended.store(true, Ordering::Relaxed);
            result
        })
    }

    /// One image of the right size, or why it is none.
    pub(crate) fn read(
        &self,
        index: usize,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Result<RgbImage8, Skipped>, ExtractError> {
        let resize = |image: &RgbImage8| self.preprocess.apply(image, self.size);
        let read = self.images.read(self.source, index, stopped, resize);
        unless_damaged(self.source, index, read)
    }

    /// One image as it is.
    pub(super) fn original(
        source: &dyn Source,
        index: usize,
    ) -> Result<Result<RgbImage8, Skipped>, ExtractError> {
        let reader = ImageReader::new(Reading::default());
        let copy = |image: &RgbImage8| Ok::<_, DataError>(image.clone());
        let read = reader.read(source, index, &|| false, copy);
        unless_damaged(source, index, read)
    }
}

/// A damaged image is left out, one that cannot be had is an error.
fn unless_damaged(
    source: &dyn Source,
    index: usize,
    read: Result<RgbImage8, FetchError>,
) -> Result<Result<RgbImage8, Skipped>, ExtractError> {
    match read {
        Ok(image) => Ok(Ok(image)),
        Err(FetchError::Corrupt(error)) => Ok(Err(Skipped::new(source, index, &error))),
        Err(lost) => Err(lost.into_error().into()),
    }
}
