//! Principal components of patch features as colours.

use burn::tensor::Device;
use ijepa_eval::{Components, ExtractConfig, PatchColors, PickedImage, patch_colors};
use ijepa_masking::RgbPicture;
use ijepa_model::VisionTransformer;

use crate::{error::VizError, frame::Frame};

/// How patch features are shown.
#[derive(Debug, Clone, PartialEq)]
pub struct PcaConfig {
    /// How images reach the encoder; the pooling is not used.
    pub extract: ExtractConfig,
    /// Which patches the components are those of.
    pub components: Components,
    /// Images side by side, each with its colours, at least 1.
    pub columns: usize,
    /// Pixels of the picture for each pixel of an image; `None`: panels about 224 pixels wide.
    pub scale: Option<usize>,
}

impl Default for PcaConfig {
    /// Shared components, one image in a row.
    fn default() -> Self {
        Self {
            extract: ExtractConfig::default(),
            components: Components::Shared,
            columns: 1,
            scale: None,
        }
    }
}

/// Patch features in colours.
#[derive(Debug, Clone, PartialEq)]
pub struct PcaPicture {
    /// Each image with its colours on the right.
    pub picture: RgbPicture,
    /// The colours of each image, one pixel per patch.
    pub images: Vec<PatchColors>,
}

/// Shows the first three principal components of the patch features of `images` as red, green
/// and blue: patches of one colour have similar features.
///
/// # Errors
///
/// [`VizError::Scale`] if panels would be absurdly large, [`VizError::Extract`] if there is no
/// image or the encoder gives values that are not finite.
///
/// # Panics
///
/// Panics if the images have not the size of the encoder's.
pub fn pca(
    encoder: &VisionTransformer,
    images: &[PickedImage],
    config: &PcaConfig,
    device: &Device,
) -> Result<PcaPicture, VizError> {
    let frame = Frame::new(encoder.config(), config.scale)?;
    let images = patch_colors(encoder, images, config.components, &config.extract, device)?;
    let panels = |image: &PatchColors| [frame.panel(&image.image), frame.panel(&image.patches)];
    let rows: Vec<Vec<RgbPicture>> = images
        .chunks(config.columns.max(1))
        .map(|row| row.iter().flat_map(panels).collect())
        .collect();
    Ok(PcaPicture {
        picture: RgbPicture::sheet(&rows),
        images,
    })
}
