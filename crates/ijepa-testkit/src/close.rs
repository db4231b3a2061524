//! Closeness of tensors.

/// Largest absolute difference.
///
/// # Panics
///
/// Panics if the lengths differ.
pub fn max_abs_difference(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len(), "lengths differ");
    let difference = |(&a, &b): (&f32, &f32)| (f64::from(a) - f64::from(b)).abs();
    // NaN must not hide: `max` would ignore it.
    found
        .iter()
        .zip(expected)
        .map(difference)
        .fold(0.0, |largest, d| {
            if d > largest || d.is_nan() {
                d
            } else {
                largest
            }
        })
}

/// Largest absolute difference over largest absolute expected value.
///
/// # Panics
///
/// Panics if the lengths differ.
pub fn relative_difference(found: &[f32], expected: &[f32]) -> f64 {
    let scale = expected
        .iter()
        .fold(0.0f64, |largest, &b| largest.max(f64::from(b.abs())));
    max_abs_difference(found, expected) / scale.max(f64::from(f32::MIN_POSITIVE))
}

/// Asserts that [`relative_difference`] is at most `tolerance`.
///
/// # Panics
///
/// Panics with `name` if it is not, or if a value is not a number.
pub fn assert_close(name: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    let difference = relative_difference(found, expected);
    assert!(
        difference <= tolerance,
        "{name}: relative difference {difference:.2e} > {tolerance:.0e}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_to_the_largest_value() {
        assert_eq!(relative_difference(&[1.0, 4.5], &[1.0, 4.0]), 0.125);
        assert!(relative_difference(&[f32::NAN, 4.0], &[1.0, 4.0]).is_nan());
    }

    #[test]
    #[should_panic(expected = "x: relative difference NaN")]
    fn nan_is_never_close() {
        assert_close("x", &[f32::NAN, 0.0], &[0.0, 0.0], 1.0);
    }
}
