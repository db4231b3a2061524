//! Features of unit length, made on the fly so that they need no second copy.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use crate::features::Features;
use crate::lanes::dot;

/// Smallest norm divided by, as in PyTorch's `normalize`.
const LEAST_NORM: f64 = 1e-12;

/// Rows of `(feature - mean) / norm`.
pub(super) struct UnitRows<'a> {
    features: &'a Features,
    mean: Option<&'a [f64]>,
    scales: Vec<f64>,
}

impl<'a> UnitRows<'a> {
    pub(super) fn new(features: &'a Features, mean: Option<&'a [f64]>) -> Self {
        let mut rows = Self {
            features,
            mean,
            scales: vec![1.0; features.images()],
        };
        for image in 0..features.images() {
            let row = rows.row(image);
            rows.scales[image] = 1.0 / dot(&row, &row).sqrt().max(LEAST_NORM);
        }
        rows
    }

    pub(super) fn images(&self) -> usize {
        self.scales.len()
    }

    /// One row, `[dim]`.
    pub(super) fn row(&self, image: usize) -> Vec<f64> {
        let scale = self.scales[image];
        let values = self
            .features
            .row(image)
            .iter()
            .map(|&value| f64::from(value));
        match self.mean {
            None => values.map(|value| value * scale).collect(),
            Some(mean) => values
                .zip(mean)
                .map(|(value, mean)| (value - mean) * scale)
                .collect(),
        }
    }

    /// Some of the rows on a device, `[images, dim]`.
    pub(super) fn tensor(&self, images: Range<usize>, device: &Device) -> Tensor<2> {
        let shape = [images.len(), self.features.dim()];
        let rows = images.flat_map(|image| self.row(image));
        let values: Vec<f32> = rows.map(|value| value as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}
