//! Random transforms of training images.

mod affine;
mod classifier;
mod crop;
mod distortion;
mod erasing;
mod mixing;
mod pretrain;
mod rand_augment;

pub use affine::{affine, rotate};
pub use classifier::{ClassifierAugment, Framing};
pub use crop::{random_crop, random_crop_of_ratio};
pub use distortion::Distortion;
pub use erasing::RandomErasing;
pub use mixing::{Mixing, MixingConfig};
pub use pretrain::Augment;
pub use rand_augment::RandAugment;

use crate::error::DataError;
use crate::image::RgbImage8;
use crate::rng::SampleRng;

/// What a [`Loader`](crate::Loader) does to every image: [`Augment`] for pretraining,
/// [`ClassifierAugment`] for probes and fine-tuning, or a transform of your own.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use ijepa_data::*;
///
/// /// Shows every image as it is.
/// #[derive(Debug)]
/// struct Whole;
///
/// impl Transform for Whole {
///     fn size(&self) -> [usize; 2] {
///         [32, 32]
///     }
///     fn validate(&self) -> Result<(), DataError> {
///         Ok(())
///     }
///     fn apply(&self, image: &RgbImage8, _: &mut SampleRng) -> Result<RgbImage8, DataError> {
///         Preprocess::None.apply(image, self.size())
///     }
/// }
///
/// let scenes: DataSpec = "scenes:n=8,size=32".parse()?;
/// let config = LoaderConfig {
///     batch_size: 4, places: None, seed: 0, start_step: 0, workers: 1, augment: Whole,
///     max_bad_fraction: 0.0, reading: Reading::default(),
/// };
/// let batch = Loader::new(Arc::from(scenes.open()?), config)?.next_batch()?;
/// assert_eq!(batch.images.len(), 4 * 32 * 32 * 3);
/// # Ok::<(), DataError>(())
/// ```
pub trait Transform: Send + Sync + std::fmt::Debug {
    /// `[height, width]` of every result, pixels.
    fn size(&self) -> [usize; 2];

    /// Checks every field; a loader asks once, before its first image.
    ///
    /// # Errors
    ///
    /// [`DataError::OutputSize`] or [`DataError::BadValue`] naming the field.
    fn validate(&self) -> Result<(), DataError>;

    /// Transforms one image by numbers drawn from `rng` and nothing else.
    ///
    /// # Errors
    ///
    /// A [`DataError`] if this image cannot be transformed; a loader leaves it out.
    fn apply(&self, image: &RgbImage8, rng: &mut SampleRng) -> Result<RgbImage8, DataError>;
}

/// Checks that `range` is `[min, max]` with `0 < min <= max <= most`.
fn check_range(key: &'static str, range: [f64; 2], most: f64) -> Result<(), DataError> {
    let [low, high] = range;
    if low > 0.0 && low <= high && high <= most {
        return Ok(());
    }
    Err(DataError::BadValue {
        key,
        found: format!("[{low}, {high}]"),
        expected: match most.is_finite() {
            true => "[min, max] with 0 < min <= max <= 1",
            false => "[min, max] with 0 < min <= max",
        },
    })
}

/// Checks that `value` is within `[0, 1]`.
fn check_probability(key: &'static str, value: f64) -> Result<(), DataError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(DataError::BadValue {
        key,
        found: value.to_string(),
        expected: "a number from 0 to 1",
    })
}
