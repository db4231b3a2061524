//! An image of either type.

use std::borrow::Cow;

use super::{FloatImage, RgbImage8};
use crate::error::{DataError, ImageError};
use crate::preprocess::to_chw_f32;

/// What a file, an array or code gives: bytes of red, green and blue, or channels in full depth, as
/// [`Decoding`](crate::Decoding) asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Image {
    /// Three channels of 8 bits.
    Rgb8(RgbImage8),
    /// Any number of channels of f32: samples of 8 and 16 bits from 0 to 1, others as they are.
    Float(FloatImage),
}

impl From<RgbImage8> for Image {
    fn from(image: RgbImage8) -> Self {
        Self::Rgb8(image)
    }
}

impl From<FloatImage> for Image {
    fn from(image: FloatImage) -> Self {
        Self::Float(image)
    }
}

impl Image {
    /// The image of `[height, width]` whose [`bytes`](Self::bytes) these are.
    ///
    /// # Errors
    ///
    /// [`ImageError::PixelCount`] or [`ImageError::SampleCount`] if no image has so many bytes.
    pub fn from_bytes([height, width]: [usize; 2], bytes: &[u8]) -> Result<Self, DataError> {
        let pixels = width.saturating_mul(height).max(1);
        if bytes.len() / pixels == 3 {
            return Ok(RgbImage8::new(width, height, bytes.to_vec())?.into());
        }
        let samples = bytes.as_chunks::<4>().0.iter();
        let samples: Vec<f32> = samples.map(|sample| f32::from_ne_bytes(*sample)).collect();
        Ok(FloatImage::new([height, width], samples.len() / pixels, samples)?.into())
    }

    /// Columns.
    pub fn width(&self) -> usize {
        match self {
            Self::Rgb8(image) => image.width(),
            Self::Float(image) => image.width(),
        }
    }

    /// Rows.
    pub fn height(&self) -> usize {
        match self {
            Self::Rgb8(image) => image.height(),
            Self::Float(image) => image.height(),
        }
    }

    /// Samples of a pixel.
    pub fn channels(&self) -> usize {
        match self {
            Self::Rgb8(_) => 3,
            Self::Float(image) => image.channels(),
        }
    }

    /// The bytes that travel to a device, `[height, width, channels]`: one a sample of 8 bits, or
    /// the four of an f32 in the order of this machine.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Rgb8(image) => image.pixels().into(),
            Self::Float(image) => {
                let samples = image.samples().iter();
                samples.flat_map(|sample| sample.to_ne_bytes()).collect()
            }
        }
    }

    /// How many [`bytes`](Self::bytes) it has.
    pub(crate) fn byte_len(&self) -> usize {
        match self {
            Self::Rgb8(image) => image.pixels().len(),
            Self::Float(image) => size_of_val(image.samples()),
        }
    }

    /// The image if it is one of bytes of red, green and blue.
    ///
    /// # Errors
    ///
    /// [`ImageError::NoColors`] if it has other channels or another depth.
    pub fn as_rgb8(&self) -> Result<&RgbImage8, DataError> {
        match self {
            Self::Rgb8(image) => Ok(image),
            Self::Float(image) => Err(no_colors(image)),
        }
    }

    /// Its bytes to recolour in place.
    ///
    /// # Errors
    ///
    /// As [`as_rgb8`](Self::as_rgb8).
    pub fn as_rgb8_mut(&mut self) -> Result<&mut RgbImage8, DataError> {
        match self {
            Self::Rgb8(image) => Ok(image),
            Self::Float(image) => Err(no_colors(image)),
        }
    }

    /// Gives up the image if it is one of bytes of red, green and blue.
    ///
    /// # Errors
    ///
    /// As [`as_rgb8`](Self::as_rgb8).
    pub fn into_rgb8(self) -> Result<RgbImage8, DataError> {
        match self {
            Self::Rgb8(image) => Ok(image),
            Self::Float(image) => Err(no_colors(&image)),
        }
    }

    /// Mirrors the image left to right, in place.
    pub fn flip_horizontal(&mut self) {
        match self {
            Self::Rgb8(image) => image.flip_horizontal(),
            Self::Float(image) => image.flip_horizontal(),
        }
    }

    /// Turns samples into model input, `(value - mean) / std`, where white of 8 bits is 1.
    ///
    /// # Shapes
    ///
    /// - `mean`, `std`: one number a channel
    /// - output: `[channels, height, width]`, channel after channel
    ///
    /// # Panics
    ///
    /// Panics if there are not as many numbers as channels.
    pub fn to_chw_f32(&self, mean: &[f32], std: &[f32]) -> Vec<f32> {
        let counts = [mean.len(), std.len()];
        assert_eq!(
            counts,
            [self.channels(); 2],
            "numbers of means and deviations"
        );
        match self {
            Self::Rgb8(image) => {
                let three = |values: &[f32]| [values[0], values[1], values[2]];
                to_chw_f32(image, three(mean), three(std))
            }
            Self::Float(image) => {
                let channel = |channel| {
                    let normal = move |sample| (sample - mean[channel]) / std[channel];
                    image.channel(channel).map(normal)
                };
                (0..image.channels()).flat_map(channel).collect()
            }
        }
    }

    /// A picture for eyes: bytes of colours as they are; of other images, three channels as red,
    /// green and blue, each stretched from its 1st to its 99th percentile.
    ///
    /// # Panics
    ///
    /// Panics if such a channel is not there.
    pub fn to_picture(&self, channels: [usize; 3]) -> RgbImage8 {
        match self {
            Self::Rgb8(image) => image.clone(),
            Self::Float(image) => {
                let levels = channels.map(|channel| stretched(image.channel(channel).collect()));
                let pixels = image.width() * image.height();
                let pixel = |at: usize| levels.each_ref().map(|levels| levels[at]);
                let pixels = (0..pixels).flat_map(pixel).collect();
                RgbImage8::new(image.width(), image.height(), pixels)
                    .expect("there are three bytes a pixel")
            }
        }
    }
}

fn no_colors(image: &FloatImage) -> DataError {
    DataError::Image(ImageError::NoColors {
        channels: image.channels(),
    })
}

/// Grey levels over the range of most samples.
fn stretched(samples: Vec<f32>) -> Vec<u8> {
    const CLIPPED: f64 = 0.01;
    let mut sorted = samples.clone();
    sorted.sort_unstable_by(f32::total_cmp);
    let last = sorted.len() - 1;
    let cut = (last as f64 * CLIPPED) as usize;
    let (low, high) = (sorted[cut], sorted[last - cut]);
    let span = if high > low { high - low } else { 1.0 };
    let level = |sample: f32| ((sample - low) / span * 255.0).round() as u8;
    samples.into_iter().map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_make_the_image_again() {
        let colors = Image::from(RgbImage8::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap());
        let samples = vec![0.5, -1.0, 3.0e7, 1e-9];
        let four = Image::from(FloatImage::new([1, 1], 4, samples.clone()).unwrap());
        let grey = Image::from(FloatImage::new([2, 2], 1, samples).unwrap());
        for (image, size) in [(colors, [1, 2]), (four, [1, 1]), (grey, [2, 2])] {
            assert_eq!(Image::from_bytes(size, &image.bytes()).unwrap(), image);
        }
        assert!(Image::from_bytes([2, 2], &[0; 15]).is_err());
    }

    #[test]
    fn model_input_is_normalised_channel_by_channel() {
        let image = FloatImage::new([1, 2], 2, vec![1.0, 10.0, 3.0, 30.0]).unwrap();
        let input = Image::from(image).to_chw_f32(&[1.0, 20.0], &[2.0, 10.0]);
        assert_eq!(input, [0.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn a_picture_shows_the_channels_asked_for_over_their_range() {
        let samples = vec![0.0, 7.0, 500.0, 1.0, 7.0, 400.0, 0.5, 7.0, 450.0];
        let image = Image::from(FloatImage::new([1, 3], 3, samples).unwrap());
        let picture = image.to_picture([0, 1, 2]);
        assert_eq!(picture.pixels(), [0, 0, 255, 255, 0, 0, 128, 0, 128]);
        assert_eq!(image.to_picture([2; 3]).pixel(0, 0), [255; 3]);
    }
}
