//! The fifteen operations of RandAugment, with the arithmetic of Pillow.

use std::array::from_fn;

use super::{affine, rotate};
use crate::color::{between, blend, grey, mean_grey};
use crate::image::RgbImage8;
use crate::resize::Filter;

/// What lies outside a moved image: ImageNet's mean colour.
const FILL: [u8; 3] = [124, 116, 104];

/// One change to a whole image; geometric ones are bicubic and fill with ImageNet's mean colour.
///
/// Results are those of Pillow's `ImageOps`, `ImageEnhance` and `Image.transform`.
///
/// # Examples
///
/// ```
/// use ijepa_data::{Distortion, RgbImage8};
///
/// let mut image = RgbImage8::new(1, 1, vec![10, 100, 255])?;
/// Distortion::Solarize { threshold: 100 }.apply(&mut image);
/// assert_eq!(image.pixels(), [10, 155, 0]);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distortion {
    /// Stretches each channel to the full range.
    AutoContrast,
    /// Makes all levels of each channel equally frequent.
    Equalize,
    /// Turns every level `v` into `255 - v`.
    Invert,
    /// Turns the image counter-clockwise about its centre.
    Rotate {
        /// Degrees.
        degrees: f64,
    },
    /// Keeps the highest bits of every level.
    Posterize {
        /// Bits kept, 0 (black) to 8 (unchanged).
        bits: u32,
    },
    /// Inverts the levels from a threshold on.
    Solarize {
        /// First level inverted; 256 inverts none.
        threshold: u32,
    },
    /// Brightens the levels below 128.
    SolarizeAdd {
        /// Added to them.
        amount: u8,
    },
    /// Saturation.
    Color {
        /// 0 is grey, 1 unchanged.
        factor: f64,
    },
    /// Distance from the image's mean grey.
    Contrast {
        /// 0 is grey everywhere, 1 unchanged.
        factor: f64,
    },
    /// Distance from black.
    Brightness {
        /// 0 is black, 1 unchanged.
        factor: f64,
    },
    /// Distance from the image smoothed over 3 x 3 pixels.
    Sharpness {
        /// 0 is smooth, 1 unchanged.
        factor: f64,
    },
    /// Moves rows sideways in proportion to their distance from the top.
    ShearX {
        /// Columns a row.
        factor: f64,
    },
    /// Moves columns up or down in proportion to their distance from the left.
    ShearY {
        /// Rows a column.
        factor: f64,
    },
    /// Moves the image to the left.
    TranslateX {
        /// Share of the width.
        share: f64,
    },
    /// Moves the image up.
    TranslateY {
        /// Share of the height.
        share: f64,
    },
}

impl Distortion {
    /// Changes `image` in place.
    pub fn apply(self, image: &mut RgbImage8) {
        let moved = |image: &RgbImage8, matrix| affine(image, matrix, Filter::Bicubic, FILL);
        match self {
            Self::AutoContrast => map_by_histogram(image, stretched),
            Self::Equalize => map_by_histogram(image, equalized),
            Self::Invert => map(image, |v| 255 - v),
            Self::Posterize { bits } => map(image, |v| v & !(255u32 >> bits.min(8)) as u8),
            Self::Solarize { threshold } => map(image, |v| match u32::from(v) < threshold {
                true => v,
                false => 255 - v,
            }),
            Self::SolarizeAdd { amount } => map(image, |v| match v < 128 {
                true => v.saturating_add(amount),
                false => v,
            }),
            Self::Color { factor } => blend(image, factor, grey),
            Self::Contrast { factor } => {
                let mean = mean_grey(image);
                blend(image, factor, |_| mean);
            }
            Self::Brightness { factor } => blend(image, factor, |_| 0),
            Self::Sharpness { factor } => sharpen(image, factor),
            Self::Rotate { degrees } => *image = rotate(image, degrees, Filter::Bicubic, FILL),
            Self::ShearX { factor } => *image = moved(image, [1.0, factor, 0.0, 0.0, 1.0, 0.0]),
            Self::ShearY { factor } => *image = moved(image, [1.0, 0.0, 0.0, factor, 1.0, 0.0]),
            Self::TranslateX { share } => {
                let columns = share * image.width() as f64;
                *image = moved(image, [1.0, 0.0, columns, 0.0, 1.0, 0.0]);
            }
            Self::TranslateY { share } => {
                let rows = share * image.height() as f64;
                *image = moved(image, [1.0, 0.0, 0.0, 0.0, 1.0, rows]);
            }
        }
    }
}

fn map(image: &mut RgbImage8, change: impl Fn(u8) -> u8) {
    for value in image.pixels_mut() {
        *value = change(*value);
    }
}

type Histogram = [usize; 256];

/// Gives each channel new levels, by how often it has each level.
fn map_by_histogram(image: &mut RgbImage8, levels: fn(&Histogram) -> Option<[u8; 256]>) {
    for channel in 0..3 {
        let mut histogram = [0; 256];
        for &value in image.pixels().iter().skip(channel).step_by(3) {
            histogram[usize::from(value)] += 1;
        }
        if let Some(levels) = levels(&histogram) {
            for value in image.pixels_mut().iter_mut().skip(channel).step_by(3) {
                *value = levels[usize::from(*value)];
            }
        }
    }
}

/// The levels that put the lowest at 0 and the highest at 255; `None` for a single one.
fn stretched(histogram: &Histogram) -> Option<[u8; 256]> {
    let low = histogram.iter().position(|&count| count > 0)?;
    let high = histogram.iter().rposition(|&count| count > 0)?;
    let scale = 255.0 / (high - low) as f64;
    let offset = -(low as f64) * scale;
    (high > low).then(|| from_fn(|level| (level as f64 * scale + offset) as u8))
}

/// The levels after which every one is about equally frequent; `None` where that changes nothing.
fn equalized(histogram: &Histogram) -> Option<[u8; 256]> {
    let last = histogram.iter().rfind(|&&count| count > 0)?;
    let step = (histogram.iter().sum::<usize>() - last) / 255;
    let mut below = step / 2;
    (step > 0).then(|| {
        histogram.map(|count| {
            let level = (below / step).min(255) as u8;
            below += count;
            level
        })
    })
}

/// Moves away from the image under the kernel `1 1 1, 1 5 1, 1 1 1`, whose edge is unchanged.
fn sharpen(image: &mut RgbImage8, factor: f64) {
    let (source, width, height) = (image.clone(), image.width(), image.height());
    let (source, stride) = (source.pixels(), width * 3);
    let output = image.pixels_mut();
    for y in 1..height.saturating_sub(1) {
        for at in y * stride + 3..(y * stride + stride).saturating_sub(3) {
            let around = |row: usize| [row - 3, row, row + 3].map(|at| u32::from(source[at]));
            let rows = [at - stride, at, at + stride].map(|row| around(row).iter().sum::<u32>());
            let sum = rows.iter().sum::<u32>() + 4 * u32::from(source[at]);
            let smooth = (2 * sum + 13) / 26;
            output[at] = between(smooth as f32, f32::from(source[at]), factor as f32);
        }
    }
}
