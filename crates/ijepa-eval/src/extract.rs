//! From images to frozen features.

mod error;
mod reader;

use burn::{module::Module, tensor::Device};
use ijepa_data::{Preprocess, RgbImage8, Skipped, Source, to_chw_f32};
use ijepa_model::{Normalization, Pooling, VisionTransformer};

pub use error::ExtractError;

use crate::features::Features;
pub(crate) use reader::Reader;

/// Layers that [`Pooling::Concat4`] needs.
const CONCAT_LAYERS: usize = 4;

/// How images become features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExtractConfig {
    /// How the tokens of an image become one vector.
    pub pooling: Pooling,
    /// How an image gets the encoder's size.
    pub preprocess: Preprocess,
    /// Channel statistics that the encoder was trained with.
    pub normalization: Normalization,
    /// Images a forward pass, at least 1.
    pub batch_size: usize,
    /// Threads that read, decode and resize; 0 does it in the calling thread.
    pub workers: usize,
}

impl Default for ExtractConfig {
    /// Mean pooling, evaluation preprocessing, ImageNet statistics, 64 images, 4 threads.
    fn default() -> Self {
        Self {
            pooling: Pooling::Mean,
            preprocess: Preprocess::Eval,
            normalization: Normalization::IMAGENET,
            batch_size: 64,
            workers: 4,
        }
    }
}

impl ExtractConfig {
    /// Checks that `encoder` has the layers that the pooling needs.
    pub(crate) fn check(&self, encoder: &VisionTransformer) -> Result<(), ExtractError> {
        let depth = encoder.config().depth;
        if self.pooling == Pooling::Concat4 && depth < CONCAT_LAYERS {
            return Err(ExtractError::Shallow { depth });
        }
        if self.batch_size == 0 {
            return Err(ExtractError::BatchSize);
        }
        Ok(())
    }
}

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
/// Threads read images a batch ahead; only the calling thread computes. An image that cannot be
/// read is left out and listed. No gradient is recorded, whatever the device. The result does
/// not depend on the number of workers.
///
/// # Shapes
///
/// - features: `[images, embed_dim]`, or `[images, 4 * embed_dim]` for [`Pooling::Concat4`]
///
/// # Errors
///
/// An [`ExtractError`] if the configuration cannot be used with this encoder, no image can be
/// read, or the encoder gives values that are not finite.
pub fn extract(
    encoder: &VisionTransformer,
    source: &dyn Source,
    config: &ExtractConfig,
    device: &Device,
) -> Result<Extracted, ExtractError> {
    extract_with_progress(encoder, source, config, device, |_| ())
}

/// As [`extract`]; after each batch `progress` is told how many images of the source are done.
///
/// # Errors
///
/// As [`extract`].
pub fn extract_with_progress(
    encoder: &VisionTransformer,
    source: &dyn Source,
    config: &ExtractConfig,
    device: &Device,
    progress: impl FnMut(usize),
) -> Result<Extracted, ExtractError> {
    config.check(encoder)?;
    let size = encoder.config().image_size;
    let [height, width] = size;
    let encoder = encoder.valid();
    let device = device.clone().without_autodiff();
    let compute = |pixels: &[u8], images: usize| {
        let images = config
            .normalization
            .images(pixels, [images, height, width], &device);
        let features = encoder.forward_pooled(images, config.pooling);
        features.into_data().iter::<f32>().collect()
    };
    run(source, size, config, progress, compute)
}

/// The normalised pixels of every image of `source`: the baseline that an encoder has to beat.
///
/// `image_size` is `[height, width]` after preprocessing. The configuration's pooling is not
/// used.
///
/// # Shapes
///
/// - features: `[images, 3 * height * width]`, channel after channel
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
/// let pixels = extract_pixels(source.as_ref(), [16, 16], &ExtractConfig::default())?;
/// assert_eq!((pixels.features.images(), pixels.features.dim()), (8, 3 * 16 * 16));
/// # Ok::<(), ijepa_eval::Error>(())
/// ```
pub fn extract_pixels(
    source: &dyn Source,
    image_size: [usize; 2],
    config: &ExtractConfig,
) -> Result<Extracted, ExtractError> {
    let [height, width] = image_size;
    let Normalization { mean, std } = config.normalization;
    let compute = |pixels: &[u8], images: usize| {
        let flatten = |image: &[u8]| {
            let image = RgbImage8::new(width, height, image.to_vec())
                .expect("preprocessing gives every image the size asked for");
            to_chw_f32(&image, mean, std)
        };
        let image_bytes = pixels.len() / images;
        pixels.chunks_exact(image_bytes).flat_map(flatten).collect()
    };
    run(source, image_size, config, |_| (), compute)
}

/// Reads all images and gives them to `compute` in batches of `[images, height, width, 3]`.
pub(crate) fn run(
    source: &dyn Source,
    size: [usize; 2],
    config: &ExtractConfig,
    mut progress: impl FnMut(usize),
    mut compute: impl FnMut(&[u8], usize) -> Vec<f32>,
) -> Result<Extracted, ExtractError> {
    let (mut values, mut indices) = (Vec::new(), Vec::new());
    let skipped = for_each_batch(source, size, config, |batch| {
        values.extend(compute(batch.pixels, batch.indices.len()));
        indices.extend_from_slice(batch.indices);
        progress(batch.done);
    })?;
    let labels = indices.iter().map(|&index| source.label(index)).collect();
    Ok(Extracted {
        features: Features::new(values.len() / indices.len(), values, labels)?,
        indices,
        skipped,
    })
}

/// Images that were read together.
#[derive(Debug, Clone, Copy)]
pub struct PixelBatch<'a> {
    /// `images * height * width * 3` bytes.
    pub pixels: &'a [u8],
    /// The image of the source that each belongs to, ascending; never empty.
    pub indices: &'a [usize],
    /// Images of the source that are done with this batch, also those that could not be read.
    pub done: usize,
}

/// Gives the readable images of `source`, resized to `[height, width]`, to `each` in batches and
/// returns the images that could not be read.
///
/// Threads read ahead, `each` is called in the calling thread, and memory is that of a few
/// batches whatever the number of images. The pooling of the configuration is not used.
///
/// # Errors
///
/// An [`ExtractError`] if the configuration cannot be used or no image can be read.
pub fn for_each_batch(
    source: &dyn Source,
    size: [usize; 2],
    config: &ExtractConfig,
    mut each: impl FnMut(PixelBatch<'_>),
) -> Result<Vec<Skipped>, ExtractError> {
    let images = source.len();
    let batch_size = config.batch_size;
    if batch_size == 0 {
        return Err(ExtractError::BatchSize);
    }
    if images == 0 || u32::try_from(images).is_err() {
        return Err(ExtractError::Images { found: images });
    }
    let reader = Reader {
        source,
        preprocess: config.preprocess,
        size,
    };
    let (mut pixels, mut indices, mut unread) = (Vec::new(), Vec::new(), Vec::new());
    reader.read_all(config.workers, batch_size, |index, image| {
        match image {
            Ok(image) => {
                pixels.extend_from_slice(image.pixels());
                indices.push(index);
            }
            Err(why) => unread.push(skipped(source, index, why)),
        }
        let done = index + 1;
        if indices.len() == batch_size || (done == images && !indices.is_empty()) {
            each(PixelBatch {
                pixels: &pixels,
                indices: &indices,
                done,
            });
            pixels.clear();
            indices.clear();
        }
    })?;
    match unread.first() {
        Some(first) if unread.len() == images => Err(ExtractError::NothingReadable {
            images,
            path: first.path.clone(),
            why: first.why.clone(),
        }),
        _ => Ok(unread),
    }
}

/// Image `index` of `source` as one that could not be read.
pub(crate) fn skipped(source: &dyn Source, index: usize, why: String) -> Skipped {
    Skipped {
        index: index as u32,
        path: source.name(index),
        why,
    }
}
