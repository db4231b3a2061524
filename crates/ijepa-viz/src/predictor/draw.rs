//! The picture of predictions.

use ijepa_data::Source;
use ijepa_eval::{ExtractConfig, ExtractError, PickedImage, pick_images};
use ijepa_masking::RgbPicture;

use super::{NearPatch, Neighbours, Prediction};
use crate::frame::{BLUE, Frame, GREEN, HIDDEN};

const GAP: usize = RgbPicture::GAP;
/// Patches shown on each side of one that was found.
const SURROUNDINGS: usize = 1;

/// What rows of panels are drawn with.
pub(super) struct Pencil<'a> {
    pub(super) frame: Frame,
    /// Side of a patch in pixels of an image.
    pub(super) patch_size: usize,
    pub(super) image_size: [usize; 2],
    pub(super) extract: &'a ExtractConfig,
}

impl Pencil<'_> {
    /// One row per image.
    pub(super) fn picture(
        &self,
        images: &[PickedImage],
        predictions: &[Prediction],
        neighbours: &[Neighbours],
        source: Option<&dyn Source>,
    ) -> Result<RgbPicture, ExtractError> {
        let mut rows = Vec::with_capacity(images.len());
        for (number, (image, prediction)) in images.iter().zip(predictions).enumerate() {
            let mut row = self.panels(image, prediction);
            if let (Some(found), Some(source)) = (neighbours.get(number), source) {
                row.push(self.patches(found, source)?);
            }
            rows.push(row);
        }
        Ok(RgbPicture::sheet(&rows))
    }

    /// Image, context, map of the mean, map of the middle patch.
    fn panels(&self, image: &PickedImage, prediction: &Prediction) -> Vec<RgbPicture> {
        let frame = &self.frame;
        let whole = frame.panel(&image.picture());
        let mut context = whole.clone();
        frame.hide_others(&mut context, &prediction.context);
        let of_mean = frame.map(&prediction.mean.map);
        let mut of_patch = frame.map(&prediction.patch.map);
        frame.outline(&mut of_patch, &[prediction.patch.number], BLUE);
        let mut panels = vec![whole, context, of_mean, of_patch];
        for panel in &mut panels {
            frame.outline(panel, &prediction.block, GREEN);
        }
        panels
    }

    /// Two lines of patches, together as high as a panel.
    fn patches(&self, found: &Neighbours, source: &dyn Source) -> Result<RgbPicture, ExtractError> {
        let [width, height] = self.frame.size();
        let side = (width.min(height).saturating_sub(GAP) / 2).max(1);
        let columns = found.mean.len().max(found.patch.len());
        let mut panel = RgbPicture::white((columns * (side + GAP)).saturating_sub(GAP), height);
        for (line, patches) in [&found.mean, &found.patch].into_iter().enumerate() {
            for (column, patch) in patches.iter().enumerate() {
                let corner = [column * (side + GAP), line * (height - side)];
                panel.paste(corner, &self.surroundings(patch, source, side)?);
            }
        }
        Ok(panel)
    }

    /// A patch, outlined, amid its surroundings.
    fn surroundings(
        &self,
        patch: &NearPatch,
        source: &dyn Source,
        side: usize,
    ) -> Result<RgbPicture, ExtractError> {
        let config = self.extract;
        let size = self.image_size;
        let picked = pick_images(
            source,
            &[patch.index],
            config.preprocess,
            size,
            config.reading,
        )?;
        let image = picked.images[0].picture();
        let cells = 2 * SURROUNDINGS + 1;
        let window = cells * self.patch_size;
        let mut small = RgbPicture::white(window, window);
        small.fill([0, 0], [window; 2], HIDDEN);
        let border = SURROUNDINGS * self.patch_size;
        for y in 0..window {
            for x in 0..window {
                let column = (patch.col * self.patch_size + x).wrapping_sub(border);
                let row = (patch.row * self.patch_size + y).wrapping_sub(border);
                if column < image.width && row < image.height {
                    small.fill([x, y], [1, 1], image.pixel([column, row]));
                }
            }
        }
        let mut large = small.scaled([side; 2]);
        let [first, last] = [SURROUNDINGS, SURROUNDINGS + 1].map(|cell| cell * side / cells);
        large.outline([first; 2], [last - first; 2], self.frame.line(), BLUE);
        Ok(large)
    }
}

#[cfg(test)]
mod tests {
    use ijepa_data::DataSpec;
    use ijepa_masking::PatchGrid;

    use super::*;

    #[test]
    fn neighbours_beside_tiny_panels_are_single_pixels() {
        let source = "scenes:n=1,size=32".parse::<DataSpec>().unwrap();
        let source = source.open().unwrap();
        let patch = NearPatch {
            index: 0,
            path: String::new(),
            row: 0,
            col: 1,
            cosine: 1.0,
        };
        let found = Neighbours {
            mean: vec![patch.clone()],
            patch: vec![patch],
        };
        for side in [1, 2, 4] {
            let pencil = Pencil {
                frame: Frame::of_grid(PatchGrid::new(2, 2).unwrap(), side),
                patch_size: side,
                image_size: [2 * side; 2],
                extract: &ExtractConfig::default(),
            };
            let panel = pencil.patches(&found, source.as_ref()).unwrap();
            assert_eq!([panel.width, panel.height], [1, 2 * side]);
        }
    }
}
