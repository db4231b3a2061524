//! What every mask strategy has in common.

use crate::{MaskGroup, MaskRng, PatchGrid};

/// Draws the masks of one group of images.
///
/// The trainer calls `sample(images, &mut MaskRng::for_group(seed, step, group))` and nothing
/// else, so an implementation that takes all its randomness from `rng` is reproducible whatever
/// the number of threads, ranks or micro-batches.
pub trait MaskSampler: Send + Sync {
    /// The grid the masks refer to.
    fn grid(&self) -> PatchGrid;

    /// Draws masks for `images` images: all contexts have one length and all targets another.
    ///
    /// # Panics
    ///
    /// Panics if `images` is zero.
    fn sample(&self, images: usize, rng: &mut MaskRng) -> MaskGroup;
}
