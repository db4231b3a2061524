//! A part of a source.

use std::path::PathBuf;
use std::sync::Arc;

use ijepa_data::{FetchError, Fetched, Source, sample};

/// Some images of a source, in an order of their own.
#[derive(Debug, Clone)]
pub(crate) struct Subset {
    source: Arc<dyn Source>,
    indices: Vec<u32>,
}

impl Subset {
    /// The images at `indices`.
    pub(crate) fn new(source: Arc<dyn Source>, indices: Vec<u32>) -> Self {
        Self { source, indices }
    }

    /// At most `most` images, drawn by `seed`: the first of a sorted folder are of few classes.
    pub(crate) fn sample(source: Arc<dyn Source>, most: usize, seed: u64) -> Self {
        let indices = sample(seed, most, source.len());
        Self::new(source, indices)
    }

    fn at(&self, index: usize) -> usize {
        self.indices[index] as usize
    }
}

impl Source for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(self.at(index))
    }

    fn name(&self, index: usize) -> String {
        self.source.name(self.at(index))
    }

    fn is_computed(&self) -> bool {
        self.source.is_computed()
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        self.source.fetch(self.at(index), buffer)
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        self.source.file(self.at(index))
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }
}
