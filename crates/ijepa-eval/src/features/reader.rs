//! Threads that read images ahead of the encoder, in order.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, scope};

use ijepa_data::{DataError, Preprocess, RgbImage8, Skipped, Source};

use super::ExtractError;

/// Reads and resizes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) preprocess: Preprocess,
    /// `[height, width]`.
    pub(crate) size: [usize; 2],
}

impl Reader<'_> {
    /// Gives every image to `each`, in the order of the source, in the calling thread, until it
    /// fails.
    ///
    /// Thread `n` of `workers` reads every `workers`th image from `n` on, so order needs no
    /// bookkeeping; about `ahead` images wait in all.
    pub(super) fn read_all<E: From<ExtractError>>(
        self,
        workers: usize,
        ahead: usize,
        mut each: impl FnMut(usize, Result<RgbImage8, Skipped>) -> Result<(), E>,
    ) -> Result<(), E> {
        let images = self.source.len();
        let count = workers.min(images);
        if count == 0 {
            return (0..images).try_for_each(|index| each(index, self.read(index)));
        }
        scope(|scope| {
            let mut queues = Vec::with_capacity(count);
            for first in 0..count {
                let (sender, queue) = sync_channel(ahead.min(images).div_ceil(count));
                let work = move || {
                    for index in (first..images).step_by(count) {
                        // Nobody listens any more once the caller has given up.
                        if sender.send(self.read(index)).is_err() {
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
            (0..images).try_for_each(|index| {
                let image = queues[index % count].recv();
                each(
                    index,
                    image.expect("a thread sends all images of its share"),
                )
            })
        })
    }

    /// One image of the right size.
    pub(crate) fn read(self, index: usize) -> Result<RgbImage8, Skipped> {
        guarded(self.source, index, || {
            let image = self.source.read(index)?;
            self.preprocess.apply(&image, self.size)
        })
    }

    /// One image as it is.
    pub(super) fn original(source: &dyn Source, index: usize) -> Result<RgbImage8, Skipped> {
        guarded(source, index, || source.read(index))
    }
}

/// What `read` gives of image `index`. A decoder's panic must cost one image, not the run.
fn guarded(
    source: &dyn Source,
    index: usize,
    read: impl FnOnce() -> Result<RgbImage8, DataError>,
) -> Result<RgbImage8, Skipped> {
    let read = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        Err(DataError::DecoderPanic {
            name: source.name(index),
            why: text.unwrap_or("no reason given").to_owned(),
        })
    });
    read.map_err(|error| Skipped {
        index: index as u32,
        path: source.name(index),
        why: chain(&error),
    })
}

/// An error and its causes on one line, separated by colons.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text.replace('\n', " ")
}
