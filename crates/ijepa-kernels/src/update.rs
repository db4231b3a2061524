//! What an optimizer step computes on weights: nothing here is differentiated.

use burn::{
    backend::{Backend, Dispatch, ExtensionType, backend_extension, tensor::FloatTensor},
    tensor::Tensor,
};

use crate::primitives::Primitives;

/// Constants of one AdamW update (Loshchilov and Hutter 2019), as PyTorch computes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWRule {
    /// Factor of the parameter before the update, `1 - lr * weight_decay`.
    pub decay: f64,
    /// Decay rates of the two moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// `lr / (1 - beta_1^t)` for update `t`, counted from 1.
    pub step_size: f64,
    /// `sqrt(1 - beta_2^t)`.
    pub second_correction: f64,
}

impl AdamWRule {
    /// The rule of update `step`, counted from 1.
    pub fn new(lr: f64, weight_decay: f64, betas: [f64; 2], eps: f64, step: u64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            decay: 1.0 - lr * weight_decay,
            betas,
            eps,
            step_size: lr / correction(betas[0]),
            second_correction: correction(betas[1]).sqrt(),
        }
    }
}

/// A parameter and its moments.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct AdamWTensors<B: Backend> {
    pub(crate) parameter: FloatTensor<B>,
    pub(crate) first: FloatTensor<B>,
    pub(crate) second: FloatTensor<B>,
}

/// The operations without a gradient.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
)]
pub(crate) trait UpdateOps: Backend {
    /// One AdamW update.
    fn fused_adamw(
        #[extension_type] tensors: AdamWTensors<Self>,
        gradient: FloatTensor<Self>,
        rule: AdamWRule,
    ) -> AdamWTensors<Self>;

    /// A step of an exponential moving average.
    fn fused_lerp(
        x: FloatTensor<Self>,
        towards: FloatTensor<Self>,
        weight: f64,
    ) -> FloatTensor<Self>;

    /// The sum of the squares of all elements.
    fn fused_squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Runs the operations of a backend.
macro_rules! run_on {
    ($backend:ty) => {
        impl UpdateOps for $backend {
            fn fused_adamw(
                tensors: AdamWTensors<Self>,
                gradient: FloatTensor<Self>,
                rule: AdamWRule,
            ) -> AdamWTensors<Self> {
                <Self as Primitives>::adamw_update(tensors, gradient, rule)
            }

            fn fused_lerp(
                x: FloatTensor<Self>,
                towards: FloatTensor<Self>,
                weight: f64,
            ) -> FloatTensor<Self> {
                <Self as Primitives>::moved_towards(x, towards, weight)
            }

            fn fused_squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self> {
                <Self as Primitives>::squared_norm(x)
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

/// One AdamW update: the new parameter and its new moments.
///
/// # Panics
///
/// Panics on tensors that record gradients or have different shapes.
pub fn adamw<const D: usize>(
    parameter: Tensor<D>,
    moments: [Tensor<D>; 2],
    gradient: Tensor<D>,
    rule: AdamWRule,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let [first, second] = moments;
    let shapes = [first.dims(), second.dims(), gradient.dims()];
    assert_eq!(shapes, [parameter.dims(); 3], "shapes of an update");
    let tensors = AdamWTensors {
        parameter: parameter.into_dispatch(),
        first: first.into_dispatch(),
        second: second.into_dispatch(),
    };
    let updated = Dispatch::fused_adamw(tensors, gradient.into_dispatch(), rule);
    let moments = [updated.first, updated.second].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(updated.parameter), moments)
}

/// `x + weight * (towards - x)`, a step of an exponential moving average.
///
/// # Panics
///
/// Panics on tensors that record gradients or have different shapes.
pub fn lerp<const D: usize>(x: Tensor<D>, towards: Tensor<D>, weight: f64) -> Tensor<D> {
    assert_eq!(x.dims(), towards.dims(), "shapes of a moving average");
    Tensor::from_dispatch(Dispatch::fused_lerp(
        x.into_dispatch(),
        towards.into_dispatch(),
        weight,
    ))
}

/// The sum of the squares of all elements, `[1]`.
///
/// # Panics
///
/// Panics on a tensor that records gradients.
pub fn squared_norm<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::fused_squared_norm(x.into_dispatch()))
}
