//! From bytes to the tensors that encoders take.

use burn::tensor::{DType, Device, Int, Tensor, TensorCreationOptions, TensorData};
use serde::{Deserialize, Serialize};

/// Mean and standard deviation of each colour channel, for pixels in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Subtracted from red, green and blue.
    pub mean: [f32; 3],
    /// Divides red, green and blue.
    pub std: [f32; 3],
}

impl Normalization {
    /// ImageNet statistics, used in pretraining.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
    /// Pixels in `[0, 1]` as they are.
    pub const NONE: Self = Self {
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    /// 0.5 everywhere, the default of Hugging Face's ViT processor.
    pub const HALF: Self = Self {
        mean: [0.5; 3],
        std: [0.5; 3],
    };

    /// Normalised images from interleaved bytes; the bytes travel (four times as many where the
    /// device has no such integers), the arithmetic is done on the device.
    ///
    /// # Shapes
    ///
    /// - `pixels`: `batch * height * width * 3` bytes, red, green, blue
    /// - output: `[batch, 3, height, width]`, f32
    ///
    /// # Panics
    ///
    /// Panics if the number of bytes does not fit.
    pub fn images(
        &self,
        pixels: &[u8],
        [batch, height, width]: [usize; 3],
        device: &Device,
    ) -> Tensor<4> {
        assert_eq!(
            pixels.len(),
            batch * height * width * 3,
            "{} bytes are no {batch} RGB images of {height}x{width}",
            pixels.len()
        );
        let data = TensorData::new(pixels.to_vec(), [batch, height, width, 3]);
        let own = TensorCreationOptions::from(device);
        let options = match device.supports_dtype(DType::U8) {
            true => own.with_dtype(DType::U8),
            false => own,
        };
        let bytes = Tensor::<4, Int>::from_data(data, options);
        let channels = |values: [f32; 3]| -> Tensor<4> {
            Tensor::<1>::from_floats(values, device).reshape([1, 1, 1, 3])
        };
        let scale = self.std.map(|std| 1.0 / (255.0 * std));
        let offset = [0, 1, 2].map(|channel| self.mean[channel] / self.std[channel]);
        (bytes.float() * channels(scale) - channels(offset)).permute([0, 3, 1, 2])
    }
}
