//! Configuration of the paper's multi-block strategy.

use serde::{Deserialize, Serialize};

use crate::{
    MaskError, MaskGroup, MaskRng, MaskSampler, PatchGrid,
    block::{BlockSizes, Range},
    official::OfficialSampler,
    uniform::UniformSampler,
};

/// Which form of multi-block sampling to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaskMode {
    /// The rules of the reference code with all their quirks: the last row and column are never
    /// used, one random number sets scale and aspect ratio, contexts lose their bottom patches.
    #[default]
    Official,
    /// The same idea without the quirks: every row and column is reached, scale and aspect ratio
    /// are independent, the surplus of a context is dropped at random.
    Uniform,
}

/// Several target blocks and the context blocks that avoid them (paper §3, appendix A.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiBlockConfig {
    /// Form of the sampler.
    pub mode: MaskMode,
    /// Contexts have a multiple of this many patches (uniform mode only; 1 means any length).
    pub length_multiple: usize,
    /// Target blocks per image, M in the paper.
    pub num_targets: usize,
    /// Fraction of the patches that a target block covers.
    pub target_scale: Range,
    /// Height over width of a target block.
    pub target_aspect: Range,
    /// Context blocks per image.
    pub num_contexts: usize,
    /// Fraction of the patches that a context block covers before targets are removed.
    pub context_scale: Range,
    /// Every mask keeps more patches than this.
    pub min_keep: usize,
    /// Whether contexts may contain target patches.
    pub allow_overlap: bool,
}

impl Default for MultiBlockConfig {
    /// The values of all published training runs.
    fn default() -> Self {
        Self {
            mode: MaskMode::Official,
            length_multiple: 1,
            num_targets: 4,
            target_scale: Range::new(0.15, 0.2),
            target_aspect: Range::new(0.75, 1.5),
            num_contexts: 1,
            context_scale: Range::new(0.85, 1.0),
            min_keep: 10,
            allow_overlap: false,
        }
    }
}

/// Blocks of a kind; the paper has four.
const MOST_BLOCKS: usize = 1024;
/// Contexts are drawn square.
pub(crate) const CONTEXT_ASPECT: Range = Range::new(1.0, 1.0);

impl MultiBlockConfig {
    /// The sampler of this configuration on `grid`.
    ///
    /// # Errors
    ///
    /// Any [`MaskError`] but the grid's own: a configuration that could not be sampled for some
    /// draw is refused here, so [`MaskSampler::sample`] always returns.
    pub fn build(&self, grid: PatchGrid) -> Result<MultiBlockSampler, MaskError> {
        self.check_values()?;
        // No block of the reference has the height or width of the grid.
        grid.check_sides(2, "multi_block")?;
        let kind = match self.mode {
            MaskMode::Official => {
                if self.length_multiple != 1 {
                    return Err(MaskError::MultipleNeedsUniform(self.length_multiple));
                }
                Kind::Official(self.official(grid)?)
            }
            MaskMode::Uniform => Kind::Uniform(self.uniform(grid)?),
        };
        Ok(MultiBlockSampler { kind })
    }

    fn official(&self, grid: PatchGrid) -> Result<OfficialSampler, MaskError> {
        let target_sizes = BlockSizes::within(grid, self.target_scale, self.target_aspect);
        let context_sizes = BlockSizes::within(grid, self.context_scale, CONTEXT_ASPECT);
        for (key, sizes) in [
            ("mask.target_scale", &target_sizes),
            ("mask.context_scale", &context_sizes),
        ] {
            self.check_smallest(grid, key, sizes.smallest_when_tied())?;
        }
        Ok(OfficialSampler {
            config: self.clone(),
            grid,
            target_sizes,
            context_sizes,
        })
    }

    fn uniform(&self, grid: PatchGrid) -> Result<UniformSampler, MaskError> {
        let target_sizes = BlockSizes::covering(grid, self.target_scale, self.target_aspect);
        let context_sizes = BlockSizes::covering(grid, self.context_scale, CONTEXT_ASPECT);
        let [target, _] = target_sizes.extremes_when_independent();
        self.check_smallest(grid, "mask.target_scale", target)?;
        let [context, _] = context_sizes.extremes_when_independent();
        let patches = self.check_smallest(grid, "mask.context_scale", context)?;
        let least_context = (self.min_keep / self.length_multiple + 1) * self.length_multiple;
        if least_context > patches {
            return Err(MaskError::MultipleTooLong {
                multiple: self.length_multiple,
                min_keep: self.min_keep,
                patches,
            });
        }
        let official = self.official(grid)?;
        Ok(UniformSampler {
            official,
            target_sizes,
            context_sizes,
            least_context,
        })
    }

    fn check_values(&self) -> Result<(), MaskError> {
        self.target_scale.check_scale("mask.target_scale")?;
        self.target_aspect.check_aspect("mask.target_aspect")?;
        self.context_scale.check_scale("mask.context_scale")?;
        let counts = [
            ("mask.num_targets", self.num_targets, MOST_BLOCKS),
            ("mask.num_contexts", self.num_contexts, MOST_BLOCKS),
            ("mask.length_multiple", self.length_multiple, usize::MAX),
        ];
        for (key, found, most) in counts {
            if found == 0 {
                return Err(MaskError::Zero { key });
            }
            if found > most {
                return Err(MaskError::TooManyBlocks { key, found, most });
            }
        }
        Ok(())
    }

    /// Patches of the smallest size of a block, which must exceed `min_keep`.
    fn check_smallest(
        &self,
        grid: PatchGrid,
        key: &'static str,
        (height, width): (usize, usize),
    ) -> Result<usize, MaskError> {
        if height * width <= self.min_keep {
            let (rows, cols, min_keep) = (grid.rows(), grid.cols(), self.min_keep);
            return Err(MaskError::BlockTooSmall {
                key,
                height,
                width,
                rows,
                cols,
                min_keep,
            });
        }
        Ok(height * width)
    }
}

/// Draws multi-block masks; built by [`MultiBlockConfig::build`].
#[derive(Debug, Clone)]
pub struct MultiBlockSampler {
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Official(OfficialSampler),
    Uniform(UniformSampler),
}

impl MaskSampler for MultiBlockSampler {
    fn grid(&self) -> PatchGrid {
        match &self.kind {
            Kind::Official(sampler) => sampler.grid,
            Kind::Uniform(sampler) => sampler.official.grid,
        }
    }

    fn sample(&self, images: usize, rng: &mut MaskRng) -> MaskGroup {
        match &self.kind {
            Kind::Official(sampler) => sampler.sample(images, rng),
            Kind::Uniform(sampler) => sampler.sample(images, rng),
        }
    }
}
