//! Patches and blocks by place.

use ijepa_masking::{Block, MaskGroup, PatchGrid, PatchIndices};

use crate::error::VizError;

/// The number of the patch at a row and column.
pub(crate) fn patch_at(grid: PatchGrid, [row, col]: [usize; 2]) -> Result<u32, VizError> {
    let (rows, cols) = (grid.rows(), grid.cols());
    if row >= rows || col >= cols {
        return Err(VizError::Patch {
            row,
            col,
            rows,
            cols,
        });
    }
    Ok((row * cols + col) as u32)
}

/// Masks of `images` images that all have `block` as target and the rest as context.
///
/// # Errors
///
/// [`VizError::Block`] if the block is empty or not inside the grid, [`VizError::NoContext`] if it
/// covers all of it.
///
/// # Panics
///
/// Panics if `images` is zero.
pub fn block_masks(grid: PatchGrid, block: Block, images: usize) -> Result<MaskGroup, VizError> {
    assert!(images > 0, "masks of no image");
    let Block {
        top,
        left,
        height,
        width,
    } = block;
    let (rows, cols) = (grid.rows(), grid.cols());
    let fits = |start: usize, len: usize, all: usize| {
        len > 0 && start.checked_add(len).is_some_and(|end| end <= all)
    };
    if !fits(top, height, rows) || !fits(left, width, cols) {
        return Err(VizError::Block {
            top,
            left,
            height,
            width,
            rows,
            cols,
        });
    }
    let patches = grid.num_patches();
    let target: Vec<u32> = block.patches(grid).collect();
    if target.len() == patches {
        return Err(VizError::NoContext { patches });
    }
    let all = 0..patches as u32;
    let context: Vec<u32> = all.filter(|patch| !target.contains(patch)).collect();
    let repeated = |mask: Vec<u32>| vec![PatchIndices::new(mask.len(), mask.repeat(images))];
    Ok(MaskGroup {
        grid,
        contexts: repeated(context),
        targets: repeated(target),
        relaxations: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(values: [usize; 4]) -> Block {
        let [top, left, height, width] = values;
        Block {
            top,
            left,
            height,
            width,
        }
    }

    #[test]
    fn a_block_is_the_target_and_the_rest_the_context_of_every_image() {
        let grid = PatchGrid::new(3, 4).unwrap();
        let masks = block_masks(grid, block([1, 2, 2, 1]), 2).unwrap();
        for image in 0..2 {
            assert_eq!(masks.targets[0].row(image), [6, 10]);
            assert_eq!(
                masks.contexts[0].row(image),
                [0, 1, 2, 3, 4, 5, 7, 8, 9, 11]
            );
        }
    }

    #[test]
    fn blocks_that_do_not_fit_are_refused() {
        let grid = PatchGrid::new(3, 4).unwrap();
        for (values, expected) in [
            (
                [1, 2, 3, 1],
                "block 1,2,3,1 is not inside the grid of 3x4 patches",
            ),
            (
                [0, 4, 1, 1],
                "block 0,4,1,1 is not inside the grid of 3x4 patches",
            ),
            (
                [0, 0, 0, 1],
                "block 0,0,0,1 is not inside the grid of 3x4 patches",
            ),
            (
                [0, 0, 3, 4],
                "the block covers all 12 patches, nothing is left to predict it from",
            ),
        ] {
            let error = block_masks(grid, block(values), 1).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert!(block_masks(grid, block([0, usize::MAX, 1, 2]), 1).is_err());
        let error = patch_at(grid, [3, 0]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "patch 3,0 is outside the grid of 3x4 patches"
        );
        assert_eq!(patch_at(grid, [2, 3]).unwrap(), 11);
    }
}
