//! Panels of one size: images, maps over their patches, and marks on both.

use ijepa_masking::{PatchGrid, RgbPicture};
use ijepa_model::VisionTransformerConfig;

use crate::{color_map::magma, error::VizError};

/// Where there is nothing to see.
pub(crate) const HIDDEN: [u8; 3] = RgbPicture::HIDDEN;
/// Marks target blocks; no colour of [`magma`] is near.
pub(crate) const GREEN: [u8; 3] = [0, 200, 90];
/// Marks single patches.
pub(crate) const BLUE: [u8; 3] = [70, 180, 255];
/// Side of a panel that images are enlarged to, as nearly as whole factors can.
const PANEL: usize = 224;

/// Longest side of an enlarged panel.
const MOST: usize = 8192;

/// How images of one encoder become panels of one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    grid: PatchGrid,
    /// Side of a patch in pixels of a panel.
    cell: usize,
}

impl Frame {
    /// Panels of `scale` pixels for each pixel of an image, or about 224 pixels wide.
    pub(crate) fn new(
        encoder: &VisionTransformerConfig,
        scale: Option<usize>,
    ) -> Result<Self, VizError> {
        let most = MOST;
        let side = encoder.image_size[0].max(encoder.image_size[1]);
        let scale = scale.unwrap_or((PANEL + side / 2) / side).max(1);
        let side = side.saturating_mul(scale);
        if scale > 1 && side > most {
            return Err(VizError::Scale { scale, side, most });
        }
        Ok(Self {
            grid: encoder.grid().expect("an encoder has a grid"),
            cell: scale * encoder.patch_size,
        })
    }

    /// Panels over patches of `cell` pixels.
    pub(crate) fn of_grid(grid: PatchGrid, cell: usize) -> Self {
        Self { grid, cell }
    }

    /// Width and height of a panel.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.grid.cols() * self.cell, self.grid.rows() * self.cell]
    }

    /// An image, or a picture with one pixel per patch, as a panel.
    pub(crate) fn panel(&self, picture: &RgbPicture) -> RgbPicture {
        picture.scaled(self.size())
    }

    /// One value per patch as a panel; its darkest and lightest colour are the ends of their
    /// [`range`].
    pub(crate) fn map(&self, values: &[f64]) -> RgbPicture {
        let [low, high] = range(values);
        let span = if high > low { high - low } else { 1.0 };
        let colors = values.iter().map(|value| magma((value - low) / span));
        self.panel(&RgbPicture {
            width: self.grid.cols(),
            height: self.grid.rows(),
            pixels: colors.flatten().collect(),
        })
    }

    /// Hides all patches but those `kept`.
    pub(crate) fn hide_others(&self, panel: &mut RgbPicture, kept: &[u32]) {
        for patch in 0..self.grid.num_patches() as u32 {
            if !kept.contains(&patch) {
                panel.fill(self.corner(patch), [self.cell; 2], HIDDEN);
            }
        }
    }

    /// Draws a line along the inner edge of a set of patches of any form.
    pub(crate) fn outline(&self, panel: &mut RgbPicture, patches: &[u32], color: [u8; 3]) {
        let width = self.line().min(self.cell);
        let inside = |row: usize, col: usize| {
            let on_grid = row < self.grid.rows() && col < self.grid.cols();
            on_grid && patches.contains(&((row * self.grid.cols() + col) as u32))
        };
        for &patch in patches {
            let [row, col] = self.place(patch);
            let [x, y] = self.corner(patch);
            let far = self.cell - width;
            // Corners belong to a patch whose straight neighbours are inside but whose diagonal
            // neighbour is not.
            for (down, right) in [(0, 0), (0, 2), (2, 0), (2, 2)] {
                let near = |step: usize, at: usize| (at + step).wrapping_sub(1);
                if !inside(near(down, row), near(right, col)) {
                    let corner = [x + far * right / 2, y + far * down / 2];
                    panel.fill(corner, [width; 2], color);
                }
            }
            if !inside(row.wrapping_sub(1), col) {
                panel.fill([x, y], [self.cell, width], color);
            }
            if !inside(row + 1, col) {
                panel.fill([x, y + far], [self.cell, width], color);
            }
            if !inside(row, col.wrapping_sub(1)) {
                panel.fill([x, y], [width, self.cell], color);
            }
            if !inside(row, col + 1) {
                panel.fill([x + far, y], [width, self.cell], color);
            }
        }
    }

    /// Row and column of a patch.
    pub(crate) fn place(&self, patch: u32) -> [usize; 2] {
        let patch = patch as usize;
        [patch / self.grid.cols(), patch % self.grid.cols()]
    }

    /// Width of lines.
    pub(crate) fn line(&self) -> usize {
        (self.cell / 8).clamp(2, 6)
    }

    fn corner(&self, patch: u32) -> [usize; 2] {
        let [row, col] = self.place(patch);
        [col * self.cell, row * self.cell]
    }
}

/// The least and the largest value.
pub(crate) fn range(values: &[f64]) -> [f64; 2] {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [least, largest]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve patches of eight pixels a side.
    fn encoder() -> VisionTransformerConfig {
        VisionTransformerConfig {
            mlp_ratio: 1.0,
            ..VisionTransformerConfig::new([24, 32], 8, 8, 1, 1)
        }
    }

    /// These, enlarged twice.
    fn frame() -> Frame {
        Frame::new(&encoder(), Some(2)).unwrap()
    }

    #[test]
    fn panels_of_absurd_size_are_refused() {
        assert_eq!(Frame::new(&encoder(), Some(256)).unwrap().size()[0], 8192);
        for scale in [257, usize::MAX] {
            let error = Frame::new(&encoder(), Some(scale)).unwrap_err();
            assert!(error.to_string().ends_with("expected at most 8192"));
        }
    }

    #[test]
    fn panels_are_about_as_wide_as_promised() {
        let width = |side: usize| {
            let encoder = VisionTransformerConfig::variant("vit_b16").unwrap();
            Frame::new(&encoder.with_image_size([side, side]), None)
                .unwrap()
                .size()[0]
        };
        assert_eq!([32, 96, 224, 448].map(width), [224, 192, 224, 448]);
    }

    #[test]
    fn maps_span_their_own_range() {
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        let map = frame().map(&values);
        assert_eq!((map.width, map.height), (64, 48));
        assert_eq!(range(&values), [0.0, 11.0]);
        assert_eq!(map.pixel([15, 15]), magma(0.0));
        assert_eq!(map.pixel([16, 0]), magma(1.0 / 11.0));
        assert_eq!(map.pixel([63, 47]), magma(1.0));
        assert_eq!(frame().map(&[2.0; 12]).pixel([0, 0]), magma(0.0));
    }

    #[test]
    fn hidden_patches_are_blank_and_kept_ones_untouched() {
        let mut panel = RgbPicture::white(64, 48);
        frame().hide_others(&mut panel, &[1, 6]);
        for patch in 0..12 {
            let [x, y] = frame().corner(patch);
            let expected = if [1, 6].contains(&patch) {
                [255; 3]
            } else {
                HIDDEN
            };
            assert_eq!(panel.pixel([x, y]), expected, "{patch}");
            assert_eq!(panel.pixel([x + 15, y + 15]), expected, "{patch}");
        }
    }

    #[test]
    fn outlines_run_along_the_edge_of_the_set_and_nowhere_else() {
        let mut panel = RgbPicture::white(64, 48);
        // An L: patches 1, 5 and 6 of four columns.
        frame().outline(&mut panel, &[1, 5, 6], GREEN);
        let inside = |x: i32, y: i32| {
            (0..48).contains(&y) && matches!((x.div_euclid(16), y / 16), (1, 0 | 1) | (2, 1))
        };
        for y in 0..48 {
            for x in 0..64 {
                // Within two pixels of something outside, in any of the eight directions.
                let reach = [-2, 0, 2];
                let near = reach
                    .iter()
                    .any(|dx| reach.iter().any(|dy| !inside(x + dx, y + dy)));
                let expected = if inside(x, y) && near {
                    GREEN
                } else {
                    [255; 3]
                };
                assert_eq!(panel.pixel([x as usize, y as usize]), expected, "{x} {y}");
            }
        }
    }
}
