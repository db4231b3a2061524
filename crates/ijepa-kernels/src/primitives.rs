//! What a backend computes: every operation and the pieces of its gradient.

use burn::backend::{Backend, tensor::FloatTensor};

use crate::{
    heads::{CrossEntropyTensors, FoldedTensors, HeadRule, HeadStepTensors, SteppedTensors},
    maps::{GroupNormGradients, GroupNormOptions},
    plain,
    update::{AdamWRule, AdamWTensors},
};

/// Gradients of a layer norm, and its output, which the backward pass computes on the way.
#[derive(Debug, Clone)]
pub(crate) struct NormGradients<B: Backend> {
    /// With respect to the input, plus the residual gradient if there is one.
    pub(crate) x: FloatTensor<B>,
    pub(crate) gamma: FloatTensor<B>,
    pub(crate) beta: FloatTensor<B>,
    /// The output of the forward pass.
    pub(crate) output: FloatTensor<B>,
}

/// Gradients of `gelu(x + bias)`, and its output.
#[derive(Debug, Clone)]
pub(crate) struct BiasGeluGradients<B: Backend> {
    pub(crate) x: FloatTensor<B>,
    pub(crate) bias: FloatTensor<B>,
    /// The output of the forward pass.
    pub(crate) output: FloatTensor<B>,
}

/// The formulas, by default in Burn's operations; a backend overrides what it does better.
///
/// Tensors are `[.., features]` with any leading dimensions unless said otherwise; weights are
/// `[inputs, outputs]`.
pub(crate) trait Primitives: Backend {
    /// `x W`, plus the bias if there is one.
    fn affine(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        plain::affine::<Self>(x, weight, bias)
    }

    /// `residual + x W + bias`.
    fn affine_onto(
        residual: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::float_add(residual, Self::affine(x, weight, Some(bias)))
    }

    /// Gradient of `x W` with respect to `x`.
    fn affine_x_backward(grad: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::affine::<Self>(grad, Self::float_transpose(weight), None)
    }

    /// Gradient of `x W` with respect to `W`.
    fn affine_weight_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::affine_weight_backward::<Self>(x, grad)
    }

    /// Gradient with respect to a bias: the sum over all leading dimensions.
    fn bias_backward(grad: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::bias_backward::<Self>(grad)
    }

    /// Layer norm over the last dimension.
    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        plain::norm::<Self>(x, gamma, beta, epsilon)
    }

    /// Backward pass of [`norm`](Self::norm); `residual` is added to the gradient of `x`.
    fn norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        grad: FloatTensor<Self>,
        residual: Option<FloatTensor<Self>>,
    ) -> NormGradients<Self> {
        plain::norm_backward::<Self>(x, gamma, beta, epsilon, grad, residual)
    }

    /// `gelu(x + bias)` with the exact (erf) GELU.
    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::biased_gelu::<Self>(x, bias)
    }

    /// Backward pass of [`biased_gelu`](Self::biased_gelu).
    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> BiasGeluGradients<Self> {
        plain::biased_gelu_backward::<Self>(x, bias, grad)
    }

    /// Self-attention of `[batch, tokens, 3 * dim]` (queries, keys and values, each by head) for
    /// the queries from token `first` on, giving `[batch, tokens - first, dim]`.
    fn mix(qkv: FloatTensor<Self>, num_heads: usize, first: usize) -> FloatTensor<Self> {
        plain::mix::<Self>(qkv, num_heads, first)
    }

    /// Backward pass of [`mix`](Self::mix), whose output is `mixed`.
    fn mix_backward(
        qkv: FloatTensor<Self>,
        mixed: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        num_heads: usize,
        first: usize,
    ) -> FloatTensor<Self> {
        plain::mix_backward::<Self>(qkv, mixed, grad, num_heads, first)
    }

    /// See [`conv3x3`](crate::conv3x3).
    fn conv3x3(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        plain::conv3x3::<Self>(x, weight, bias)
    }

    /// Gradient of a convolution with respect to `x`: that of the output, convolved with the
    /// kernel turned by half a circle.
    fn conv3x3_x_backward(grad: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let turned = Self::float_permute(Self::float_flip(weight, &[0, 1]), &[0, 1, 3, 2]);
        Self::conv3x3(grad, turned, None)
    }

    /// Gradient of a convolution with respect to its weight.
    fn conv3x3_weight_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::conv3x3_weight_backward::<Self>(x, grad)
    }

    /// See [`group_norm`](crate::group_norm).
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

    /// One AdamW update of a parameter and its two moments.
    fn adamw_update(
        tensors: AdamWTensors<Self>,
        gradient: FloatTensor<Self>,
        rule: AdamWRule,
    ) -> AdamWTensors<Self> {
        plain::adamw_update::<Self>(tensors, gradient, rule)
    }

    /// `x + weight * (towards - x)`.
    fn moved_towards(
        x: FloatTensor<Self>,
        towards: FloatTensor<Self>,
        weight: f64,
    ) -> FloatTensor<Self> {
        plain::moved_towards::<Self>(x, towards, weight)
    }

    /// The sum of the squares of all elements, `[1]`.
    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_sum(Self::float_mul(x.clone(), x))
    }

    /// See [`fold_heads`](crate::fold_heads).
    fn fold(
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        offset: FloatTensor<Self>,
    ) -> FoldedTensors<Self> {
        plain::fold::<Self>(weight, scale, offset)
    }

    /// See [`cross_entropy`](crate::cross_entropy).
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: &[u32],
        heads: usize,
    ) -> CrossEntropyTensors<Self> {
        plain::cross_entropy::<Self>(logits, targets, heads)
    }

    /// `sum + x^T grad`.
    fn add_product(
        sum: FloatTensor<Self>,
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        plain::add_product::<Self>(sum, x, grad)
    }

    /// See [`step_heads`](crate::step_heads).
    fn step_heads(tensors: HeadStepTensors<Self>, rule: HeadRule) -> SteppedTensors<Self> {
        plain::step_heads::<Self>(tensors, rule)
    }
}
