//! Features of unit length, made on the fly so that they need no second copy.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

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
        let scale = |image: usize| {
            let row = rows.row(image);
            1.0 / dot(&row, &row).sqrt().max(LEAST_NORM)
        };
        let scales = (0..features.images()).into_par_iter().map(scale);
        rows.scales = scales.collect();
        rows
    }

    pub(super) fn images(&self) -> usize {
        self.scales.len()
    }

    /// One row, `[dim]`.
    pub(super) fn row(&self, image: usize) -> Vec<f64> {
        let mut row = vec![0.0; self.features.dim()];
        self.write(image, &mut row);
        row
    }

    /// Writes one row, `[dim]`.
    pub(super) fn write(&self, image: usize, row: &mut [f64]) {
        let scale = self.scales[image];
        let values = self.features.row(image).iter().map(|&v| f64::from(v));
        match self.mean {
            None => row
                .iter_mut()
                .zip(values)
                .for_each(|(to, value)| *to = value * scale),
            Some(mean) => row
                .iter_mut()
                .zip(values.zip(mean))
                .for_each(|(to, (value, mean))| *to = (value - mean) * scale),
        }
    }

    /// Some of the rows on a device, `[images, dim]`.
    pub(super) fn tensor(&self, images: Range<usize>, device: &Device) -> Tensor<2> {
        let (first, dim) = (images.start, self.features.dim());
        let mut values = vec![0.0f32; images.len() * dim];
        let rows = values.par_chunks_exact_mut(dim).enumerate();
        rows.for_each_init(
            || vec![0.0; dim],
            |exact, (row, rounded)| {
                self.write(first + row, exact);
                for (to, value) in rounded.iter_mut().zip(exact) {
                    *to = *value as f32;
                }
            },
        );
        Tensor::from_data(TensorData::new(values, [images.len(), dim]), device)
    }
}
