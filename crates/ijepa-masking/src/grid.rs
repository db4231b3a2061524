//! The grid of patches that an image is cut into.

use serde::{Deserialize, Serialize};

use crate::MaskError;

/// Rows and columns of patches; patches are numbered row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Sides")]
pub struct PatchGrid {
    rows: usize,
    cols: usize,
}

/// A grid as it is read, before it is checked.
#[derive(Deserialize)]
struct Sides {
    rows: usize,
    cols: usize,
}

impl TryFrom<Sides> for PatchGrid {
    type Error = MaskError;

    fn try_from(Sides { rows, cols }: Sides) -> Result<Self, MaskError> {
        Self::new(rows, cols)
    }
}

impl PatchGrid {
    /// Patches of the largest grid: 1,048,576.
    pub const MOST_PATCHES: usize = 1 << 20;

    /// A grid of `rows` times `cols` patches.
    ///
    /// # Errors
    ///
    /// [`MaskError::EmptyGrid`] if either is zero, [`MaskError::GridTooLarge`] if there are more
    /// than [`MOST_PATCHES`](Self::MOST_PATCHES).
    pub fn new(rows: usize, cols: usize) -> Result<Self, MaskError> {
        if rows == 0 || cols == 0 {
            return Err(MaskError::EmptyGrid { rows, cols });
        }
        let most = Self::MOST_PATCHES;
        if rows.saturating_mul(cols) > most {
            return Err(MaskError::GridTooLarge { rows, cols, most });
        }
        Ok(Self { rows, cols })
    }

    /// Refuses a grid with fewer than `min` rows or columns, which `strategy` needs.
    pub(crate) fn check_sides(self, min: usize, strategy: &'static str) -> Result<(), MaskError> {
        let Self { rows, cols } = self;
        match rows.min(cols) < min {
            true => Err(MaskError::GridTooSmall {
                strategy,
                min,
                rows,
                cols,
            }),
            false => Ok(()),
        }
    }

    /// The grid of an image of `[height, width]` pixels cut into square patches.
    ///
    /// # Errors
    ///
    /// [`MaskError::PatchSize`] if a side is not a positive multiple of `patch_size`, and as
    /// [`new`](Self::new).
    pub fn from_image([height, width]: [usize; 2], patch_size: usize) -> Result<Self, MaskError> {
        let divides = |side: usize| side > 0 && side.is_multiple_of(patch_size);
        if !divides(height) || !divides(width) {
            return Err(MaskError::PatchSize {
                height,
                width,
                patch_size,
            });
        }
        Self::new(height / patch_size, width / patch_size)
    }

    /// Number of patch rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of patch columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Number of patches.
    pub fn num_patches(&self) -> usize {
        self.rows * self.cols
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_whole_numbers_of_patches() {
        let grid = PatchGrid::from_image([32, 48], 16).unwrap();
        assert_eq!((grid.rows(), grid.cols()), (2, 3));
        for (size, patch_size) in [([0, 48], 16), ([32, 0], 16), ([32, 47], 16), ([32, 48], 0)] {
            let error = PatchGrid::from_image(size, patch_size).unwrap_err();
            assert!(matches!(error, MaskError::PatchSize { .. }), "{error}");
        }
    }

    #[test]
    fn a_grid_is_no_larger_than_its_bound() {
        assert!(PatchGrid::new(1024, 1024).is_ok());
        for (rows, cols) in [(1024, 1025), (usize::MAX, 2)] {
            let error = PatchGrid::new(rows, cols).unwrap_err();
            let most = PatchGrid::MOST_PATCHES;
            assert_eq!(error, MaskError::GridTooLarge { rows, cols, most });
        }
    }

    #[test]
    fn a_grid_that_is_read_is_checked() {
        let read = |text: &str| serde_json::from_str::<PatchGrid>(text);
        let grid = PatchGrid::new(2, 3).unwrap();
        let text = serde_json::to_string(&grid).unwrap();
        assert_eq!(text, r#"{"rows":2,"cols":3}"#);
        assert_eq!(read(&text).unwrap(), grid);
        for text in [r#"{"rows":0,"cols":3}"#, r#"{"rows":2,"cols":0}"#] {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.starts_with("a patch grid needs at least one row and one column"),
                "{error}"
            );
        }
    }
}
