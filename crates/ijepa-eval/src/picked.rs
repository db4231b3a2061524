//! A few images that are looked at one by one.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use ijepa_data::{Image, Preprocess, Reading, Skipped, Source};
use ijepa_masking::RgbPicture;
use ijepa_model::VisionTransformer;

use crate::features::{ExtractConfig, ExtractError, Features, Reader, values};

/// An image of a source at the size that an encoder takes.
#[derive(Debug, Clone, PartialEq)]
pub struct PickedImage {
    /// Its number in the source.
    pub index: usize,
    /// Its name in the source.
    pub name: String,
    /// Its pixels.
    pub image: Image,
    /// Channels that its picture shows as red, green and blue, if it has not just these.
    pub shown: [usize; 3],
}

impl PickedImage {
    /// What the encoder sees, or three channels of it, each stretched over its range.
    pub fn picture(&self) -> RgbPicture {
        RgbPicture {
            width: self.image.width(),
            height: self.image.height(),
            pixels: self.image.to_picture(self.shown).into_pixels(),
        }
    }
}

/// Images of a source and those that could not be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Picked {
    /// At least one, in the order asked for.
    pub images: Vec<PickedImage>,
    /// The images that could not be read.
    pub skipped: Vec<Skipped>,
}

/// Reads the images `indices` of `source` and gives them the size `[height, width]`.
///
/// # Errors
///
/// [`ExtractError::NoSuchImage`] if a number is not below the number of images,
/// [`ExtractError::NothingReadable`] if no image can be read, [`ExtractError::Data`] if one cannot be
/// had, [`ExtractError::Images`] if none was asked for.
pub fn pick_images(
    source: &dyn Source,
    indices: &[usize],
    preprocess: Preprocess,
    size: [usize; 2],
    reading: Reading,
) -> Result<Picked, ExtractError> {
    let images = source.len();
    if let Some(&index) = indices.iter().find(|&&index| index >= images) {
        return Err(ExtractError::NoSuchImage { index, images });
    }
    let reader = Reader::new(source, preprocess, size, reading);
    let shown = reading.shown();
    let mut picked = Picked {
        images: Vec::new(),
        skipped: Vec::new(),
    };
    for &index in indices {
        match reader.read(index, &|| false)? {
            Ok(image) => picked.images.push(PickedImage {
                index,
                name: source.name(index),
                image,
                shown,
            }),
            Err(skipped) => picked.skipped.push(skipped),
        }
    }
    match picked.images.is_empty() {
        true => Err(ExtractError::nothing_readable(&picked.skipped)),
        false => Ok(picked),
    }
}

/// Images as an encoder takes them: `[images, channels, height, width]`, normalised.
///
/// # Panics
///
/// Panics if there is no image or their sizes differ.
pub fn image_tensor(images: &[PickedImage], config: &ExtractConfig, device: &Device) -> Tensor<4> {
    let first = &images.first().expect("at least one image").image;
    let shape = [images.len(), first.height(), first.width()];
    let pixels = images.iter().map(|picked| picked.image.bytes());
    let pixels = pixels.collect::<Vec<_>>().concat();
    config.normalization.loaded_images(&pixels, shape, device)
}

/// Features of every patch of `images`, image after image, `config.batch_size` images at a time.
///
/// # Shapes
///
/// - features: `[images * patches, embed_dim]`
///
/// # Errors
///
/// [`ExtractError::BatchSize`] for batches of nothing, [`ExtractError::Features`] if there is no
/// image or the encoder gives values that are not finite.
pub fn patch_features(
    encoder: &VisionTransformer,
    images: &[PickedImage],
    config: &ExtractConfig,
    device: &Device,
) -> Result<Features, ExtractError> {
    if config.batch_size == 0 {
        return Err(ExtractError::BatchSize);
    }
    let (encoder, device) = (encoder.valid(), device.clone().without_autodiff());
    let of_batch = |batch| values(encoder.forward_features(image_tensor(batch, config, &device)));
    let features = images.chunks(config.batch_size).flat_map(of_batch);
    let patches = images.len() * encoder.grid().num_patches();
    Ok(Features::new(
        encoder.embed_dim(),
        features.collect(),
        vec![None; patches],
    )?)
}
