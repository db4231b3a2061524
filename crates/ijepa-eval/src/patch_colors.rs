//! Patch features as colours: patches of one colour have similar features.

use burn::tensor::Device;
use ijepa_masking::RgbPicture;
use ijepa_model::VisionTransformer;

use crate::{ExtractConfig, ExtractError, Features, Pca, PickedImage, patch_features};

/// Share of the patches that are darker or lighter than the ends of the colour range.
const CLIPPED: f64 = 0.01;

/// Which patches the principal components are those of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Components {
    /// Of all images together: colours can be compared between them.
    #[default]
    Shared,
    /// Of each image by itself: more contrast, and colours mean something else in every image.
    OfEachImage,
}

/// An image and its patches in colours.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchColors {
    /// Name of the image in its source.
    pub name: String,
    /// What the encoder saw.
    pub image: RgbPicture,
    /// One pixel per patch.
    pub patches: RgbPicture,
    /// Shares of the variance of the features that red, green and blue show, in `[0, 1]`.
    pub explained: [f64; 3],
}

/// Shows the first three principal components of the patch features of `images` as red, green
/// and blue.
///
/// # Errors
///
/// As [`patch_features`].
pub fn patch_colors(
    encoder: &VisionTransformer,
    images: &[PickedImage],
    components: Components,
    config: &ExtractConfig,
    device: &Device,
) -> Result<Vec<PatchColors>, ExtractError> {
    let grid = encoder.grid();
    let together = match components {
        Components::Shared => images.len().max(1),
        Components::OfEachImage => 1,
    };
    let mut shown = Vec::with_capacity(images.len());
    for images in images.chunks(together) {
        let features = patch_features(encoder, images, config, device)?;
        let Colors { patches, explained } = Colors::of(&features);
        let maps = patches.chunks_exact(grid.num_patches());
        shown.extend(images.iter().zip(maps).map(|(image, map)| PatchColors {
            name: image.name.clone(),
            image: image.picture(),
            patches: RgbPicture {
                width: grid.cols(),
                height: grid.rows(),
                pixels: map.concat(),
            },
            explained,
        }));
    }
    Ok(shown)
}

/// The colour of every row and what the colours show.
struct Colors {
    patches: Vec<[u8; 3]>,
    explained: [f64; 3],
}

impl Colors {
    fn of(features: &Features) -> Self {
        let pca = Pca::fit(features, 3);
        let rows = (0..features.images()).map(|row| pca.project(features.row(row)));
        let rows: Vec<Vec<f64>> = rows.collect();
        let ranges: [[f64; 2]; 3] = std::array::from_fn(|component| {
            let along = rows
                .iter()
                .map(|row| row.get(component).copied().unwrap_or(0.0));
            let mut along: Vec<f64> = along.collect();
            along.sort_by(f64::total_cmp);
            let clipped = (along.len() as f64 * CLIPPED) as usize;
            [along[clipped], along[along.len() - 1 - clipped]]
        });
        let color = |row: &Vec<f64>| {
            std::array::from_fn(|component| {
                let [low, high] = ranges[component];
                let value = row.get(component).copied().unwrap_or(0.0);
                let share = if high > low {
                    (value - low) / (high - low)
                } else {
                    0.5
                };
                (255.0 * share.clamp(0.0, 1.0)).round() as u8
            })
        };
        let explained = pca.explained(features);
        let share = |component: usize| explained.get(component).copied().unwrap_or(0.0);
        Self {
            patches: rows.iter().map(color).collect(),
            explained: std::array::from_fn(share),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_features_have_similar_colors() {
        let rows: Vec<f32> = (0..20)
            .flat_map(|i| {
                let side = if i < 10 { 4.0 } else { -4.0 };
                [side, (i % 2) as f32, 0.1 * (i % 3) as f32, 7.0]
            })
            .collect();
        let features = Features::new(4, rows, vec![None; 20]).unwrap();
        let colors = Colors::of(&features).patches;
        let red: Vec<u8> = colors.iter().map(|color| color[0]).collect();
        assert!(red[..10].iter().all(|&value| value.abs_diff(red[0]) < 10));
        assert!(red[10..].iter().all(|&value| value.abs_diff(red[0]) > 240));
        assert!(colors[0][1].abs_diff(colors[1][1]) > 200, "{colors:?}");
    }
}
