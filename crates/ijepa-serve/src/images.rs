//! From the bytes of a request to the pixels of the model.

use ijepa_data::{DataError, Decoding, ImageError, Preprocess, decode_view, extension, size};
use ijepa_files::on_one_line;

use crate::refusal::Refusal;

/// What an image has to become, and how large it may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) image_size: [usize; 2],
    pub(crate) decoding: Decoding,
    pub(crate) preprocess: Preprocess,
    pub(crate) max_pixels: u64,
}

impl Shape {
    /// The pixels of an image file; nothing is decoded before its header was asked for its size.
    pub(crate) fn pixels(&self, bytes: &[u8], name: &str) -> Result<Vec<u8>, Refusal> {
        // Of a kind that is read but says no size, decoding says what is wrong with it.
        let size = size(bytes);
        if size.is_none() && extension(bytes).is_none() {
            return Err(Refusal::NoImage(name.to_owned()));
        }
        let allowed = |[width, height]: [u64; 2]| match width.saturating_mul(height) {
            pixels if pixels > self.max_pixels => Err(ImageError::TooManyPixels {
                name: name.to_owned(),
                width: width as u32,
                height: height as u32,
                most: self.max_pixels,
            }),
            _ => Ok(()),
        };
        // What decodes without a size knows one before its pixels.
        let choose = |width, height| {
            allowed([width, height].map(|side: usize| side as u64))?;
            self.preprocess.view(width, height, self.image_size)
        };
        let shown = size.map_or(Ok(()), allowed).map_err(DataError::from);
        let shown = shown.and_then(|()| decode_view(bytes, name, self.decoding, choose));
        Ok(shown.map_err(refused)?.bytes().into_owned())
    }
}

/// An image that is too large, or damaged.
fn refused(error: DataError) -> Refusal {
    match error {
        DataError::Image(ImageError::TooManyPixels {
            name,
            width,
            height,
            most,
        }) => Refusal::Pixels {
            name,
            width,
            height,
            most,
        },
        error => Refusal::Damaged(on_one_line(&error)),
    }
}
