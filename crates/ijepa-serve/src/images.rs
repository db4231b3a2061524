//! From the bytes of a request to the pixels of the model.

use ijepa_data::{DataError, Decoding, Preprocess, decode_view, extension, size};
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
        let choose = |width, height| self.preprocess.view(width, height, self.image_size);
        let shown = || decode_view(bytes, name, self.decoding, choose);
        let damaged = |error: DataError| Refusal::Damaged(on_one_line(&error));
        let Some([width, height]) = size(bytes) else {
            // Of a kind that is read, decoding says what is wrong with it.
            extension(bytes).map_or(Ok(()), |_| shown().map(drop).map_err(damaged))?;
            return Err(Refusal::NoImage(name.to_owned()));
        };
        if width.saturating_mul(height) > self.max_pixels {
            return Err(Refusal::Pixels {
                name: name.to_owned(),
                width,
                height,
                most: self.max_pixels,
            });
        }
        Ok(shown().map_err(damaged)?.bytes().into_owned())
    }
}
