//! From an image of any size to the pixels a model takes, without randomness.

use std::str::FromStr;

use crate::error::{DataError, ImageError};
use crate::image::RgbImage8;
use crate::rect::CropRect;
use crate::resize::{Filter, MAX_SIDE};
use crate::view::View;

/// How an image gets the model's size.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Preprocess {
    /// Short side to `round(size * 256 / 224)` by bicubic interpolation, then the centre.
    #[default]
    Eval,
    /// Short side to the size itself by bicubic interpolation, then the centre: fine-tuned
    /// classifiers of images above 224 pixels.
    Fill,
    /// Bilinear resize to the exact size; the aspect ratio is not kept.
    Squash,
    /// Short side to `margin` times the size by bicubic interpolation, then the centre: what other
    /// people's weights ask for.
    Crop {
        /// At least 1.
        margin: f64,
    },
    /// Nothing: the image must already have the size.
    None,
}

/// What [`Preprocess::Eval`] cuts off: 256 pixels for 224.
const EVAL_MARGIN: f64 = 256.0 / 224.0;

impl Preprocess {
    /// A crop with this `margin`, under its name if it has one.
    pub fn of_margin(margin: f64) -> Self {
        match margin {
            EVAL_MARGIN => Self::Eval,
            1.0 => Self::Fill,
            margin => Self::Crop { margin },
        }
    }

    /// Gives `image` the size `[height, width]`.
    ///
    /// For sizes that are not square, all that crop scale by the side that needs most enlargement,
    /// so that the centre crop is always filled.
    ///
    /// # Errors
    ///
    /// [`ImageError::ImageSize`] if [`None`](Self::None) meets an image of another size,
    /// [`ImageError::OutputSize`] if `size` is empty or, with its margin, beyond reason.
    ///
    /// # Panics
    ///
    /// Panics if a margin is below 1.
    pub fn apply(self, image: &RgbImage8, size: [usize; 2]) -> Result<RgbImage8, DataError> {
        self.view(image.width(), image.height(), size)?.of(image)
    }

    /// What [`apply`](Self::apply) shows of an image of `width` columns and `height` rows.
    ///
    /// # Errors
    ///
    /// As [`apply`](Self::apply).
    ///
    /// # Panics
    ///
    /// Panics if a margin is below 1.
    pub fn view(self, width: usize, height: usize, size: [usize; 2]) -> Result<View, DataError> {
        let found = [height, width];
        match self {
            Self::Eval => centre_of_resized(found, size, EVAL_MARGIN),
            Self::Fill => centre_of_resized(found, size, 1.0),
            Self::Crop { margin } => {
                assert!(margin >= 1.0, "a margin of {margin} leaves a crop unfilled");
                centre_of_resized(found, size, margin)
            }
            Self::Squash => Ok(View::resized(width, height, size, Filter::Bilinear)),
            Self::None if found != size => Err(DataError::Image(ImageError::ImageSize {
                expected: size,
                found,
            })),
            Self::None => Ok(View::whole(width, height)),
        }
    }
}

impl FromStr for Preprocess {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        match text {
            "eval" => Ok(Self::Eval),
            "fill" => Ok(Self::Fill),
            "squash" => Ok(Self::Squash),
            "none" => Ok(Self::None),
            _ => margin(text).ok_or_else(|| DataError::UnknownValue {
                what: "preprocessing",
                found: text.to_owned(),
                expected: "eval, fill, squash, crop:MARGIN with at least 1, none",
            }),
        }
    }
}

/// `crop:MARGIN`.
fn margin(text: &str) -> Option<Preprocess> {
    let margin: f64 = text.strip_prefix("crop:")?.parse().ok()?;
    (margin >= 1.0 && margin.is_finite()).then_some(Preprocess::Crop { margin })
}

impl std::fmt::Display for Preprocess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Eval => f.write_str("eval"),
            Self::Fill => f.write_str("fill"),
            Self::Squash => f.write_str("squash"),
            Self::Crop { margin } => write!(f, "crop:{margin}"),
            Self::None => f.write_str("none"),
        }
    }
}

/// Resizes so that the centre crop of `size` keeps `1 / margin` of the short side.
fn centre_of_resized(
    [image_height, image_width]: [usize; 2],
    size: [usize; 2],
    margin: f64,
) -> Result<View, DataError> {
    let [height, width] = size;
    if height == 0 || width == 0 {
        return Err(DataError::Image(ImageError::OutputSize { width, height }));
    }
    let enlarged = |side: usize| (side as f64 * margin).round() as usize;
    let (least_height, least_width) = (enlarged(height), enlarged(width));
    if least_height.max(least_width) > MAX_SIDE {
        return Err(DataError::Image(ImageError::OutputSize {
            width: least_width,
            height: least_height,
        }));
    }
    // torchvision's Resize(int): the binding side exactly, the other one truncated.
    let scaled =
        |side: usize, to: usize, from: usize| (side as f64 * to as f64 / from as f64) as usize;
    let by_height = least_height as f64 * image_width as f64;
    let by_width = least_width as f64 * image_height as f64;
    let (new_height, new_width) = if by_height >= by_width {
        (
            least_height,
            scaled(image_width, least_height, image_height),
        )
    } else {
        (scaled(image_height, least_width, image_width), least_width)
    };
    // torchvision's CenterCrop rounds halves to the even pixel.
    let start = |outer: usize, inner: usize| ((outer - inner) as f64 / 2.0).round_ties_even();
    let kept = CropRect {
        top: start(new_height, height) as usize,
        left: start(new_width, width) as usize,
        height,
        width,
    };
    Ok(View {
        kept: Some(kept),
        ..View::resized(
            image_width,
            image_height,
            [new_height, new_width],
            Filter::Bicubic,
        )
    })
}

/// Turns pixels into model input: `(value / 255 - mean) / std`, as torchvision rounds it.
///
/// `mean` and `std` are those of red, green and blue on the scale where white is 1.
///
/// # Shapes
///
/// - output: `[3, height, width]`, channel after channel
///
/// # Examples
///
/// ```
/// use ijepa_data::{RgbImage8, to_chw_f32};
///
/// let image = RgbImage8::new(1, 1, vec![0, 255, 0])?;
/// assert_eq!(to_chw_f32(&image, [0.5; 3], [0.5; 3]), [-1.0, 1.0, -1.0]);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
pub fn to_chw_f32(image: &RgbImage8, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    let plane = image.width() * image.height();
    let mut output = Vec::with_capacity(plane * 3);
    for channel in 0..3 {
        let (mean, std) = (mean[channel], std[channel]);
        // There are only 256 levels: dividing each once also keeps torchvision's rounding.
        let levels: [f32; 256] = std::array::from_fn(|level| (level as f32 / 255.0 - mean) / std);
        let samples = image.pixels().iter().skip(channel).step_by(3);
        output.extend(samples.map(|&value| levels[usize::from(value)]));
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_are_not_square_are_filled() {
        for (width, height) in [(40, 90), (90, 40), (64, 64), (1, 200)] {
            let image = RgbImage8::new(width, height, vec![7; width * height * 3]).unwrap();
            for size in [[32, 32], [24, 48], [48, 24], [1, 1]] {
                let crop = Preprocess::Crop { margin: 1.0 / 0.9 };
                for method in [Preprocess::Eval, Preprocess::Fill, crop] {
                    let output = method.apply(&image, size).unwrap();
                    assert_eq!([output.height(), output.width()], size);
                }
            }
        }
    }

    /// All of the enlarged strip would have a thousand times the pixels of what is kept.
    #[test]
    fn the_middle_of_a_strip_takes_no_more_than_itself() {
        let (strip, narrow) = (1 << 18, 1 << 12);
        for [width, height] in [[strip, 1], [1, strip]] {
            let level = |at: usize| [(at / (strip / 256)) as u8; 3];
            let image = RgbImage8::new(width, height, (0..strip).flat_map(level).collect());
            let output = Preprocess::Eval.apply(&image.unwrap(), [224, 224]).unwrap();
            // It shows the one or two levels in the middle.
            assert!(
                output
                    .pixels()
                    .iter()
                    .all(|level| (127..=128).contains(level))
            );
        }
        // As much as is kept of the whole, resized.
        let level = |at: usize| {
            [
                (at * at % 251) as u8,
                (at % 251) as u8,
                (at * 7 % 251) as u8,
            ]
        };
        let image = RgbImage8::new(narrow, 3, (0..narrow * 3).flat_map(level).collect()).unwrap();
        let view = Preprocess::Eval.view(narrow, 3, [14, 14]).unwrap();
        let [height, width] = view.size;
        let whole = crate::resize(&image, width, height, Filter::Bicubic, None).unwrap();
        let expected = crate::rect::crop(&whole, view.kept.unwrap()).unwrap();
        assert_eq!(view.of(&image).unwrap(), expected);
    }

    #[test]
    fn fill_keeps_the_whole_short_side_and_eval_cuts_its_margin() {
        // A frame of one white pixel.
        let inside = |at: usize| (1..31).contains(&at);
        let level = |at: usize| {
            if inside(at % 32) && inside(at / 32) {
                0
            } else {
                255
            }
        };
        let pixels = (0..32 * 32).flat_map(|at| [level(at); 3]);
        let image = RgbImage8::new(32, 32, pixels.collect()).unwrap();
        assert_eq!(Preprocess::Fill.apply(&image, [32, 32]).unwrap(), image);
        let cut = Preprocess::Eval.apply(&image, [32, 32]).unwrap();
        assert!(cut.pixels().iter().all(|&level| level < 64));
        let crop = |margin| Preprocess::Crop { margin }.apply(&image, [32, 32]).unwrap();
        assert_eq!((crop(1.0), crop(EVAL_MARGIN)), (image.clone(), cut));
    }

    #[test]
    fn none_names_both_sizes() {
        let image = RgbImage8::new(3, 2, vec![0; 18]).unwrap();
        assert_eq!(Preprocess::None.apply(&image, [2, 3]).unwrap(), image);
        let error = Preprocess::None.apply(&image, [4, 4]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "image is 2x3, expected 4x4 (height x width); resize it or choose another preprocessing"
        );
    }

    #[test]
    fn an_empty_size_is_an_error() {
        let image = RgbImage8::new(3, 2, vec![0; 18]).unwrap();
        for method in [Preprocess::Eval, Preprocess::Fill, Preprocess::Squash] {
            assert!(matches!(
                method.apply(&image, [0, 4]),
                Err(DataError::Image(ImageError::OutputSize { .. }))
            ));
        }
        // What is shown would be of no width.
        for margin in [1e7, 1e17, f64::MAX] {
            assert!(matches!(
                Preprocess::Crop { margin }.apply(&image, [4, 4]),
                Err(DataError::Image(ImageError::OutputSize { .. }))
            ));
        }
    }

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for name in ["eval", "fill", "squash", "crop:1.25", "none"] {
            assert_eq!(name.parse::<Preprocess>().unwrap().to_string(), name);
        }
        for name in ["crop", "crop:0.9", "crop:inf", "crop:NaN"] {
            assert_eq!(
                name.parse::<Preprocess>().unwrap_err().to_string(),
                format!(
                    "unknown preprocessing `{name}`, expected one of: eval, fill, squash, \
                     crop:MARGIN with at least 1, none"
                )
            );
        }
    }
}
