//! Patch features as colours: patches of one colour have similar features.

use burn::tensor::Device;
use ijepa_masking::RgbPicture;
use ijepa_model::VisionTransformer;
use ijepa_patches::Colors;

use crate::{ExtractConfig, ExtractError, PickedImage, patch_features};

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
        let Colors { patches, explained } = Colors::of(features.values(), features.dim());
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
