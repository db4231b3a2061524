//! Pictures for people: a row for each image, the original before what was made of its vector.

use ijepa_masking::{PatchGrid, RgbPicture};

use super::{Shown, config::COLORS};
use crate::frame::{Frame, GREEN};

/// Least side of a panel, pixels.
const LEAST_SIDE: usize = 96;

/// A row for each image: the original, behind masks also its context with the hidden patches
/// blanked, then what was made of its vector, with a green line around the predicted block
/// (paper, figures 6 and 7).
///
/// # Shapes
///
/// - `made`: of [`Shown::decode`]; `side`: of the images, pixels
///
/// # Panics
///
/// Panics if the sizes do not fit.
pub fn decoded_grid(shown: &Shown, made: &[Vec<u8>], side: usize) -> RgbPicture {
    let whole = PatchGrid::new(1, 1).expect("one patch is a grid");
    let grid = shown.masks.as_ref().map_or(whole, |masks| masks.grid);
    let panel = side * LEAST_SIDE.div_ceil(side);
    let frame = Frame::of_grid(grid, panel.div_ceil(grid.cols()));
    let row = |number| {
        let panel = |images: &Vec<u8>| frame.panel(&nth(images, number, side));
        let mut panels = vec![panel(&shown.pixels)];
        if let Some(masks) = &shown.masks {
            let mut context = panel(&shown.pixels);
            frame.hide_others(&mut context, masks.contexts[0].row(number));
            panels.push(context);
        }
        panels.extend(made.iter().map(panel));
        if let Some(masks) = &shown.masks {
            for panel in &mut panels[1..] {
                frame.outline(panel, masks.targets[0].row(number), GREEN);
            }
        }
        panels
    };
    let rows: Vec<_> = (0..shown.images()).map(row).collect();
    RgbPicture::sheet(&rows)
}

/// One of several images of `side` pixels.
fn nth(images: &[u8], number: usize, side: usize) -> RgbPicture {
    let size = side * side * COLORS;
    RgbPicture {
        width: side,
        height: side,
        pixels: images[number * size..][..size].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Tensor;
    use ijepa_masking::{MaskGroup, PatchIndices};

    use super::*;
    use crate::frame::HIDDEN;

    const GAP: usize = RgbPicture::GAP;
    /// Images of 32 pixels become panels of 96.
    const STEP: usize = 96 + GAP;

    fn shown(masks: Option<MaskGroup>) -> Shown {
        Shown {
            pixels: vec![10; 32 * 32 * COLORS],
            indices: vec![0],
            skipped: Vec::new(),
            masks,
            conditions: Tensor::zeros([1, 2], &ijepa_testkit::device()),
        }
    }

    #[test]
    fn a_row_is_the_original_and_its_samples() {
        let made = [20, 30].map(|grey| vec![grey; 32 * 32 * COLORS]);
        let picture = decoded_grid(&shown(None), &made, 32);
        assert_eq!(
            [picture.width, picture.height],
            [3 * STEP + GAP, STEP + GAP]
        );
        let found = [0, 1, 2].map(|panel| picture.pixel([GAP + panel * STEP, GAP])[0]);
        assert_eq!(found, [10, 20, 30]);
    }

    #[test]
    fn context_is_blanked_and_the_target_block_is_outlined() {
        let masks = MaskGroup {
            grid: PatchGrid::new(4, 4).unwrap(),
            contexts: vec![PatchIndices::new(2, vec![0, 15])],
            targets: vec![PatchIndices::new(4, vec![5, 6, 9, 10])],
            relaxations: 0,
        };
        let made = [vec![20; 32 * 32 * COLORS]];
        let picture = decoded_grid(&shown(Some(masks)), &made, 32);
        // The block covers pixels 24 to 72 of a panel.
        let panel = |number: usize| {
            let at = [[8, 8], [88, 8], [24, 24], [71, 71], [48, 48], [72, 48]];
            at.map(|[x, y]| picture.pixel([GAP + number * STEP + x, GAP + y]))
        };
        let [image, sample] = [[10; 3], [20; 3]];
        assert_eq!(panel(0), [image; 6]);
        assert_eq!(panel(1), [image, HIDDEN, GREEN, GREEN, HIDDEN, HIDDEN]);
        assert_eq!(panel(2), [sample, sample, GREEN, GREEN, sample, sample]);
    }
}
