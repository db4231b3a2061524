//! Convolutions and group norms in Burn's operations.

use burn::{
    backend::{Backend, TensorMetadata, ops::ConvOptions, tensor::FloatTensor},
    tensor::Shape,
};

use crate::maps::{Activation, GroupNormGradients, GroupNormOptions};

/// Zeros around the map, one pixel wide.
fn same_size() -> ConvOptions<2> {
    ConvOptions::new([1, 1], [1, 1], [1, 1], 1)
}

/// `[batch, rows, cols, channels]` as `[batch, channels, rows, cols]`.
fn channels_first<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(x, &[0, 3, 1, 2])
}

/// `[3, 3, inputs, outputs]` to `[outputs, inputs, 3, 3]`, or back.
fn kernel_last<B: Backend>(weight: FloatTensor<B>) -> FloatTensor<B> {
    B::float_permute(weight, &[3, 2, 0, 1])
}

pub(crate) fn conv3x3<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let (x, weight) = (channels_first::<B>(x), kernel_last::<B>(weight));
    let output = B::conv2d(x, weight, bias, same_size());
    B::float_permute(output, &[0, 2, 3, 1])
}

pub(crate) fn conv3x3_weight_backward<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    let (x, grad) = (channels_first::<B>(x), channels_first::<B>(grad));
    let weight = kernel_last::<B>(weight);
    let gradient = B::conv2d_weight_backward(x, weight, grad, same_size());
    B::float_permute(gradient, &[2, 3, 1, 0])
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
