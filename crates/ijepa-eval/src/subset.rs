//! A part of a source.

use std::path::PathBuf;
use std::sync::Arc;

use ijepa_data::{DataError, Depth, FetchError, Fetched, Layout, Mask, Source, sample};

/// Some images of a source, in an order of their own.
#[derive(Debug, Clone)]
pub struct Subset {
    source: Arc<dyn Source>,
    indices: Vec<u32>,
}

impl Subset {
    /// The images at `indices`.
    pub fn new(source: Arc<dyn Source>, indices: Vec<u32>) -> Self {
        Self { source, indices }
    }

    /// At most `most` images, drawn by `seed`: the first of a sorted folder are of few classes.
    pub fn sample(source: Arc<dyn Source>, most: usize, seed: u64) -> Self {
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

    /// Images in an order of their own lie alone.
    fn layout(&self) -> Layout {
        match self.indices.is_sorted() {
            true => self.source.layout().of_some(&self.indices),
            false => Layout::Alone(self.len()),
        }
    }

    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        self.source.mask(self.at(index))
    }

    fn depth(&self, index: usize) -> Result<Option<Depth>, DataError> {
        self.source.depth(self.at(index))
    }

    fn notes(&self) -> Vec<String> {
        self.source.notes()
    }

    fn faults(&self) -> Vec<String> {
        self.source.faults()
    }

    fn label_advice(&self) -> &'static str {
        self.source.label_advice()
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Forty images in four runs, of which one is mixed at a time.
    #[derive(Debug)]
    struct Shards;

    impl Source for Shards {
        fn len(&self) -> usize {
            40
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn fetch(&self, _: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
            unreachable!("nothing is read")
        }

        fn layout(&self) -> Layout {
            let (ends, window) = (vec![10, 20, 30, 40], 1);
            Layout::Runs { ends, window }
        }
    }

    #[test]
    fn a_part_of_shards_is_read_shard_by_shard() {
        let some = Subset::sample(Arc::new(Shards), 20, 3);
        let order = some.layout().order(0, 0);
        assert_eq!(order.len(), 20);
        let runs: Vec<usize> = order.iter().map(|&at| some.at(at as usize) / 10).collect();
        let changes = runs.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert_eq!(changes, 3, "{runs:?}");
        let mixed = Subset::new(Arc::new(Shards), vec![30, 2]);
        assert_eq!(mixed.layout(), Layout::Alone(2));
    }
}
