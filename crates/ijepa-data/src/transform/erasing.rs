//! Random erasing: a rectangle of noise in the model's input.

use rand::Rng;

use super::{check_probability, check_range};
use crate::error::DataError;
use crate::rect::CropRect;
use crate::rng::{below, normal, uniform, unit};

const TRIES: usize = 10;

/// Replaces a random rectangle by noise, after normalisation (Zhong et al. 2020; timm's `pixel`
/// mode with one rectangle).
///
/// # Examples
///
/// ```
/// use ijepa_data::{Purpose, RandomErasing, sample_rng};
///
/// let erasing = RandomErasing { probability: 1.0, ..RandomErasing::default() };
/// let mut image = vec![9.0; 3 * 32 * 32];
/// erasing.apply(&mut image, [32, 32], &mut sample_rng(0, Purpose::Erasing, 0, 0));
/// assert!(image.iter().any(|&value| value != 9.0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RandomErasing {
    /// Share of the images with a rectangle, `[0, 1]`.
    pub probability: f64,
    /// Share of the image's area erased, uniform on `[min, max)`; within `(0, 1]`.
    pub area: [f64; 2],
    /// Height over width of the rectangle, log-uniform on `[min, max)`.
    pub aspect: [f64; 2],
}

impl Default for RandomErasing {
    /// A quarter of the images, 2 % to a third of the area, 0.3 to 1/0.3: the settings of MAE.
    fn default() -> Self {
        Self {
            probability: 0.25,
            area: [0.02, 1.0 / 3.0],
            aspect: [0.3, 1.0 / 0.3],
        }
    }
}

impl RandomErasing {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`DataError::BadValue`] naming the field.
    pub fn validate(&self) -> Result<(), DataError> {
        check_probability("probability", self.probability)?;
        check_range("area", self.area, 1.0)?;
        check_range("aspect", self.aspect, f64::INFINITY)
    }

    /// Draws the rectangle of an image of `size` (`[height, width]`), or `None` if it is spared.
    ///
    /// Up to ten tries find one that is smaller than the image in both directions; it lies
    /// anywhere, edges included.
    pub fn rect(&self, size: [usize; 2], rng: &mut impl Rng) -> Option<CropRect> {
        if unit(rng) >= self.probability {
            return None;
        }
        let [image_height, image_width] = size;
        let [flat, tall] = self.aspect;
        for _ in 0..TRIES {
            let area =
                (image_height * image_width) as f64 * uniform(rng, self.area[0], self.area[1]);
            let aspect = uniform(rng, flat.ln(), tall.ln()).exp();
            let height = (area * aspect).sqrt().round_ties_even() as usize;
            let width = (area / aspect).sqrt().round_ties_even() as usize;
            if (1..image_height).contains(&height) && (1..image_width).contains(&width) {
                return Some(CropRect {
                    top: below(rng, image_height - height + 1),
                    left: below(rng, image_width - width + 1),
                    height,
                    width,
                });
            }
        }
        None
    }

    /// Draws a rectangle and fills it in every channel with standard normal noise.
    ///
    /// # Shapes
    ///
    /// - `pixels`: `[channels, height, width]`, normalised
    /// - `size`: `[height, width]`
    ///
    /// # Panics
    ///
    /// Panics if `pixels` is not a whole number of channels.
    pub fn apply(&self, pixels: &mut [f32], size: [usize; 2], rng: &mut impl Rng) {
        let [height, width] = size;
        assert!(
            height * width > 0 && pixels.len().is_multiple_of(height * width),
            "{} numbers are no channels of {height}x{width}",
            pixels.len()
        );
        let Some(rect) = self.rect(size, rng) else {
            return;
        };
        for plane in pixels.chunks_exact_mut(height * width) {
            for row in plane
                .chunks_exact_mut(width)
                .skip(rect.top)
                .take(rect.height)
            {
                for value in &mut row[rect.left..rect.left + rect.width] {
                    *value = normal(rng) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, sample_rng};

    const SIZE: [usize; 2] = [40, 60];

    fn rects(erasing: RandomErasing) -> Vec<CropRect> {
        let rect = |i| erasing.rect(SIZE, &mut sample_rng(0, Purpose::Erasing, 0, i));
        (0..20_000).filter_map(rect).collect()
    }

    #[test]
    fn a_quarter_of_the_images_lose_a_rectangle_of_the_stated_sizes() {
        let rects = rects(RandomErasing::default());
        // Nearly every rectangle fits within ten tries; the standard deviation is 61.
        assert!(rects.len().abs_diff(5000) < 370, "{}", rects.len());
        let area = |rect: &CropRect| (rect.height * rect.width) as f64 / 2400.0;
        let ratio = |rect: &CropRect| rect.height as f64 / rect.width as f64;
        // Rounding the sides moves the smallest areas and the ratios.
        assert!(rects.iter().all(|rect| (0.017..0.35).contains(&area(rect))));
        assert!(rects.iter().all(|rect| (0.25..4.0).contains(&ratio(rect))));
        let tall = rects.iter().filter(|rect| rect.height > rect.width).count();
        assert!(tall > rects.len() / 3 && tall < rects.len() * 2 / 3);
        for edge in [
            rects.iter().map(|rect| rect.top).min() == Some(0),
            rects.iter().map(|rect| rect.left).min() == Some(0),
            rects.iter().map(|rect| rect.top + rect.height).max() == Some(SIZE[0]),
            rects.iter().map(|rect| rect.left + rect.width).max() == Some(SIZE[1]),
        ] {
            assert!(edge);
        }
    }

    #[test]
    fn only_the_rectangle_changes_in_every_channel_and_to_unit_noise() {
        let erasing = RandomErasing {
            probability: 1.0,
            ..RandomErasing::default()
        };
        let mut noise = Vec::new();
        for i in 0..50 {
            let rng = || sample_rng(0, Purpose::Erasing, 0, i);
            let rect = erasing.rect(SIZE, &mut rng()).unwrap();
            let mut pixels = vec![9.0; 3 * 40 * 60];
            erasing.apply(&mut pixels, SIZE, &mut rng());
            for (at, &value) in pixels.iter().enumerate() {
                let (y, x) = (at / 60 % 40, at % 60);
                let inside = (rect.top..rect.top + rect.height).contains(&y)
                    && (rect.left..rect.left + rect.width).contains(&x);
                assert_eq!(value != 9.0, inside, "image {i} at {at}");
                if inside {
                    noise.push(f64::from(value));
                }
            }
        }
        // At least 10,000 numbers: six standard errors of the mean are 0.06, of the variance 0.085.
        let n = noise.len() as f64;
        assert!(n > 1e4);
        assert!((noise.iter().sum::<f64>() / n).abs() < 0.06);
        assert!((noise.iter().map(|x| x * x).sum::<f64>() / n - 1.0).abs() < 0.085);
    }

    #[test]
    fn odd_sizes_never_panic_and_bad_fields_are_named() {
        let always = RandomErasing {
            probability: 1.0,
            ..RandomErasing::default()
        };
        for size in [[1, 1], [1, 50], [2, 2], [50, 1]] {
            let mut pixels = vec![0.5; 3 * size[0] * size[1]];
            for i in 0..50 {
                always.apply(
                    &mut pixels,
                    size,
                    &mut sample_rng(0, Purpose::Erasing, 0, i),
                );
            }
        }
        always.validate().unwrap();
        let bad = RandomErasing {
            area: [0.5, 1.5],
            ..always
        };
        assert_eq!(
            bad.validate().unwrap_err().to_string(),
            "bad value `[0.5, 1.5]` for `area`, expected [min, max] with 0 < min <= max <= 1"
        );
        let bad = RandomErasing {
            probability: f64::NAN,
            ..always
        };
        assert_eq!(
            bad.validate().unwrap_err().to_string(),
            "bad value `NaN` for `probability`, expected a number from 0 to 1"
        );
    }
}
