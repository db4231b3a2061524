//! Convolutions of 3 by 3 as three matrix products an image.
//!
//! In a map with a border of zeros, stored pixel after pixel, the three pixels of a kernel's row
//! lie side by side. So all of them are a matrix whose rows overlap, as wide as three pixels and
//! one pixel apart, and nothing has to be gathered. Rows of the product that begin in the border
//! mean nothing and are left out.

use std::mem::MaybeUninit;

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::Shape,
};
use rayon::prelude::*;

use crate::flex::{
    buffer::{build, contiguous, for_each_task, from_vec, sum_rows, values, with_features},
    matrix::Matrix,
    product::{Operands, product_here},
    simd::{Kernel, vectorized},
};
use crate::primitives::LinearTensors;

/// Images whose weight gradients are added up by one task; fixed, so that sums do not depend on
/// the number of threads.
const IMAGES: usize = 4;

/// Sizes of a map and of the one with a border.
#[derive(Debug, Clone, Copy)]
struct Map {
    rows: usize,
    cols: usize,
}

impl Map {
    fn of(x: &FlexTensor) -> Self {
        let [_, rows, cols, _] = x.layout().shape().dims::<4>();
        Self { rows, cols }
    }

    fn pixels(self) -> usize {
        self.rows * self.cols
    }

    /// Columns with the border.
    fn stride(self) -> usize {
        self.cols + 2
    }

    /// Pixels with the border.
    fn padded(self) -> usize {
        (self.rows + 2) * self.stride()
    }

    /// Rows of the products: from the first pixel of the map to its last, in steps of a pixel.
    fn steps(self) -> usize {
        self.rows * self.stride() - 2
    }

    /// Copies `image` inside `padded`, whose border stays as it is.
    fn pad(self, image: &[f32], padded: &mut [f32], channels: usize) {
        let rows = padded.chunks_exact_mut(self.stride() * channels).skip(1);
        for (row, image) in rows.zip(image.chunks_exact(self.cols * channels)) {
            row[channels..][..image.len()].copy_from_slice(image);
        }
    }

    /// The pixels of a kernel's row `tap` around every step, `[steps, 3 * channels]`.
    fn windows(self, padded: &[f32], tap: usize, channels: usize) -> Matrix<'_> {
        let start = tap * self.stride() * channels;
        let shape = [self.steps(), 3 * channels];
        Matrix::new(padded, start, shape, [channels as isize, 1])
    }
}

/// Writes the rows of `steps` that are pixels of the map, plus `bias`.
struct Crop<'a> {
    output: &'a mut [MaybeUninit<f32>],
    steps: &'a [f32],
    bias: &'a [f32],
    map: Map,
}

impl Kernel for Crop<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.bias.len();
        let rows = self.output.chunks_exact_mut(self.map.cols * channels);
        let steps = self.steps.chunks(self.map.stride() * channels);
        for (row, steps) in rows.zip(steps) {
            let pixels = row.chunks_exact_mut(channels);
            for (pixel, step) in pixels.zip(steps.chunks_exact(channels)) {
                for ((out, value), bias) in pixel.iter_mut().zip(step).zip(self.bias) {
                    out.write(value + bias);
                }
            }
        }
    }
}

pub(super) fn conv3x3(x: &FlexTensor, filter: &LinearTensors<Flex>) -> FlexTensor {
    let [_, _, inputs, outputs] = filter.weight.layout().shape().dims::<4>();
    let (map, x) = (Map::of(x), contiguous(x));
    let (weight, bias) = (contiguous(&filter.weight), contiguous(&filter.bias));
    let (images, weights) = (values(&x), values(&weight));
    let convolve = |number: usize, output: &mut [MaybeUninit<f32>]| {
        let image = &images[number * map.pixels() * inputs..][..map.pixels() * inputs];
        let mut padded = vec![0.0; map.padded() * inputs];
        map.pad(image, &mut padded, inputs);
        let mut steps = vec![0.0; map.steps() * outputs];
        for (tap, weights) in weights.chunks_exact(3 * inputs * outputs).enumerate() {
            let windows = map.windows(&padded, tap, inputs);
            let weights = Matrix::of_rows(weights, outputs);
            product_here(&mut steps, tap > 0, [windows, weights], Operands::Exact);
        }
        vectorized(Crop {
            output,
            steps: &steps,
            bias: values(&bias),
            map,
        });
    };
    let fill = |output: &mut [MaybeUninit<f32>]| {
        for_each_task(output, map.pixels() * outputs, convolve);
    };
    // SAFETY: the rows of the map are cropped for every image.
    unsafe { build(with_features(&x, outputs), fill) }
}

/// The gradient of the weight, `[3, 3, inputs, outputs]`.
pub(super) fn conv3x3_weight_backward(x: &FlexTensor, grad: &FlexTensor) -> FlexTensor {
    let [batch, _, _, inputs] = x.layout().shape().dims::<4>();
    let outputs = grad.layout().shape().dims::<4>()[3];
    let (map, x, grad) = (Map::of(x), contiguous(x), contiguous(grad));
    let row = 3 * inputs * outputs;
    let mut partial = vec![0.0; batch.div_ceil(IMAGES) * 3 * row];
    let images = values(&x).par_chunks(IMAGES * map.pixels() * inputs);
    let grads = values(&grad).par_chunks(IMAGES * map.pixels() * outputs);
    let sums = partial.par_chunks_mut(3 * row);
    images
        .zip(grads)
        .zip(sums)
        .for_each(|((images, grads), sums)| {
            let mut padded = vec![0.0; map.padded() * inputs];
            // Steps that begin in the border have no gradient.
            let mut steps = vec![0.0; map.padded() * outputs];
            let images = images.chunks_exact(map.pixels() * inputs);
            for (image, grad) in images.zip(grads.chunks_exact(map.pixels() * outputs)) {
                map.pad(image, &mut padded, inputs);
                map.pad(grad, &mut steps, outputs);
                let from = (map.stride() + 1) * outputs;
                let steps = Matrix::of_rows(&steps[from..][..map.steps() * outputs], outputs);
                for (tap, sum) in sums.chunks_exact_mut(row).enumerate() {
                    let windows = map.windows(&padded, tap, inputs).transposed();
                    product_here(sum, true, [windows, steps], Operands::Exact);
                }
            }
        });
    let sum = sum_rows(&partial, 3 * row);
    from_vec(sum, Shape::new([3, 3, inputs, outputs]))
}
