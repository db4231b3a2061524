//! Features of unit length, made on the fly so that they need no second copy.

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_patches::dot;
use rayon::prelude::*;

use crate::features::Features;
use crate::linalg::LEAST_NORM;

/// Similarity and index of a training image.
pub(super) type Neighbour = (f64, usize);

/// Sorts neighbours, the nearest first, of equally near ones that of the lower index, and drops
/// all but `count`.
pub(super) fn keep_nearest(neighbours: &mut Vec<Neighbour>, count: usize) {
    neighbours.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    neighbours.truncate(count);
}

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

    /// The similarity of an image to `row`; `buffer` is as long.
    pub(super) fn neighbour(&self, row: &[f64], image: usize, buffer: &mut [f64]) -> Neighbour {
        self.write(image, buffer);
        (dot(row, buffer), image)
    }

    /// The mean of all rows, `[dim]`.
    pub(super) fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.features.dim()];
        let mut row = mean.clone();
        for image in 0..self.images() {
            self.write(image, &mut row);
            mean.iter_mut()
                .zip(&row)
                .for_each(|(sum, value)| *sum += value);
        }
        let images = self.images() as f64;
        mean.iter_mut().for_each(|sum| *sum /= images);
        mean
    }

    /// Has `write` turn some of the rows into rows of `width` numbers, `[images, width]`.
    pub(super) fn tensor(
        &self,
        images: &[usize],
        width: usize,
        write: impl Fn(&[f64], &mut [f32]) + Sync,
        device: &Device,
    ) -> Tensor<2> {
        let mut values = vec![0.0f32; images.len() * width];
        let rows = values.par_chunks_exact_mut(width).zip(images);
        rows.for_each_init(
            || vec![0.0; self.features.dim()],
            |exact, (row, &image)| {
                self.write(image, exact);
                write(exact, row);
            },
        );
        Tensor::from_data(TensorData::new(values, [images.len(), width]), device)
    }
}
