//! The random transform of pretraining images.

use super::{Transform, check_range, check_within, random_crop};
use crate::color::distort;
use crate::error::DataError;
use crate::image::Image;
use crate::resize::{Filter, sides};
use crate::rng::{SampleRng, unit};
use crate::view::View;

/// Random crop, then optionally a mirror and other colours; the published recipes crop only.
///
/// # Examples
///
/// ```
/// use ijepa_data::{Augment, Purpose, RgbImage8, Transform, sample_rng};
///
/// let augment = Augment { size: [24, 24], ..Augment::default() };
/// let image = RgbImage8::new(40, 30, vec![128; 3600])?;
/// let crop = augment.apply(&image, &mut sample_rng(0, Purpose::Augment, 0, 0))?;
/// assert_eq!((crop.width(), crop.height()), (24, 24));
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Augment {
    /// `[height, width]` of the result, pixels.
    pub size: [usize; 2],
    /// Share of the image's area that a crop covers, uniform on `[min, max)`; within `(0, 1]`.
    pub crop_scale: [f64; 2],
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
    /// Strength of the colour distortion, 0 (off) to 2.5; SimCLR uses 1.
    pub color_jitter: f64,
}

impl Default for Augment {
    /// 224 x 224 pixels from 0.3 to 1 of the area, no flip, no colour distortion.
    fn default() -> Self {
        Self {
            size: [224, 224],
            crop_scale: [0.3, 1.0],
            flip: false,
            color_jitter: 0.0,
        }
    }
}

impl Transform for Augment {
    fn size(&self) -> [usize; 2] {
        self.size
    }

    fn validate(&self) -> Result<(), DataError> {
        let [height, width] = self.size;
        sides(width, height)?;
        check_range("crop_scale", self.crop_scale, 1.0)?;
        let expected = "a number from 0 to 2.5";
        check_within("color_jitter", self.color_jitter, 0.0..=2.5, expected)
    }

    /// The crop is cut on whole pixels and resized by the antialiased bilinear kernel, as
    /// torchvision's `RandomResizedCrop` does with Pillow images.
    fn view(&self, width: usize, height: usize, rng: &mut SampleRng) -> Result<View, DataError> {
        Ok(View {
            part: random_crop(width, height, self.crop_scale, rng),
            size: self.size,
            filter: Filter::Bilinear,
            kept: None,
        })
    }

    fn change(&self, mut shown: Image, rng: &mut SampleRng) -> Result<Image, DataError> {
        if self.flip && unit(rng) < 0.5 {
            shown.flip_horizontal();
        }
        if self.color_jitter > 0.0 {
            distort(shown.as_rgb8_mut()?, self.color_jitter, rng);
        }
        Ok(shown)
    }

    fn needs_colors(&self) -> bool {
        self.color_jitter > 0.0
    }
}
