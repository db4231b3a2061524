//! What an optimizer step computes on weights: nothing here is differentiated.

use burn::{
    backend::{Backend, Dispatch, ExtensionType, tensor::FloatTensor},
    tensor::Tensor,
};

use crate::{primitives::Primitives, tensors::constant};

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
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) struct AdamWTensors<B: Backend> {
    pub(crate) parameter: FloatTensor<B>,
    pub(crate) first: FloatTensor<B>,
    pub(crate) second: FloatTensor<B>,
}

/// One AdamW update: the new parameter and its new moments.
///
/// # Panics
///
/// Panics on tensors that record gradients, have different shapes or are empty.
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
        parameter: constant(parameter),
        first: constant(first),
        second: constant(second),
    };
    let updated = Dispatch::adamw_update(tensors, constant(gradient), rule);
    let moments = [updated.first, updated.second].map(Tensor::from_dispatch);
    (Tensor::from_dispatch(updated.parameter), moments)
}

/// `x + weight * (towards - x)`, a step of an exponential moving average.
///
/// # Panics
///
/// Panics on tensors that record gradients, have different shapes or are empty.
pub fn lerp<const D: usize>(x: Tensor<D>, towards: Tensor<D>, weight: f64) -> Tensor<D> {
    assert_eq!(x.dims(), towards.dims(), "shapes of a moving average");
    let moved = Dispatch::lerp(constant(x), constant(towards), weight);
    Tensor::from_dispatch(moved)
}

/// The sum of the squares of all elements, `[1]`.
///
/// # Panics
///
/// Panics on a tensor that records gradients or is empty.
pub fn squared_norm<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::squared_norm(constant(x)))
}
