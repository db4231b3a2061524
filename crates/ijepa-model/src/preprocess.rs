//! From bytes to the tensors that encoders take.

use burn::tensor::{DType, Device, Int, Tensor, TensorCreationOptions, TensorData};
use serde::{Deserialize, Serialize};

use crate::PerChannel;

/// Mean and standard deviation of each channel, for pixels where white is 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Subtracted from each channel; of colours, from red, green and blue.
    pub mean: PerChannel,
    /// Divides each channel; as many numbers.
    pub std: PerChannel,
}

impl Normalization {
    /// ImageNet statistics, used in pretraining.
    pub const IMAGENET: Self = Self {
        mean: PerChannel::rgb([0.485, 0.456, 0.406]),
        std: PerChannel::rgb([0.229, 0.224, 0.225]),
    };
    /// Pixels in `[0, 1]` as they are.
    pub const NONE: Self = Self {
        mean: PerChannel::rgb([0.0; 3]),
        std: PerChannel::rgb([1.0; 3]),
    };
    /// 0.5 everywhere, the default of Hugging Face's ViT processor.
    pub const HALF: Self = Self {
        mean: PerChannel::rgb([0.5; 3]),
        std: PerChannel::rgb([0.5; 3]),
    };

    /// Pixels of `channels` channels as they are; none if there are more than
    /// [`PerChannel::MOST`].
    pub fn none(channels: usize) -> Option<Self> {
        Some(Self {
            mean: PerChannel::same(0.0, channels)?,
            std: PerChannel::same(1.0, channels)?,
        })
    }

    /// Whether it has a mean and a deviation for each of so many channels.
    pub fn fits(&self, channels: usize) -> bool {
        [self.mean.len(), self.std.len()] == [channels; 2]
    }

    /// Channels of the images that it is for.
    pub fn channels(&self) -> usize {
        self.mean.len()
    }

    /// Normalised images from interleaved samples; these travel (bytes as four times as many where
    /// the device has no such integers), the arithmetic is done on the device.
    ///
    /// # Shapes
    ///
    /// - `pixels`: `[batch, height, width, channels]`: one byte a sample, where 255 is white, or the
    ///   four of an f32 in the order of this machine, which is taken as it is
    /// - output: `[batch, channels, height, width]`, f32
    ///
    /// # Panics
    ///
    /// Panics if the number of bytes does not fit, or there is not a deviation for each mean.
    pub fn images(
        &self,
        pixels: &[u8],
        [batch, height, width]: [usize; 3],
        device: &Device,
    ) -> Tensor<4> {
        let channels = self.channels();
        assert!(self.fits(channels), "as many deviations as means");
        let samples = batch * height * width * channels;
        let is_float = pixels.len() == size_of::<f32>() * samples;
        assert!(
            is_float || pixels.len() == samples,
            "{} bytes are no {batch} images of {height}x{width} with {channels} channels",
            pixels.len()
        );
        let shape = [batch, height, width, channels];
        let (values, white) = match is_float {
            true => (floats(pixels, shape, device), 1.0),
            false => (bytes(pixels, shape, device), 255.0),
        };
        let row = |numbers: Vec<f32>| -> Tensor<4> {
            Tensor::<1>::from_floats(numbers.as_slice(), device).reshape([1, 1, 1, channels])
        };
        let scale = self.std.iter().map(|std| 1.0 / (white * std));
        let offset = self.mean.iter().zip(&*self.std);
        let offset = offset.map(|(mean, std)| mean / std);
        let normal = values * row(scale.collect()) - row(offset.collect());
        normal.permute([0, 3, 1, 2])
    }
}

fn bytes(pixels: &[u8], shape: [usize; 4], device: &Device) -> Tensor<4> {
    let data = TensorData::new(pixels.to_vec(), shape);
    let own = TensorCreationOptions::from(device);
    let options = match device.supports_dtype(DType::U8) {
        true => own.with_dtype(DType::U8),
        false => own,
    };
    Tensor::<4, Int>::from_data(data, options).float()
}

fn floats(pixels: &[u8], shape: [usize; 4], device: &Device) -> Tensor<4> {
    let samples = pixels.as_chunks::<4>().0.iter();
    let samples: Vec<f32> = samples.map(|sample| f32::from_ne_bytes(*sample)).collect();
    Tensor::from_data(TensorData::new(samples, shape), device)
}
