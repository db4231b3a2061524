//! From images to frozen features.

mod config;
mod error;

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use ijepa_data::{Image, Reading, Skipped, Source};
use ijepa_model::{Normalization, VisionTransformer};

pub(crate) use config::resize_of;
pub use config::{ExtractConfig, decoding_of, default_normalization, preprocess_of};
pub use error::ExtractError;

use super::{Features, reader::Reader};
use crate::progress::{Progress, ProgressUnit};

/// Features of the readable images of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct Extracted {
    /// One row per readable image, in the order of the source.
    pub features: Features,
    /// The image of the source that each row belongs to, ascending.
    pub indices: Vec<usize>,
    /// The images that could not be read, in the order of the source.
    pub skipped: Vec<Skipped>,
}

/// Features of every image of `source`, in its order.
///
/// Threads read images ahead; only the calling thread computes. A damaged image, also one whose
/// decoder panics, is left out and listed; one that cannot be had is an error. No gradient is
/// recorded, whatever the device. The result does not depend on the number of workers. All features
/// are held in memory: [`embed`](crate::embed) writes those of more images than that to a file.
///
/// # Shapes
///
/// - features: `[images, embed_dim]`, or `[images, 4 * embed_dim]` for
///   [`Pooling::Concat4`](ijepa_model::Pooling::Concat4)
///
/// # Errors
///
/// An [`ExtractError`] if the configuration cannot be used with this encoder, an image cannot be
/// had, none can be read, or the encoder gives values that are not finite.
pub fn extract(
    encoder: &VisionTransformer,
    source: &dyn Source,
    config: &ExtractConfig,
    device: &Device,
) -> Result<Extracted, ExtractError> {
    extract_with_progress(encoder, source, config, device, |_| ())
}

/// As [`extract`]; `progress` is told after each batch.
///
/// # Errors
///
/// As [`extract`].
pub fn extract_with_progress(
    encoder: &VisionTransformer,
    source: &dyn Source,
    config: &ExtractConfig,
    device: &Device,
    progress: impl FnMut(Progress),
) -> Result<Extracted, ExtractError> {
    config.check(encoder)?;
    let pooled = |encoder: &VisionTransformer, images| {
        values(encoder.forward_pooled(images, config.pooling))
    };
    let compute = on_images(encoder, config, device, pooled);
    collect(
        source,
        encoder.config().image_size,
        config,
        progress,
        compute,
    )
}

/// What `forward` makes of the normalised images of a batch, without gradients.
pub(crate) fn on_images<F: FnMut(&VisionTransformer, Tensor<4>) -> Vec<f32>>(
    encoder: &VisionTransformer,
    config: &ExtractConfig,
    device: &Device,
    mut forward: F,
) -> impl FnMut(&[u8], usize) -> Vec<f32> + use<F> {
    let [height, width] = encoder.config().image_size;
    let (encoder, device) = (encoder.valid(), device.clone().without_autodiff());
    let normalization = config.normalization;
    move |pixels, images| {
        let images = normalization.loaded_images(pixels, [images, height, width], &device);
        forward(&encoder, images)
    }
}

/// The values of a tensor as f32.
pub(crate) fn values<const D: usize>(features: Tensor<D>) -> Vec<f32> {
    let data = features.into_data().convert::<f32>();
    data.try_into_vec().expect("the data was converted to f32")
}

/// The normalised pixels of every image of `source`: the baseline that an encoder has to beat.
///
/// `image_size` is `[height, width]` after preprocessing. The configuration's pooling is not
/// used. `progress` is told after each batch.
///
/// # Shapes
///
/// - features: `[images, channels * height * width]`, channel after channel
///
/// # Errors
///
/// As [`extract`].
///
/// ```
/// use ijepa_data::DataSpec;
/// use ijepa_eval::{ExtractConfig, extract_pixels};
///
/// let source = "scenes:n=8,size=32".parse::<DataSpec>()?.open()?;
/// let pixels = extract_pixels(source.as_ref(), [16, 16], &ExtractConfig::default(), |_| ())?;
/// assert_eq!((pixels.features.images(), pixels.features.dim()), (8, 3 * 16 * 16));
/// # Ok::<(), ijepa_eval::Error>(())
/// ```
pub fn extract_pixels(
    source: &dyn Source,
    image_size: [usize; 2],
    config: &ExtractConfig,
    progress: impl FnMut(Progress),
) -> Result<Extracted, ExtractError> {
    config.check_channels(config.reading.decoding.channels)?;
    let Normalization { mean, std } = config.normalization;
    let compute = |pixels: &[u8], images: usize| {
        let flatten = |image: &[u8]| {
            let image = Image::from_bytes(image_size, image)
                .expect("preprocessing gives every image the size asked for");
            image.to_chw_f32(&mean, &std)
        };
        let image_bytes = pixels.len() / images;
        pixels.chunks_exact(image_bytes).flat_map(flatten).collect()
    };
    collect(source, image_size, config, progress, compute)
}

/// What `compute` makes of all images, which it gets in batches of `[images, height, width,
/// channels]`.
pub(crate) fn collect(
    source: &dyn Source,
    size: [usize; 2],
    config: &ExtractConfig,
    progress: impl FnMut(Progress),
    compute: impl FnMut(&[u8], usize) -> Vec<f32>,
) -> Result<Extracted, ExtractError> {
    let (mut values, mut indices) = (Vec::new(), Vec::new());
    let skipped = stream(source, size, config, progress, compute, |rows, of| {
        values.extend(rows);
        indices.extend_from_slice(of);
        Ok::<_, ExtractError>(())
    })?;
    let labels = indices.iter().map(|&index| source.label(index)).collect();
    Ok(Extracted {
        features: Features::new(values.len() / indices.len(), values, labels)?,
        indices,
        skipped,
    })
}

/// As [`collect`], but gives the rows of each batch and their images to `take`.
pub(crate) fn stream<E: From<ExtractError>>(
    source: &dyn Source,
    size: [usize; 2],
    config: &ExtractConfig,
    mut progress: impl FnMut(Progress),
    mut compute: impl FnMut(&[u8], usize) -> Vec<f32>,
    mut take: impl FnMut(Vec<f32>, &[usize]) -> Result<(), E>,
) -> Result<Vec<Skipped>, E> {
    for_each_batch(source, size, config, |batch| {
        let rows = compute(batch.pixels, batch.indices.len());
        batch.check_finite(&rows, source)?;
        take(rows, batch.indices)?;
        progress(Progress {
            done: batch.done,
            total: source.len(),
            unit: ProgressUnit::Images,
        });
        Ok(())
    })
}

/// Images that were read together.
#[derive(Debug, Clone, Copy)]
pub struct PixelBatch<'a> {
    /// `[images, height, width, channels]`, in the bytes of [`Image::bytes`].
    pub pixels: &'a [u8],
    /// The image of the source that each belongs to, ascending; never empty.
    pub indices: &'a [usize],
    /// Images of the source that are done with this batch, also those that could not be read.
    pub done: usize,
}

impl PixelBatch<'_> {
    /// Checks the values of its images, row by row.
    ///
    /// # Errors
    ///
    /// [`ExtractError::NotFinite`] with the first image of which a value is no number or infinite.
    pub fn check_finite(&self, rows: &[f32], source: &dyn Source) -> Result<(), ExtractError> {
        let Some(at) = rows.iter().position(|value| !value.is_finite()) else {
            return Ok(());
        };
        let width = rows.len() / self.indices.len();
        Err(ExtractError::NotFinite {
            path: source.name(self.indices[at / width]),
            column: at % width,
            found: rows[at],
        })
    }
}

/// Gives the readable images of `source`, resized to `[height, width]`, to `each` in batches and
/// returns the images that could not be read.
///
/// Threads read ahead, `each` is called in the calling thread, and memory is that of a few
/// batches whatever the number of images. The pooling of the configuration is not used.
///
/// # Errors
///
/// An [`ExtractError`] if the configuration cannot be used, an image cannot be had or none can be
/// read, and the first error of `each`, after which nothing more is read.
pub fn for_each_batch<E: From<ExtractError>>(
    source: &dyn Source,
    size: [usize; 2],
    config: &ExtractConfig,
    mut each: impl FnMut(PixelBatch<'_>) -> Result<(), E>,
) -> Result<Vec<Skipped>, E> {
    let images = source.len();
    let batch_size = config.batch_size;
    if batch_size == 0 {
        return Err(ExtractError::BatchSize.into());
    }
    if images == 0 || u32::try_from(images).is_err() {
        return Err(ExtractError::Images { found: images }.into());
    }
    let reader = Reader::new(source, config.preprocess, size, config.reading);
    let (mut pixels, mut indices, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    let ahead = batch_size.saturating_mul(2);
    reader.read_all(config.workers, ahead, |index, image| {
        match image {
            Ok(image) => {
                pixels.extend_from_slice(&image.bytes());
                indices.push(index);
            }
            Err(skipped) => unread.push(skipped),
        }
        let done = index + 1;
        if indices.len() == batch_size || (done == images && !indices.is_empty()) {
            each(PixelBatch {
                pixels: &pixels,
                indices: &indices,
                done,
            })?;
            pixels.clear();
            indices.clear();
        }
        Ok::<_, E>(())
    })?;
    match unread.len() == images {
        true => Err(ExtractError::nothing_readable(&unread).into()),
        false => Ok(unread),
    }
}

/// `[height, width]` of a square as large as the first readable image allows, at most `most` wide:
/// the size at which [`extract_pixels`] compares images that nothing else gives a size.
///
/// # Errors
///
/// [`ExtractError::NothingReadable`] if no image can be read, [`ExtractError::Data`] if one cannot
/// be had, [`ExtractError::Images`] if there is none.
pub fn natural_size(
    source: &dyn Source,
    most: usize,
    reading: Reading,
) -> Result<[usize; 2], ExtractError> {
    let mut unread = Vec::new();
    for index in 0..source.len() {
        match Reader::original(source, index, reading)? {
            Ok(image) => return Ok([image.width().min(image.height()).min(most); 2]),
            Err(skipped) => unread.push(skipped),
        }
    }
    Err(ExtractError::nothing_readable(&unread))
}
