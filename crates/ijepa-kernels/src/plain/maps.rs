//! Convolutions and group norms in Burn's operations.

use std::ops::Range;

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::{Shape, Slice},
};

use crate::{
    maps::{Activation, GroupNormGradients, GroupNormOptions},
    primitives::LinearTensors,
};

/// The 3 by 3 pixels around each, `[batch * rows * cols, 9 * channels]`, zeros outside the map.
///
/// Convolutions are products of these: Burn's own take ten times as long on `ndarray`.
fn windows<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, rows, cols, channels] = x.shape().dims::<4>();
    let padded = Shape::new([batch, rows + 2, cols + 2, channels]);
    let zeros = B::float_zeros(padded, &x.device(), x.dtype().into());
    let inside = slices([0..batch, 1..rows + 1, 1..cols + 1, 0..channels]);
    let padded = B::float_slice_assign(zeros, &inside, x);
    let shifted = |tap: usize| {
        let (row, col) = (tap / 3, tap % 3);
        let window = [0..batch, row..row + rows, col..col + cols, 0..channels];
        B::float_slice(padded.clone(), &slices(window))
    };
    let windows = B::float_cat((0..9).map(shifted).collect(), 3);
    B::float_reshape(windows, Shape::new([batch * rows * cols, 9 * channels]))
}

fn slices(ranges: [Range<usize>; 4]) -> [Slice; 4] {
    ranges.map(Slice::from)
}

pub(crate) fn conv3x3<B: Backend>(x: FloatTensor<B>, filter: LinearTensors<B>) -> FloatTensor<B> {
    let [batch, rows, cols, _] = x.shape().dims::<4>();
    let [_, _, inputs, outputs] = filter.weight.shape().dims::<4>();
    let weight = B::float_reshape(filter.weight, Shape::new([9 * inputs, outputs]));
    let bias = B::float_reshape(filter.bias, Shape::new([1, outputs]));
    let output = B::float_add(B::float_matmul(windows::<B>(x), weight), bias);
    B::float_reshape(output, Shape::new([batch, rows, cols, outputs]))
}

pub(crate) fn conv3x3_weight_backward<B: Backend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let [batch, rows, cols, outputs] = grad.shape().dims::<4>();
    let [_, _, _, inputs] = x.shape().dims::<4>();
    let grad = B::float_reshape(grad, Shape::new([batch * rows * cols, outputs]));
    let windows = B::float_transpose(windows::<B>(x));
    let gradient = B::float_matmul(windows, grad);
    B::float_reshape(gradient, Shape::new([3, 3, inputs, outputs]))
}

/// A map and its norm as `[batch, pixels, channels]`.
struct Standardized<B: Backend> {
    groups: usize,
    /// `(x - mean) / sqrt(variance + epsilon)`.
    standard: FloatTensor<B>,
    /// `1 / sqrt(variance + epsilon)`, `[batch, 1, channels]`.
    rate: FloatTensor<B>,
}

impl<B: Backend> Standardized<B> {
    fn new(x: FloatTensor<B>, options: GroupNormOptions) -> Self {
        let groups = options.groups;
        let x = pixels::<B>(x);
        let mean = group_mean::<B>(B::float_mean_dim(x.clone(), 1), groups);
        let centered = B::float_sub(x, mean);
        let square = B::float_mul(centered.clone(), centered.clone());
        let variance = group_mean::<B>(B::float_mean_dim(square, 1), groups);
        let variance = B::float_add_scalar(variance, options.epsilon.into());
        let rate = B::float_recip(B::float_sqrt(variance));
        Self {
            groups,
            standard: B::float_mul(centered, rate.clone()),
            rate,
        }
    }

    fn affine(&self, scale: FloatTensor<B>, shift: FloatTensor<B>) -> FloatTensor<B> {
        let scaled = B::float_mul(self.standard.clone(), of_image::<B>(scale));
        B::float_add(scaled, of_image::<B>(shift))
    }
}

/// `[batch, rows, cols, channels]` as `[batch, pixels, channels]`.
fn pixels<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, rows, cols, channels] = x.shape().dims::<4>();
    B::float_reshape(x, Shape::new([batch, rows * cols, channels]))
}

/// `[batch, channels]` as `[batch, 1, channels]`.
fn of_image<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let [batch, channels] = x.shape().dims::<2>();
    B::float_reshape(x, Shape::new([batch, 1, channels]))
}

/// The mean over the channels of a group for each of its channels, `[batch, 1, channels]`.
fn group_mean<B: Backend>(x: FloatTensor<B>, groups: usize) -> FloatTensor<B> {
    let shape = x.shape();
    let [batch, _, channels] = shape.dims::<3>();
    let grouped = Shape::new([batch, groups, channels / groups]);
    let mean = B::float_mean_dim(B::float_reshape(x, grouped.clone()), 2);
    B::float_reshape(B::float_expand(mean, grouped), shape)
}

pub(crate) fn group_norm<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    options: GroupNormOptions,
) -> FloatTensor<B> {
    let shape = x.shape();
    let output = Standardized::<B>::new(x, options).affine(scale, shift);
    let output = match options.activation {
        Activation::Identity => output,
        Activation::Silu => B::float_mul(B::sigmoid(output.clone()), output),
    };
    B::float_reshape(output, shape)
}

pub(crate) fn group_norm_backward<B: Backend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    options: GroupNormOptions,
    grad: FloatTensor<B>,
) -> GroupNormGradients<B> {
    let (shape, of_images) = (x.shape(), scale.shape());
    let x = Standardized::<B>::new(x, options);
    let mut grad = pixels::<B>(grad);
    if options.activation == Activation::Silu {
        let output = x.affine(scale.clone(), shift);
        let sigmoid = B::sigmoid(output.clone());
        let rest = B::float_add_scalar(B::float_neg(sigmoid.clone()), 1.0.into());
        let slope = B::float_add_scalar(B::float_mul(output, rest), 1.0.into());
        grad = B::float_mul(grad, B::float_mul(sigmoid, slope));
    }
    let along = B::float_mul(grad.clone(), x.standard.clone());
    let inner = B::float_mul(grad.clone(), of_image::<B>(scale));
    let slope = B::float_mul(inner.clone(), x.standard.clone());
    let mean = group_mean::<B>(B::float_mean_dim(inner.clone(), 1), x.groups);
    let slope = group_mean::<B>(B::float_mean_dim(slope, 1), x.groups);
    let inner = B::float_sub(inner, mean);
    let inner = B::float_sub(inner, B::float_mul(x.standard, slope));
    GroupNormGradients {
        x: B::float_reshape(B::float_mul(inner, x.rate), shape),
        scale: B::float_reshape(B::float_sum_dim(along, 1), of_images.clone()),
        shift: B::float_reshape(B::float_sum_dim(grad, 1), of_images),
    }
}
