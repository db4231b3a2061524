//! Parts of images.

use crate::error::{DataError, ImageError};
use crate::image::RgbImage8;

/// A part of an image in pixels, edges anywhere between pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropBox {
    /// Left edge.
    pub left: f64,
    /// Top edge.
    pub top: f64,
    /// Width, more than 0.
    pub width: f64,
    /// Height, more than 0.
    pub height: f64,
}

/// A part of an image in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CropRect {
    /// First row.
    pub top: usize,
    /// First column.
    pub left: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// Columns, at least 1.
    pub width: usize,
}

impl CropRect {
    /// All of what it cuts out, on the scale of that.
    pub(crate) fn as_box(&self) -> CropBox {
        CropBox {
            left: 0.0,
            top: 0.0,
            width: self.width as f64,
            height: self.height as f64,
        }
    }

    /// Checks that it is not empty and inside an image of `width` columns and `height` rows.
    pub(crate) fn check(&self, width: usize, height: usize) -> Result<(), DataError> {
        let fits = |start: usize, length: usize, side: usize| {
            length > 0 && start.checked_add(length).is_some_and(|end| end <= side)
        };
        if fits(self.left, self.width, width) && fits(self.top, self.height, height) {
            return Ok(());
        }
        Err(DataError::Image(ImageError::CropBox {
            left: self.left as f64,
            top: self.top as f64,
            crop_width: self.width as f64,
            crop_height: self.height as f64,
            width,
            height,
        }))
    }
}

/// Cuts `rect` out of `image`.
///
/// # Errors
///
/// [`ImageError::CropBox`] if the rectangle is empty or leaves the image.
pub fn crop(image: &RgbImage8, rect: CropRect) -> Result<RgbImage8, DataError> {
    rect.check(image.width(), image.height())?;
    let mut pixels = Vec::with_capacity(rect.width * rect.height * 3);
    for row in image
        .pixels()
        .chunks_exact(image.width() * 3)
        .skip(rect.top)
        .take(rect.height)
    {
        pixels.extend_from_slice(&row[rect.left * 3..(rect.left + rect.width) * 3]);
    }
    RgbImage8::new(rect.width, rect.height, pixels)
}
