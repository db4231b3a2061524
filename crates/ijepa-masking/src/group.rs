//! What a sampler returns: rectangular lists of patch numbers.

use std::ops::Range;

use crate::PatchGrid;

/// The masks of one group of consecutive images.
///
/// The reference calls the contexts `masks_enc` and the targets `masks_pred`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskGroup {
    /// The grid that patch numbers refer to.
    pub grid: PatchGrid,
    /// One entry a context block; all have the same length.
    pub contexts: Vec<PatchIndices>,
    /// One entry a target block; all have the same length.
    pub targets: Vec<PatchIndices>,
    /// How often a target had to be ignored because too little context was left.
    pub relaxations: usize,
}

impl MaskGroup {
    /// The masks of some of the images.
    ///
    /// # Panics
    ///
    /// Panics if there are fewer images.
    #[must_use]
    pub fn part(&self, images: Range<usize>) -> Self {
        let part = |blocks: &[PatchIndices]| {
            let blocks = blocks.iter().map(|block| block.part(images.clone()));
            blocks.collect()
        };
        Self {
            grid: self.grid,
            contexts: part(&self.contexts),
            targets: part(&self.targets),
            relaxations: self.relaxations,
        }
    }
}

/// Patch numbers `[images, kept]`, ascending in each row, stored row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchIndices {
    kept: usize,
    indices: Vec<u32>,
}

impl PatchIndices {
    /// Takes `kept` patch numbers for each image, image after image.
    ///
    /// # Panics
    ///
    /// Panics if `kept` is zero or does not divide the number of indices.
    pub fn new(kept: usize, indices: Vec<u32>) -> Self {
        assert!(
            kept > 0 && indices.len().is_multiple_of(kept),
            "{} indices are no rows of {kept}",
            indices.len()
        );
        Self { kept, indices }
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.indices.len() / self.kept
    }

    /// Number of patches of each image.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// The patch numbers of image `image`.
    ///
    /// # Panics
    ///
    /// Panics if there is no such image.
    pub fn row(&self, image: usize) -> &[u32] {
        &self.indices[image * self.kept..][..self.kept]
    }

    /// Those of some of the images.
    ///
    /// # Panics
    ///
    /// Panics if there are fewer images.
    #[must_use]
    pub fn part(&self, images: Range<usize>) -> Self {
        let rows = &self.indices[images.start * self.kept..images.end * self.kept];
        Self::new(self.kept, rows.to_vec())
    }

    /// All patch numbers, `[images * kept]`.
    pub fn as_slice(&self) -> &[u32] {
        &self.indices
    }
}

/// Masks of several images before they are cut to one length.
#[derive(Debug, Default)]
pub(crate) struct Ragged {
    indices: Vec<u32>,
    ends: Vec<usize>,
}

impl Ragged {
    pub(crate) fn with_capacity(images: usize, patches: usize) -> Self {
        Self {
            indices: Vec::with_capacity(images * patches),
            ends: Vec::with_capacity(images),
        }
    }

    /// Appends a mask and returns its length.
    pub(crate) fn push(&mut self, patches: impl IntoIterator<Item = u32>) -> usize {
        let start = self.indices.len();
        self.indices.extend(patches);
        self.ends.push(self.indices.len());
        self.indices.len() - start
    }

    /// Removes the last mask.
    pub(crate) fn pop(&mut self) {
        self.ends.pop();
        self.indices
            .truncate(self.ends.last().copied().unwrap_or(0));
    }

    pub(crate) fn shortest(&self) -> usize {
        self.rows().map(<[u32]>::len).min().unwrap_or(0)
    }

    fn rows(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.indices[start..end])
    }

    /// Keeps the first `kept` patches of every mask: those nearest the top of the image.
    pub(crate) fn cut_to_first(&self, kept: usize) -> PatchIndices {
        PatchIndices::new(
            kept,
            self.rows().flat_map(|row| &row[..kept]).copied().collect(),
        )
    }

    /// Keeps `kept` patches of every mask, chosen uniformly by `below(n)`, a number under `n`.
    pub(crate) fn cut_at_random(
        &self,
        kept: usize,
        mut below: impl FnMut(usize) -> usize,
    ) -> PatchIndices {
        let mut indices = Vec::with_capacity(kept * self.ends.len());
        for row in self.rows() {
            // Selection sampling (Knuth 3.4.2 S) keeps the order.
            let mut wanted = kept;
            for (seen, &patch) in row.iter().enumerate() {
                if below(row.len() - seen) < wanted {
                    indices.push(patch);
                    wanted -= 1;
                }
            }
        }
        PatchIndices::new(kept, indices)
    }
}
