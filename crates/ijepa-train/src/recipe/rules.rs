//! Rules about single values, for the validation of settings.

use std::ops::{Bound, RangeBounds};

use ijepa_data::Decoding;

use super::RecipeError;

/// Of counts and factors.
pub const AT_LEAST_ONE: &str = "1 or more";
/// Of [`ABOVE_ZERO`].
pub const POSITIVE: &str = "more than 0";
/// Of `0.0..1.0`.
pub const BELOW_ONE: &str = "0 or more and less than 1";
const SCALE: &str = "0 < min <= max <= 1";

/// All finite numbers above zero.
pub const ABOVE_ZERO: (Bound<f64>, Bound<f64>) = (Bound::Excluded(0.0), Bound::Included(f64::MAX));

/// The error unless a condition holds.
///
/// # Errors
///
/// What `error` returns.
pub fn ensure(holds: bool, error: impl FnOnce() -> RecipeError) -> Result<(), RecipeError> {
    if holds { Ok(()) } else { Err(error()) }
}

/// A number in a range, in which NaN never lies; `expected` is the range in words.
///
/// # Errors
///
/// [`RecipeError::OutOfRange`].
pub fn within(
    key: &'static str,
    found: f64,
    range: impl RangeBounds<f64>,
    expected: &'static str,
) -> Result<(), RecipeError> {
    ensure(range.contains(&found), || RecipeError::OutOfRange {
        key,
        found,
        expected,
    })
}

/// Any integer that written settings can hold.
///
/// # Errors
///
/// [`RecipeError::TooLarge`].
pub fn integer(key: &'static str, found: u64) -> Result<(), RecipeError> {
    ensure(i64::try_from(found).is_ok(), || RecipeError::TooLarge {
        key,
        found,
    })
}

/// An integer of at least one.
///
/// # Errors
///
/// As [`integer`] and [`within`].
pub fn count(key: &'static str, found: usize) -> Result<(), RecipeError> {
    integer(key, found as u64)?;
    within(key, found as f64, 1.0..=f64::MAX, AT_LEAST_ONE)
}

/// As [`count`], of several keys.
///
/// # Errors
///
/// As [`count`], of the first that breaks the rule.
pub fn counts<const N: usize>(values: [(&'static str, usize); N]) -> Result<(), RecipeError> {
    values
        .into_iter()
        .try_for_each(|(key, found)| count(key, found))
}

/// Finite numbers of at least zero.
///
/// # Errors
///
/// As [`within`], of the first that breaks the rule.
pub fn not_negative<const N: usize>(values: [(&'static str, f64); N]) -> Result<(), RecipeError> {
    values
        .into_iter()
        .try_for_each(|(key, found)| within(key, found, 0.0..=f64::MAX, "0 or more"))
}

/// Shares and probabilities: numbers in `[0, 1]`.
///
/// # Errors
///
/// As [`within`], of the first that breaks the rule.
pub fn shares<const N: usize>(values: [(&'static str, f64); N]) -> Result<(), RecipeError> {
    values
        .into_iter()
        .try_for_each(|(key, found)| within(key, found, 0.0..=1.0, "0 to 1"))
}

/// A way to decode that this build knows.
///
/// # Errors
///
/// [`RecipeError::NotBuilt`].
pub fn built(decoding: Decoding) -> Result<(), RecipeError> {
    ensure(decoding.decode.is_built(), || RecipeError::NotBuilt {
        key: "data.decode",
        value: "fast",
        feature: "turbojpeg",
    })
}

/// `[min, max]` with `0 < min <= max <= 1`.
///
/// # Errors
///
/// [`RecipeError::Interval`].
pub fn scale(key: &'static str, [min, max]: [f64; 2]) -> Result<(), RecipeError> {
    ensure(0.0 < min && min <= max && max <= 1.0, || {
        RecipeError::Interval {
            key,
            min,
            max,
            expected: SCALE,
        }
    })
}
