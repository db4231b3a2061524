//! Evaluations that end when they are told to.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use ijepa_data::{DataError, Depth, FetchError, Fetched, Layout, Mask, Retry, Source};

/// A source whose images cannot be had any more once `stop` is set, so that whatever goes through
/// them ends: what an [`Observer`](ijepa_train::run::Observer) measures by. What was made of them goes
/// through [`unless_stopped`].
#[derive(Debug)]
pub struct Stoppable<'a> {
    /// The images.
    pub source: &'a dyn Source,
    /// Whether nobody waits for them any more.
    pub stop: &'a AtomicBool,
    /// What is waited for unless that is set.
    pub retry: Retry,
}

/// `result`, which is worth nothing if it was told to stop meanwhile.
///
/// # Errors
///
/// That of `result`, unless it was told to stop.
pub fn unless_stopped<T, E>(stop: &AtomicBool, result: Result<T, E>) -> Result<Option<T>, E> {
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

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let stopped = || self.stop.load(Ordering::Relaxed);
        if stopped() {
            let name = self.name(index);
            return Err(FetchError::Missing(DataError::MissingImage { name }));
        }
        let fetch = || self.source.fetch(index, buffer);
        self.retry.run(&stopped, fetch)
    }

    fn is_computed(&self) -> bool {
        self.source.is_computed()
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        self.source.file(index)
    }

    fn layout(&self) -> Layout {
        self.source.layout()
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        self.source.mask(index)
    }

    fn depth(&self, index: usize) -> Result<Option<Depth>, DataError> {
        self.source.depth(index)
    }

    fn label_advice(&self) -> &'static str {
        self.source.label_advice()
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    fn faults(&self) -> Vec<String> {
        self.source.faults()
    }
}
