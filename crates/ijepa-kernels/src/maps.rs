//! What convolutional networks compute on maps `[batch, rows, cols, channels]`.

use burn::{
    backend::{Backend, Dispatch, backend_extension, tensor::FloatTensor},
    tensor::Tensor,
};

use crate::primitives::Primitives;

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
#[derive(Debug, Clone)]
pub(crate) struct GroupNormGradients<B: Backend> {
    pub(crate) x: FloatTensor<B>,
    pub(crate) scale: FloatTensor<B>,
    pub(crate) shift: FloatTensor<B>,
}

/// The operations with a gradient of their own.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff,
)]
pub(crate) trait MapOps: Backend {
    /// A convolution of 3 by 3.
    fn fused_conv3x3(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// A group norm whose scale and shift depend on the image.
    fn fused_group_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        options: GroupNormOptions,
    ) -> FloatTensor<Self>;
}

/// Runs the operations of a backend without gradients.
macro_rules! run_on {
    ($backend:ty) => {
        impl MapOps for $backend {
            fn fused_conv3x3(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                <Self as Primitives>::conv3x3(x, weight, Some(bias))
            }

            fn fused_group_norm(
                x: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                shift: FloatTensor<Self>,
                options: GroupNormOptions,
            ) -> FloatTensor<Self> {
                <Self as Primitives>::group_norm(x, scale, shift, options)
            }
        }
    };
}

#[cfg(feature = "flex")]
run_on!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
run_on!(burn::backend::NdArray);
#[cfg(feature = "cube")]
run_on!(burn::backend::Cube);

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
/// Panics if the shapes do not fit.
pub fn conv3x3(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let [_, _, _, inputs] = x.dims();
    let [outputs] = bias.dims();
    let expected = [3, 3, inputs, outputs];
    assert_eq!(weight.dims(), expected, "weight of a convolution");
    Tensor::from_dispatch(Dispatch::fused_conv3x3(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
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
/// Panics if the shapes do not fit or the groups do not divide the channels.
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
        channels.is_multiple_of(options.groups),
        "{} groups do not divide {channels} channels",
        options.groups
    );
    Tensor::from_dispatch(Dispatch::fused_group_norm(
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        options,
    ))
}
