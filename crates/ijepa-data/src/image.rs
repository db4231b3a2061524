//! Images: 8-bit RGB, as most files have them, and any number of channels in full depth.

mod any;
mod float;

pub use any::Image;
pub use float::FloatImage;

use crate::error::{DataError, ImageError};

/// Most channels of an image.
pub const MAX_CHANNELS: usize = 16;

/// An 8-bit RGB image, rows of pixels from the top, three bytes (red, green, blue) a pixel.
///
/// # Examples
///
/// ```
/// use ijepa_data::RgbImage8;
///
/// let image = RgbImage8::new(2, 1, vec![255, 0, 0, 0, 0, 255])?;
/// assert_eq!(image.pixel(1, 0), [0, 0, 255]);
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage8 {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl RgbImage8 {
    /// Wraps `pixels`, which are `[height, width, 3]`.
    ///
    /// # Errors
    ///
    /// [`ImageError::PixelCount`] if a side is zero or the buffer has another length.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, DataError> {
        let expected = width.saturating_mul(height).saturating_mul(3);
        if expected == 0 || expected != pixels.len() {
            let found = pixels.len();
            return Err(DataError::Image(ImageError::PixelCount {
                width,
                height,
                expected,
                found,
            }));
        }
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The bytes to change in place, `[height, width, 3]`.
    pub fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// Gives up the bytes, `[height, width, 3]`.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }

    /// The red, green and blue of one pixel.
    ///
    /// # Panics
    ///
    /// Panics if `x` or `y` is outside the image.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(
            x < self.width && y < self.height,
            "pixel ({x}, {y}) is outside the image"
        );
        let at = (y * self.width + x) * 3;
        [self.pixels[at], self.pixels[at + 1], self.pixels[at + 2]]
    }

    /// Mirrors the image left to right, in place.
    pub fn flip_horizontal(&mut self) {
        for row in self.pixels.chunks_exact_mut(self.width * 3) {
            for x in 0..self.width / 2 {
                let mirrored = self.width - 1 - x;
                for channel in 0..3 {
                    row.swap(x * 3 + channel, mirrored * 3 + channel);
                }
            }
        }
    }
}

// The derived form would print every byte of the image.
impl std::fmt::Debug for RgbImage8 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RgbImage8({}x{})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_of_another_length_is_refused() {
        for (width, height, bytes) in [(2, 2, 11), (0, 3, 0), (usize::MAX, 2, 6)] {
            let error = RgbImage8::new(width, height, vec![0; bytes]).unwrap_err();
            assert!(
                matches!(error, DataError::Image(ImageError::PixelCount { found, .. }) if found == bytes)
            );
        }
    }

    #[test]
    fn flipping_mirrors_columns_and_keeps_channels() {
        let mut image = RgbImage8::new(3, 1, vec![1, 2, 3, 4, 5, 6, 7, 8, 9]).unwrap();
        image.flip_horizontal();
        assert_eq!(image.pixels(), [7, 8, 9, 4, 5, 6, 1, 2, 3]);
    }
}
