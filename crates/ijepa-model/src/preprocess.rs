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

    /// Normalised images from interleaved pixels, which travel (as four times as many bytes where
    /// the device has no such integers); the arithmetic is done on the device.
    ///
    /// # Shapes
    ///
    /// - `pixels`: `[batch, height, width, channels]`, one byte a sample, where 255 is white
    /// - output: `[batch, channels, height, width]`, f32
    ///
    /// # Panics
    ///
    /// Panics if the number of bytes does not fit, or there is not a deviation for each mean.
    pub fn images(&self, pixels: &[u8], shape: [usize; 3], device: &Device) -> Tensor<4> {
        self.check_length(pixels.len(), shape, "bytes");
        self.normal(bytes(pixels, self.interleaved(shape), device), 255.0)
    }

    /// Normalised images from interleaved samples, whose unit is that of the statistics.
    ///
    /// # Shapes
    ///
    /// - `samples`: `[batch, height, width, channels]`
    /// - output: `[batch, channels, height, width]`, f32
    ///
    /// # Panics
    ///
    /// Panics if the number of samples does not fit, or there is not a deviation for each mean.
    pub fn float_images(&self, samples: Vec<f32>, shape: [usize; 3], device: &Device) -> Tensor<4> {
        self.check_length(samples.len(), shape, "samples");
        let data = TensorData::new(samples, self.interleaved(shape));
        self.normal(Tensor::from_data(data, device), 1.0)
    }

    /// Normalised images from the bytes of a loader's batch: one a sample, or where images are not
    /// of bytes the four of an f32 in the order of this machine.
    ///
    /// # Shapes
    ///
    /// As [`images`](Self::images) or [`float_images`](Self::float_images).
    ///
    /// # Panics
    ///
    /// As [`images`](Self::images), unless there are four times as many bytes.
    pub fn loaded_images(&self, loaded: &[u8], shape: [usize; 3], device: &Device) -> Tensor<4> {
        let samples: usize = self.interleaved(shape).iter().product();
        if loaded.len() != size_of::<f32>() * samples {
            return self.images(loaded, shape, device);
        }
        let samples = loaded.as_chunks::<4>().0.iter();
        let samples = samples.map(|sample| f32::from_ne_bytes(*sample)).collect();
        self.float_images(samples, shape, device)
    }

    fn interleaved(&self, [batch, height, width]: [usize; 3]) -> [usize; 4] {
        [batch, height, width, self.channels()]
    }

    fn check_length(&self, found: usize, shape: [usize; 3], unit: &str) {
        let channels = self.channels();
        assert!(self.fits(channels), "as many deviations as means");
        let [batch, height, width] = shape;
        assert_eq!(
            found,
            batch * height * width * channels,
            "{found} {unit} are no {batch} images of {height}x{width} with {channels} channels",
        );
    }

    /// `[batch, height, width, channels]` to normal `[batch, channels, height, width]`.
    fn normal(&self, values: Tensor<4>, white: f32) -> Tensor<4> {
        let device = &values.device();
        let channels = self.channels();
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
