//! From the bytes of a request to the pixels of the model.

use ijepa_data::{DataError, Decoding, Preprocess, decode_as, size};

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
        let no_image = || Refusal::NoImage(name.to_owned());
        let [width, height] = size(bytes).ok_or_else(no_image)?;
        if width.saturating_mul(height) > self.max_pixels {
            return Err(Refusal::Pixels {
                name: name.to_owned(),
                width,
                height,
                most: self.max_pixels,
            });
        }
        let damaged = |error: DataError| Refusal::Damaged(error.to_string());
        let image = decode_as(bytes, name, self.decoding).map_err(damaged)?;
        let (width, height) = (image.width(), image.height());
        let view = self.preprocess.view(width, height, self.image_size);
        let shown = view.and_then(|view| view.of_any(&image));
        Ok(shown.map_err(damaged)?.bytes().into_owned())
    }
}
