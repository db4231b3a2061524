//! Patch features as colours: patches of one colour have similar features.

use burn::{module::Module, tensor::Device};
use ijepa_data::{RgbImage8, Source};
use ijepa_masking::RgbPicture;
use ijepa_model::VisionTransformer;

use crate::{ExtractConfig, ExtractError, Features, Pca};

/// Share of the patches that are darker or lighter than the ends of the colour range.
const CLIPPED: f64 = 0.01;

/// An image and its patches in colours.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchColors {
    /// Name of the image in its source.
    pub name: String,
    /// What the encoder saw.
    pub image: RgbPicture,
    /// One pixel per patch.
    pub patches: RgbPicture,
}

/// Shows the first three principal components of the patch features of `count` images, spread
/// over `source`, as red, green and blue.
///
/// All images share the components, so colours can be compared between them. Images that cannot
/// be read are left out.
///
/// # Errors
///
/// As [`extract`](crate::extract).
pub fn patch_colors(
    encoder: &VisionTransformer,
    source: &dyn Source,
    count: usize,
    config: &ExtractConfig,
    device: &Device,
) -> Result<Vec<PatchColors>, ExtractError> {
    let size @ [height, width] = encoder.config().image_size;
    let (encoder, device) = (encoder.valid(), device.clone().without_autodiff());
    let mut pictures: Vec<(String, RgbImage8)> = Vec::new();
    let mut values: Vec<f32> = Vec::new();
    let count = count.min(source.len());
    for index in (0..count).map(|number| number * source.len() / count) {
        let read = source.read(index);
        let Ok(image) = read.and_then(|image| config.preprocess.apply(&image, size)) else {
            continue;
        };
        let normalized = config
            .normalization
            .images(image.pixels(), [1, height, width], &device);
        let features = encoder.forward_features(normalized);
        values.extend(features.into_data().iter::<f32>());
        pictures.push((source.name(index), image));
    }
    let grid = encoder.grid();
    let patches = pictures.len() * grid.num_patches();
    let features = Features::new(encoder.embed_dim(), values, vec![None; patches])?;
    let mut colors = colors(&features).into_iter();
    let picture = |(name, image): (String, RgbImage8)| PatchColors {
        name,
        image: RgbPicture {
            width,
            height,
            pixels: image.pixels().to_vec(),
        },
        patches: RgbPicture {
            width: grid.cols(),
            height: grid.rows(),
            pixels: colors.by_ref().take(grid.num_patches()).flatten().collect(),
        },
    };
    Ok(pictures.into_iter().map(picture).collect())
}

/// The colour of every row.
fn colors(features: &Features) -> Vec<[u8; 3]> {
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
    rows.iter().map(color).collect()
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
        let colors = colors(&Features::new(4, rows, vec![None; 20]).unwrap());
        let red: Vec<u8> = colors.iter().map(|color| color[0]).collect();
        assert!(red[..10].iter().all(|&value| value.abs_diff(red[0]) < 10));
        assert!(red[10..].iter().all(|&value| value.abs_diff(red[0]) > 240));
        assert!(colors[0][1].abs_diff(colors[1][1]) > 200, "{colors:?}");
    }
}
