//! Images of any number of channels in full depth.

use super::MAX_CHANNELS;
use crate::error::{DataError, ImageError};
use crate::rect::CropRect;

/// An image of 1 to 16 channels of f32 samples, rows of pixels from the top, channel after channel
/// within a pixel.
///
/// # Examples
///
/// ```
/// use ijepa_data::FloatImage;
///
/// let image = FloatImage::new([1, 2], 5, (0..10).map(|value| value as f32).collect())?;
/// assert_eq!(image.pixel(1, 0), [5.0, 6.0, 7.0, 8.0, 9.0]);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct FloatImage {
    width: usize,
    height: usize,
    channels: usize,
    samples: Vec<f32>,
}

impl FloatImage {
    /// Wraps `samples`, which are `[height, width, channels]`, of an image of `[height, width]`.
    ///
    /// # Errors
    ///
    /// [`ImageError::SampleCount`] if a side is zero, there are not 1 to 16 channels, or the buffer
    /// has another length.
    pub fn new(
        [height, width]: [usize; 2],
        channels: usize,
        samples: Vec<f32>,
    ) -> Result<Self, DataError> {
        let expected = width.saturating_mul(height).saturating_mul(channels);
        let fits = expected > 0 && expected == samples.len() && channels <= MAX_CHANNELS;
        match fits {
            true => Ok(Self {
                width,
                height,
                channels,
                samples,
            }),
            false => Err(DataError::Image(ImageError::SampleCount {
                shape: [height, width, channels],
                found: samples.len(),
            })),
        }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Samples of a pixel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The samples, `[height, width, channels]`.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// The samples of one pixel.
    ///
    /// # Panics
    ///
    /// Panics if `x` or `y` is outside the image.
    pub fn pixel(&self, x: usize, y: usize) -> &[f32] {
        assert!(
            x < self.width && y < self.height,
            "pixel ({x}, {y}) is outside the image"
        );
        &self.samples[(y * self.width + x) * self.channels..][..self.channels]
    }

    /// The samples of one channel, row after row.
    ///
    /// # Panics
    ///
    /// Panics if there is no such channel.
    pub fn channel(&self, channel: usize) -> impl Iterator<Item = f32> {
        assert!(channel < self.channels, "there is no channel {channel}");
        let samples = self.samples.iter().skip(channel);
        samples.step_by(self.channels).copied()
    }

    /// Cuts `rect` out.
    ///
    /// # Errors
    ///
    /// [`ImageError::CropBox`] if the rectangle is empty or leaves the image.
    pub fn crop(&self, rect: CropRect) -> Result<Self, DataError> {
        rect.check(self.width, self.height)?;
        let [left, right] = [rect.left, rect.left + rect.width].map(|x| x * self.channels);
        let rows = self.samples.chunks_exact(self.width * self.channels);
        let rows = rows.skip(rect.top).take(rect.height);
        let samples = rows.flat_map(|row| &row[left..right]).copied().collect();
        Self::new([rect.height, rect.width], self.channels, samples)
    }

    /// Mirrors the image left to right, in place.
    pub fn flip_horizontal(&mut self) {
        let channels = self.channels;
        for row in self.samples.chunks_exact_mut(self.width * channels) {
            row.reverse();
            // The channels of a pixel keep their order.
            row.chunks_exact_mut(channels).for_each(<[f32]>::reverse);
        }
    }
}

// The derived form would print every sample of the image.
impl std::fmt::Debug for FloatImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [width, height, channels] = [self.width, self.height, self.channels];
        write!(f, "FloatImage({width}x{height}, {channels} channels)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(height: usize, width: usize, channels: usize) -> FloatImage {
        let samples = (0..height * width * channels).map(|value| value as f32);
        FloatImage::new([height, width], channels, samples.collect()).unwrap()
    }

    #[test]
    fn buffers_of_another_length_and_too_many_channels_are_refused() {
        for (size, channels, length) in [
            ([2, 2], 2, 7),
            ([0, 3], 1, 0),
            ([1, 1], 0, 0),
            ([1, 1], 17, 17),
            ([usize::MAX, 2], 2, 4),
        ] {
            let error = FloatImage::new(size, channels, vec![0.0; length]).unwrap_err();
            assert!(
                matches!(error, DataError::Image(ImageError::SampleCount { found, .. }) if found == length)
            );
        }
    }

    #[test]
    fn mirrors_and_cuts_keep_the_channels_of_a_pixel_together() {
        let mut image = counted(1, 3, 2);
        image.flip_horizontal();
        assert_eq!(image.samples(), [4.0, 5.0, 2.0, 3.0, 0.0, 1.0]);
        let rect = CropRect {
            top: 1,
            left: 1,
            height: 1,
            width: 2,
        };
        let cut = counted(2, 3, 2).crop(rect).unwrap();
        assert_eq!(cut.samples(), [8.0, 9.0, 10.0, 11.0]);
        assert_eq!(cut.channel(1).collect::<Vec<_>>(), [9.0, 11.0]);
        let outside = CropRect { left: 2, ..rect };
        assert!(matches!(
            cut.crop(outside),
            Err(DataError::Image(ImageError::CropBox { .. }))
        ));
    }
}
