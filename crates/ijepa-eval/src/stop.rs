//! Evaluations that end when they are told to.

use std::sync::atomic::{AtomicBool, Ordering};

use ijepa_data::{DataError, RgbImage8, Source};

/// A source whose images cannot be read any more once `stop` is set, so that whatever goes through
/// them ends with those it has.
#[derive(Debug)]
pub(crate) struct Stoppable<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) stop: &'a AtomicBool,
}

/// `result`, which is worth nothing if it was told to stop meanwhile.
pub(crate) fn unless<T, E>(stop: &AtomicBool, result: Result<T, E>) -> Result<Option<T>, E> {
    match stop.load(Ordering::Relaxed) {
        true => Ok(None),
        false => result.map(Some),
    }
}

impl Source for Stoppable<'_> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn read(&self, index: usize) -> Result<RgbImage8, DataError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(DataError::MissingImage {
                name: self.name(index),
            });
        }
        self.source.read(index)
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }
}
