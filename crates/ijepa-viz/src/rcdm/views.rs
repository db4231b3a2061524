//! The same image for the decoder and for the encoder, each at its own size.

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_data::{
    DataError, Filter, Image, Preprocess, Reading, RgbImage8, SampleRng, Source, Transform, View,
    evenly_spread, resize, unit,
};
use ijepa_eval::{Picked, pick_images};

use super::{RcdmError, config::COLORS};

/// The centre of an image, for half of the images mirrored.
#[derive(Debug)]
pub(crate) struct CenterView {
    pub(crate) size: [usize; 2],
    pub(crate) flip: bool,
}

impl Transform for CenterView {
    fn size(&self) -> [usize; 2] {
        self.size
    }

    fn view(&self, width: usize, height: usize, _: &mut SampleRng) -> Result<View, DataError> {
        Preprocess::Fill.view(width, height, self.size)
    }

    fn change(&self, mut shown: Image, rng: &mut SampleRng) -> Result<Image, DataError> {
        if self.flip && unit(rng) < 0.5 {
            shown.flip_horizontal();
        }
        Ok(shown)
    }
}

/// Sizes at which an image is seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ViewSizes {
    /// Side of the decoder's images.
    pub(crate) decoder: usize,
    /// `[height, width]` of the encoder's, if there is one.
    pub(crate) encoder: Option<[usize; 2]>,
}

/// Pixels of a batch at both sizes, `[batch, height, width, 3]`.
#[derive(Debug, Default)]
pub(crate) struct Views {
    pub(crate) decoder: Vec<u8>,
    pub(crate) encoder: Vec<u8>,
}

impl ViewSizes {
    /// `[height, width]` of the view that both are made of: no smaller than either.
    pub(crate) fn common(&self) -> [usize; 2] {
        let encoder = self.encoder.unwrap_or([self.decoder; 2]);
        encoder.map(|side| side.max(self.decoder))
    }

    /// Makes both of common views, `[batch, height, width, 3]`.
    pub(crate) fn split(&self, common: &[u8]) -> Result<Views, DataError> {
        let [height, width] = self.common();
        let mut views = Views::default();
        for pixels in common.chunks_exact(height * width * COLORS) {
            let image = RgbImage8::new(width, height, pixels.to_vec())?;
            let decoder = sized(&image, [self.decoder; 2])?;
            views.decoder.extend_from_slice(decoder.pixels());
            if let Some(size) = self.encoder {
                views
                    .encoder
                    .extend_from_slice(sized(&image, size)?.pixels());
            }
        }
        Ok(views)
    }

    /// Images of `side` pixels, `[batch, side, side, 3]`, at the encoder's size.
    pub(crate) fn resized(
        pixels: &[u8],
        side: usize,
        size: [usize; 2],
    ) -> Result<Vec<u8>, DataError> {
        let mut output = Vec::new();
        for pixels in pixels.chunks_exact(side * side * COLORS) {
            let image = RgbImage8::new(side, side, pixels.to_vec())?;
            output.extend_from_slice(sized(&image, size)?.pixels());
        }
        Ok(output)
    }

    /// Both views of the readable ones of `count` images, spread over `source`.
    pub(crate) fn read(
        &self,
        source: &dyn Source,
        count: usize,
        reading: Reading,
    ) -> Result<(Views, Picked), RcdmError> {
        let indices = evenly_spread(source.len(), count);
        let picked = pick_images(source, &indices, Preprocess::Fill, self.common(), reading)?;
        let pixels = picked.images.iter().map(|image| image.image.bytes());
        let common = pixels.collect::<Vec<_>>().concat();
        Ok((self.split(&common)?, picked))
    }
}

fn sized(image: &RgbImage8, [height, width]: [usize; 2]) -> Result<RgbImage8, DataError> {
    if [image.height(), image.width()] == [height, width] {
        return Ok(image.clone());
    }
    resize(image, width, height, Filter::Bicubic, None)
}

/// Bytes as values in `[-1, 1]`, `[batch, side, side, 3]`.
pub(crate) fn to_signed(pixels: &[u8], side: usize, device: &Device) -> Tensor<4> {
    let values: Vec<f32> = pixels
        .iter()
        .map(|&byte| f32::from(byte) / 127.5 - 1.0)
        .collect();
    let batch = pixels.len() / (side * side * COLORS);
    Tensor::from_data(TensorData::new(values, [batch, side, side, COLORS]), device)
}

/// Values in `[-1, 1]` as bytes.
pub(crate) fn to_bytes(images: Tensor<4>) -> Vec<u8> {
    let byte = |value: f32| ((value + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    images.into_data().iter::<f32>().map(byte).collect()
}
