//! What convolutional networks compute on maps `[batch, rows, cols, channels]`.

use burn::{
    backend::{
        Backend, Dispatch, ExtensionType, TensorMetadata, backend_extension, tensor::FloatTensor,
    },
    tensor::{Shape, Tensor},
};

use crate::{plain, primitives::LinearTensors, tensors::operand};

/// What follows a [`group_norm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `x / (1 + exp(-x))`.
    Silu,
}

/// Groups of channels that share mean and variance, and what follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNormOptions {
    /// Number of groups; divides the channels.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// What follows.
    pub activation: Activation,
}

/// Gradients of a [`group_norm`].
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct GroupNormGradients<B: Backend> {
    pub(crate) x: FloatTensor<B>,
    pub(crate) scale: FloatTensor<B>,
    pub(crate) shift: FloatTensor<B>,
}

/// The formulas, declared as in [`Primitives`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff,
)]
pub(crate) trait MapPrimitives: Backend {
    /// See [`conv3x3`]; the weight is `[3, 3, inputs, outputs]`.
    fn conv3x3(
        x: FloatTensor<Self>,
        #[extension_type] filter: LinearTensors<Self>,
    ) -> FloatTensor<Self> {
        plain::conv3x3::<Self>(x, filter)
    }

    /// Gradient of a convolution with respect to `x`: that of the output, convolved with the
    /// kernel turned by half a circle.
    fn conv3x3_x_backward(grad: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let weight = Self::float_permute(Self::float_flip(weight, &[0, 1]), &[0, 1, 3, 2]);
        let (outputs, dtype) = (weight.shape()[3], weight.dtype());
        let bias = Self::float_zeros(Shape::new([outputs]), &weight.device(), dtype.into());
        Self::conv3x3(grad, LinearTensors { weight, bias })
    }

    /// Gradient of a convolution with respect to its weight.
    fn conv3x3_weight_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::conv3x3_weight_backward::<Self>(x, grad)
    }

    /// See [`group_norm`].
    fn group_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        options: GroupNormOptions,
    ) -> FloatTensor<Self> {
        plain::group_norm::<Self>(x, scale, shift, options)
    }

    /// Backward pass of [`group_norm`](Self::group_norm).
    fn group_norm_backward(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        options: GroupNormOptions,
        grad: FloatTensor<Self>,
    ) -> GroupNormGradients<Self> {
        plain::group_norm_backward::<Self>(x, scale, shift, options, grad)
    }
}

#[cfg(feature = "ndarray")]
impl MapPrimitives for burn::backend::NdArray {}
#[cfg(feature = "cube")]
impl MapPrimitives for burn::backend::Cube {}

/// A convolution of 3 by 3 pixels with zeros around the map, so that the map keeps its size.
///
/// # Shapes
///
/// - `x`: `[batch, rows, cols, inputs]`
/// - `weight`: `[3, 3, inputs, outputs]`, rows and columns of the kernel first
/// - `bias`: `[outputs]`
/// - output: `[batch, rows, cols, outputs]`
///
/// # Panics
///
/// Panics if the shapes do not fit or one is empty.
pub fn conv3x3(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [_, _, _, inputs] = x.dims();
    let [outputs] = bias.dims();
    let expected = [3, 3, inputs, outputs];
    assert_eq!(weight.dims(), expected, "weight of a convolution");
    let filter = LinearTensors {
        weight: operand(weight),
        bias: operand(bias),
    };
    Tensor::from_dispatch(Dispatch::conv3x3(operand(x), filter))
}

/// `activation(scale * (x - mean) / sqrt(variance + epsilon) + shift)` with mean and (biased)
/// variance over all pixels and the channels of a group (Wu and He 2018); scale and shift differ
/// between images (FiLM, Perez et al. 2018).
///
/// # Shapes
///
/// - `x` and output: `[batch, rows, cols, channels]`
/// - `scale`, `shift`: `[batch, channels]`
///
/// # Panics
///
/// Panics if the shapes do not fit or one is empty, or the groups do not divide the channels.
pub fn group_norm(
    x: Tensor<4>,
    scale: Tensor<2>,
    shift: Tensor<2>,
    options: GroupNormOptions,
) -> Tensor<4> {
    let [batch, _, _, channels] = x.dims();
    let expected = [batch, channels];
    let found = (scale.dims(), shift.dims());
    assert_eq!(found, (expected, expected), "scale and shift of a norm");
    assert!(
        options.groups > 0 && channels.is_multiple_of(options.groups),
        "{} groups do not divide {channels} channels",
        options.groups
    );
    let [scale, shift] = [scale, shift].map(operand);
    Tensor::from_dispatch(Dispatch::group_norm(operand(x), scale, shift, options))
}
