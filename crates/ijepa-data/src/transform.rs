//! Random transforms of training images.

mod affine;
mod crop;
mod distortion;
mod erasing;
mod mixing;
mod pretrain;
mod rand_augment;

pub use affine::{affine, rotate};
pub use crop::{random_crop, random_crop_of_ratio};
pub use distortion::Distortion;
pub use erasing::RandomErasing;
pub use mixing::{Mixing, MixingConfig};
pub use pretrain::Augment;
pub use rand_augment::RandAugment;

use crate::error::DataError;

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
