//! Group norm with the scale and shift of every image, and its gradient.

use std::mem::MaybeUninit;

use burn::backend::{Flex, flex::FlexTensor};
use rayon::prelude::*;

use crate::flex::{
    buffer::{build, contiguous, from_vec, make_own, values},
    simd::{Kernel, exp, vectorized},
};
use crate::maps::{Activation, GroupNormGradients, GroupNormOptions};

/// One image, its affine map and what is computed of them.
#[derive(Clone, Copy)]
struct Image<'a> {
    /// `[pixels, channels]`.
    x: &'a [f32],
    /// `[channels]`.
    scale: &'a [f32],
    /// `[channels]`.
    shift: &'a [f32],
    options: GroupNormOptions,
}

/// Mean and `1 / sqrt(variance + epsilon)` for each channel, that of its group.
struct Moments {
    mean: Vec<f32>,
    rate: Vec<f32>,
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Replaces every value by the mean over its group.
fn average_groups(values: &mut [f32], groups: usize) {
    let size = values.len() / groups;
    for group in values.chunks_exact_mut(size) {
        let mean = group.iter().sum::<f32>() / size as f32;
        group.fill(mean);
    }
}

impl Image<'_> {
    fn pixels(&self) -> usize {
        self.x.len() / self.scale.len()
    }

    #[inline(always)]
    fn moments(&self) -> Moments {
        let (channels, groups) = (self.scale.len(), self.options.groups);
        let share = 1.0 / self.pixels() as f32;
        let mut mean = vec![0.0; channels];
        for pixel in self.x.chunks_exact(channels) {
            for (mean, x) in mean.iter_mut().zip(pixel) {
                *mean += x * share;
            }
        }
        average_groups(&mut mean, groups);
        let mut rate = vec![0.0; channels];
        for pixel in self.x.chunks_exact(channels) {
            for ((rate, x), mean) in rate.iter_mut().zip(pixel).zip(&mean) {
                *rate += (x - mean) * (x - mean) * share;
            }
        }
        average_groups(&mut rate, groups);
        for rate in &mut rate {
            *rate = (*rate + self.options.epsilon as f32).sqrt().recip();
        }
        Moments { mean, rate }
    }

    /// Factor and offset of every channel that norm and affine map come to.
    fn affine(&self, moments: &Moments) -> (Vec<f32>, Vec<f32>) {
        let factor: Vec<f32> = self
            .scale
            .iter()
            .zip(&moments.rate)
            .map(|(s, r)| s * r)
            .collect();
        let offset = self.shift.iter().zip(&moments.mean).zip(&factor);
        let offset = offset.map(|((shift, mean), factor)| shift - mean * factor);
        let offset = offset.collect();
        (factor, offset)
    }
}

struct Forward<'a> {
    image: Image<'a>,
    output: &'a mut [MaybeUninit<f32>],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run(self) {
        let Self { image, output } = self;
        let (factor, offset) = image.affine(&image.moments());
        let channels = factor.len();
        let pixels = output.chunks_exact_mut(channels);
        let silu = image.options.activation == Activation::Silu;
        for (output, x) in pixels.zip(image.x.chunks_exact(channels)) {
            let affine = factor.iter().zip(&offset);
            for ((output, x), (factor, offset)) in output.iter_mut().zip(x).zip(affine) {
                let normed = x * factor + offset;
                output.write(if silu {
                    normed * sigmoid(normed)
                } else {
                    normed
                });
            }
        }
    }
}

pub(super) fn group_norm(
    x: &FlexTensor,
    scale: &FlexTensor,
    shift: &FlexTensor,
    options: GroupNormOptions,
) -> FlexTensor {
    let (x, scale, shift) = (contiguous(x), contiguous(scale), contiguous(shift));
    let [_, rows, cols, channels] = x.layout().shape().dims::<4>();
    let size = rows * cols * channels;
    let fill = |output: &mut [MaybeUninit<f32>]| {
        let images = output.par_chunks_mut(size).zip(values(&x).par_chunks(size));
        let affine = values(&scale)
            .par_chunks(channels)
            .zip(values(&shift).par_chunks(channels));
        images
            .zip(affine)
            .for_each(|((output, x), (scale, shift))| {
                let image = Image {
                    x,
                    scale,
                    shift,
                    options,
                };
                vectorized(Forward { image, output });
            });
    };
    // SAFETY: the kernel writes every pixel of every image.
    unsafe { build(x.layout().shape().clone(), fill) }
}

/// The backward pass of an image; overwrites `grad` by the gradient of `x`.
struct Backward<'a> {
    image: Image<'a>,
    grad: &'a mut [f32],
    /// Sums for the scale, `[channels]`, cleared.
    scale_grad: &'a mut [f32],
    /// Sums for the shift, `[channels]`, cleared.
    shift_grad: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run(self) {
        let Self {
            image,
            grad,
            scale_grad,
            shift_grad,
        } = self;
        let moments = image.moments();
        let (factor, offset) = image.affine(&moments);
        let channels = factor.len();
        let silu = image.options.activation == Activation::Silu;
        let pixels = grad.chunks_exact_mut(channels);
        for (grad, x) in pixels.zip(image.x.chunks_exact(channels)) {
            for channel in 0..channels {
                let x = x[channel];
                if silu {
                    let normed = x * factor[channel] + offset[channel];
                    let gate = sigmoid(normed);
                    grad[channel] *= gate * (1.0 + normed * (1.0 - gate));
                }
                let standard = (x - moments.mean[channel]) * moments.rate[channel];
                scale_grad[channel] += grad[channel] * standard;
                shift_grad[channel] += grad[channel];
            }
        }
        // The gradient of x is a linear function of that of the output and of x itself.
        let share = 1.0 / image.pixels() as f32;
        let weighted = |sums: &[f32]| {
            let products = sums
                .iter()
                .zip(image.scale)
                .map(|(sum, scale)| sum * scale * share);
            let mut means: Vec<f32> = products.collect();
            average_groups(&mut means, image.options.groups);
            means
        };
        let (mean, slope) = (weighted(shift_grad), weighted(scale_grad));
        let by_x: Vec<f32> = (0..channels)
            .map(|channel| -slope[channel] * moments.rate[channel] * moments.rate[channel])
            .collect();
        let constant: Vec<f32> = (0..channels)
            .map(|channel| {
                -mean[channel] * moments.rate[channel] - moments.mean[channel] * by_x[channel]
            })
            .collect();
        let pixels = grad.chunks_exact_mut(channels);
        for (grad, x) in pixels.zip(image.x.chunks_exact(channels)) {
            for channel in 0..channels {
                grad[channel] = grad[channel] * factor[channel]
                    + x[channel] * by_x[channel]
                    + constant[channel];
            }
        }
    }
}

/// The gradient of `x` takes the memory of `grad`.
pub(super) fn group_norm_backward(
    x: &FlexTensor,
    scale: &FlexTensor,
    shift: &FlexTensor,
    options: GroupNormOptions,
    mut grad: FlexTensor,
) -> GroupNormGradients<Flex> {
    let (x, scale, shift) = (contiguous(x), contiguous(scale), contiguous(shift));
    let [batch, rows, cols, channels] = x.layout().shape().dims::<4>();
    let size = rows * cols * channels;
    let mut scale_grad = vec![0.0; batch * channels];
    let mut shift_grad = scale_grad.clone();
    let images = values(&x)
        .par_chunks(size)
        .zip(make_own(&mut grad).par_chunks_mut(size));
    let affine = values(&scale)
        .par_chunks(channels)
        .zip(values(&shift).par_chunks(channels));
    let sums = scale_grad
        .par_chunks_mut(channels)
        .zip(shift_grad.par_chunks_mut(channels));
    images.zip(affine).zip(sums).for_each(
        |(((x, grad), (scale, shift)), (scale_grad, shift_grad))| {
            let image = Image {
                x,
                scale,
                shift,
                options,
            };
            vectorized(Backward {
                image,
                grad,
                scale_grad,
                shift_grad,
            });
        },
    );
    let shape = scale.layout().shape().clone();
    GroupNormGradients {
        x: grad,
        scale: from_vec(scale_grad, shape.clone()),
        shift: from_vec(shift_grad, shape),
    }
}
