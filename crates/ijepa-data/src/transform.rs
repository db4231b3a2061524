//! Random transforms of training images.

mod affine;
mod classifier;
mod crop;
mod distortion;
mod erasing;
mod mixing;
mod multi_crop;
mod pretrain;
mod rand_augment;

pub use affine::{affine, rotate};
pub use classifier::{ClassifierAugment, Framing};
pub use crop::{random_crop, random_crop_of_ratio};
pub use distortion::Distortion;
pub use erasing::RandomErasing;
pub use mixing::{Mixing, MixingConfig};
pub use multi_crop::MultiCrop;
pub use pretrain::Augment;
pub use rand_augment::RandAugment;

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::DataError;
use crate::image::{Image, RgbImage8};
use crate::rng::SampleRng;
use crate::view::View;

/// What a [`Loader`](crate::Loader) does to every image: [`Augment`] for pretraining,
/// [`ClassifierAugment`] for probes and fine-tuning, or a transform of your own.
///
/// It has two steps with one stream of random numbers: first it chooses a [`View`] from the size
/// of the image alone, then it changes what is seen there.
///
/// # Examples
///
/// ```
/// use ijepa_data::*;
///
/// /// Shows the upper left corner of every image.
/// #[derive(Debug)]
/// struct Corner;
///
/// impl Transform for Corner {
///     fn size(&self) -> [usize; 2] {
///         [16, 16]
///     }
///     fn view(&self, _: usize, _: usize, _: &mut SampleRng) -> Result<View, DataError> {
///         let part = CropRect { top: 0, left: 0, height: 16, width: 16 };
///         Ok(View { part, size: self.size(), filter: Filter::Bilinear, kept: None })
///     }
/// }
///
/// let scenes: DataSpec = "scenes:n=8,size=32".parse()?;
/// let config = LoaderConfig::new(4, Corner);
/// let batch = Loader::new(scenes.open()?, config)?.next_batch()?;
/// assert_eq!(batch.images.len(), 4 * 16 * 16 * 3);
/// # Ok::<(), DataError>(())
/// ```
pub trait Transform: Send + Sync + std::fmt::Debug {
    /// `[height, width]` of every result, pixels.
    fn size(&self) -> [usize; 2];

    /// Checks every field; a loader asks once, before its first image. By default there is none to
    /// check.
    ///
    /// # Errors
    ///
    /// [`ImageError::OutputSize`](crate::ImageError::OutputSize) or [`DataError::BadValue`] naming
    /// the field.
    fn validate(&self) -> Result<(), DataError> {
        Ok(())
    }

    /// Chooses what is shown of an image of `width` columns and `height` rows by numbers drawn
    /// from `rng` and nothing else.
    ///
    /// # Errors
    ///
    /// A [`DataError`] if such an image cannot be shown; a loader leaves it out.
    fn view(&self, width: usize, height: usize, rng: &mut SampleRng) -> Result<View, DataError>;

    /// Changes what is shown by further numbers of `rng`; by default nothing.
    ///
    /// # Errors
    ///
    /// A [`DataError`] if this image cannot be changed; a loader leaves it out.
    fn change(&self, shown: Image, rng: &mut SampleRng) -> Result<Image, DataError> {
        let _ = rng;
        Ok(shown)
    }

    /// What becomes of `image` by numbers drawn from `rng`, as a loader does it.
    ///
    /// # Errors
    ///
    /// As [`view`](Self::view) and [`change`](Self::change), also if it is no image of bytes any
    /// more.
    fn apply(&self, image: &RgbImage8, rng: &mut SampleRng) -> Result<RgbImage8, DataError> {
        let view = self.view(image.width(), image.height(), rng)?;
        self.change(view.of(image)?.into(), rng)?.into_rgb8()
    }

    /// Whether it changes colours, so that it can do nothing with other channels.
    fn needs_colors(&self) -> bool {
        false
    }
}

impl Transform for Arc<dyn Transform> {
    fn size(&self) -> [usize; 2] {
        (**self).size()
    }

    fn validate(&self) -> Result<(), DataError> {
        (**self).validate()
    }

    fn view(&self, width: usize, height: usize, rng: &mut SampleRng) -> Result<View, DataError> {
        (**self).view(width, height, rng)
    }

    fn change(&self, shown: Image, rng: &mut SampleRng) -> Result<Image, DataError> {
        (**self).change(shown, rng)
    }

    fn needs_colors(&self) -> bool {
        (**self).needs_colors()
    }
}

/// Checks that `range` is `[min, max]` with `0 < min <= max <= most`.
fn check_range(key: &'static str, range: [f64; 2], most: f64) -> Result<(), DataError> {
    let [low, high] = range;
    if low > 0.0 && low <= high && high <= most {
        return Ok(());
    }
    let expected = match most.is_finite() {
        true => "[min, max] with 0 < min <= max <= 1",
        false => "[min, max] with 0 < min <= max",
    };
    let found = format!("[{low}, {high}]");
    Err(DataError::bad_value(key, &found, expected))
}

/// Checks that `value` is within `range`, which is `expected` in words.
fn check_within(
    key: &'static str,
    value: f64,
    range: RangeInclusive<f64>,
    expected: &'static str,
) -> Result<(), DataError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(DataError::bad_value(key, &value.to_string(), expected)),
    }
}

/// Checks that `value` is within `[0, 1]`.
fn check_probability(key: &'static str, value: f64) -> Result<(), DataError> {
    check_within(key, value, 0.0..=1.0, "a number from 0 to 1")
}
