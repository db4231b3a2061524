//! Random masking: a random set of patches is the target (paper §8, table 6).

use crate::{MaskError, MaskGroup, MaskRng, MaskSampler, PatchGrid, PatchIndices, block::Range};

/// A random set of patches is the single target, the remaining ones are the context.
///
/// The share of target patches is drawn once a group, the set once an image.
/// DIFFERENCE(D-05): both sets are sorted; the order of tokens has no effect on a transformer.
#[derive(Debug, Clone)]
pub struct RandomSampler {
    grid: PatchGrid,
    ratio: Range,
}

impl RandomSampler {
    /// Share of target patches in the paper's table 6.
    pub const PAPER_RATIO: Range = Range::new(0.6, 0.6);
    /// Share of target patches of masked autoencoders (He et al. 2022, §3).
    pub const MAE_RATIO: Range = Range::new(0.75, 0.75);

    /// A sampler on `grid` whose targets hold a share in `ratio` of the patches.
    ///
    /// # Errors
    ///
    /// [`MaskError::Range`] of the key `ratio` for an invalid range and [`MaskError::EmptyMask`] if
    /// a context or a target could be empty.
    pub fn new(grid: PatchGrid, ratio: Range) -> Result<Self, MaskError> {
        ratio.check_scale("ratio")?;
        let sampler = Self { grid, ratio };
        let patches = grid.num_patches();
        if sampler.context_length(1.0) == 0 || sampler.context_length(0.0) == patches {
            return Err(MaskError::EmptyMask {
                strategy: "random",
                rows: grid.rows(),
                cols: grid.cols(),
            });
        }
        Ok(sampler)
    }

    fn context_length(&self, unit: f64) -> usize {
        (self.grid.num_patches() as f64 * (1.0 - self.ratio.at(unit))) as usize
    }
}

impl MaskSampler for RandomSampler {
    fn grid(&self) -> PatchGrid {
        self.grid
    }

    fn sample(&self, images: usize, rng: &mut MaskRng) -> MaskGroup {
        assert!(images > 0, "a mask group needs at least one image");
        let patches = self.grid.num_patches();
        let context_length = self.context_length(rng.size_unit());
        let (mut target, mut context) = (Vec::new(), Vec::new());
        for _ in 0..images {
            let mut wanted = context_length;
            for patch in 0..patches {
                if rng.position(patches - patch) < wanted {
                    context.push(patch as u32);
                    wanted -= 1;
                } else {
                    target.push(patch as u32);
                }
            }
        }
        MaskGroup {
            grid: self.grid,
            contexts: vec![PatchIndices::new(context_length, context)],
            targets: vec![PatchIndices::new(patches - context_length, target)],
            relaxations: 0,
        }
    }
}
