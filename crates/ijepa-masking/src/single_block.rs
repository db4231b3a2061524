//! Block masking: one large target, all the rest is context (paper §8, table 6).

use crate::{
    MaskError, MaskGroup, MaskRng, MaskSampler, PatchGrid, PatchIndices,
    block::{Block, BlockSizes, Range},
    official::Cover,
    uniform::{free_size, place},
};

/// One target block of a fixed share of the image; the context is its complement.
///
/// The size is drawn once a group and the position, which reaches every row and column, once an
/// image.
#[derive(Debug, Clone)]
pub struct SingleBlockSampler {
    grid: PatchGrid,
    sizes: BlockSizes,
}

impl SingleBlockSampler {
    /// Share of the patches that the target covers in the paper's table 6.
    pub const PAPER_SCALE: Range = Range::new(0.6, 0.6);

    /// A sampler on `grid` of targets with the given scale and aspect ratio (height over width).
    ///
    /// # Errors
    ///
    /// [`MaskError::Range`] for an invalid range and [`MaskError::EmptyMask`] if a target or its
    /// complement could be empty.
    pub fn new(grid: PatchGrid, scale: Range, aspect: Range) -> Result<Self, MaskError> {
        scale.check_scale("mask.target_scale")?;
        aspect.check_aspect("mask.target_aspect")?;
        let sizes = BlockSizes::covering(grid, scale, aspect);
        let areas = sizes.extremes_when_independent();
        let [smallest, largest] = areas.map(|(height, width)| height * width);
        if smallest == 0 || largest == grid.num_patches() {
            return Err(MaskError::EmptyMask {
                strategy: "block",
                rows: grid.rows(),
                cols: grid.cols(),
            });
        }
        Ok(Self { grid, sizes })
    }
}

impl MaskSampler for SingleBlockSampler {
    fn grid(&self) -> PatchGrid {
        self.grid
    }

    fn sample(&self, images: usize, rng: &mut MaskRng) -> MaskGroup {
        assert!(images > 0, "a mask group needs at least one image");
        let (height, width) = free_size(&self.sizes, rng);
        let (rows, cols) = (self.grid.rows(), self.grid.cols());
        let all = Block {
            top: 0,
            left: 0,
            height: rows,
            width: cols,
        };
        let mut cover = Cover::new(self.grid);
        let (mut target, mut context) = (Vec::new(), Vec::new());
        for _ in 0..images {
            let block = place(self.grid, (height, width), rng);
            target.extend(block.patches(self.grid));
            cover.set(&[block]);
            context.extend(cover.visible(all, 1));
        }
        MaskGroup {
            grid: self.grid,
            contexts: vec![PatchIndices::new(rows * cols - height * width, context)],
            targets: vec![PatchIndices::new(height * width, target)],
            relaxations: 0,
        }
    }
}
