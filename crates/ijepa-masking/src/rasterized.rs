//! Rasterized masking: the image in four quadrants (paper §8, table 6).

use crate::{MaskError, MaskGroup, MaskRng, MaskSampler, PatchGrid, block::Block, group::Ragged};

/// One quadrant, chosen uniformly, is the context; the other three are the targets.
///
/// On grids with an odd side the quadrants differ in size; contexts and targets are then cut to
/// the smallest quadrant by dropping patches at random.
#[derive(Debug, Clone)]
pub struct RasterizedSampler {
    grid: PatchGrid,
}

impl RasterizedSampler {
    /// A sampler on `grid`.
    ///
    /// # Errors
    ///
    /// [`MaskError::GridTooSmall`] if the grid has fewer than two rows or columns.
    pub fn new(grid: PatchGrid) -> Result<Self, MaskError> {
        grid.check_sides(2, "rasterized")?;
        Ok(Self { grid })
    }

    fn quadrants(&self) -> [Block; 4] {
        let (rows, cols) = (self.grid.rows(), self.grid.cols());
        let (middle_row, middle_col) = (rows / 2, cols / 2);
        let quadrant = |top, left, bottom, right| Block {
            top,
            left,
            height: bottom - top,
            width: right - left,
        };
        [
            quadrant(0, 0, middle_row, middle_col),
            quadrant(0, middle_col, middle_row, cols),
            quadrant(middle_row, 0, rows, middle_col),
            quadrant(middle_row, middle_col, rows, cols),
        ]
    }
}

impl MaskSampler for RasterizedSampler {
    fn grid(&self) -> PatchGrid {
        self.grid
    }

    fn sample(&self, images: usize, rng: &mut MaskRng) -> MaskGroup {
        assert!(images > 0, "a mask group needs at least one image");
        let quadrants = self.quadrants();
        let mut masks: [Ragged; 4] = Default::default();
        for _ in 0..images {
            let context = rng.position(4);
            let others = (0..4).filter(|&quadrant| quadrant != context);
            for (mask, quadrant) in masks.iter_mut().zip([context].into_iter().chain(others)) {
                mask.push(quadrants[quadrant].patches(self.grid));
            }
        }
        // The top left quadrant has the fewest patches.
        let kept = quadrants[0].height * quadrants[0].width;
        let mut cut = masks
            .iter()
            .map(|mask| mask.cut_at_random(kept, |bound| rng.position(bound)));
        MaskGroup {
            grid: self.grid,
            contexts: cut.by_ref().take(1).collect(),
            targets: cut.collect(),
            relaxations: 0,
        }
    }
}
