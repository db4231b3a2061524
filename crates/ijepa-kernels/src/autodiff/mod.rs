//! Gradients: each operation is one node of the graph.

#[cfg(feature = "maps")]
mod maps;
mod node;

use burn::{
    backend::{
        Autodiff, TensorMetadata, autodiff::checkpoint::strategy::CheckpointStrategy,
        tensor::FloatTensor,
    },
    tensor::FloatDType,
};

use self::node::node;
use crate::{
    block::{self, BlockOptions, BlockTensors},
    plain,
    primitives::{LinearTensors, NormTensors, Optional, Primitives, Projected},
};

impl<B: Primitives, C: CheckpointStrategy> Primitives for Autodiff<B, C> {
    fn narrow(x: FloatTensor<Self>, dtype: Option<FloatDType>) -> FloatTensor<Self> {
        node::<_, B, C, _>(
            [x],
            |[x], keep| {
                let kept = keep.then(|| x.dtype());
                (B::narrow(x, dtype), kept)
            },
            |dtype, grad, _| [Some(plain::cast::<B>(grad, dtype))],
        )
    }

    fn affine(
        x: FloatTensor<Self>,
        linear: LinearTensors<Self>,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        node::<_, B, C, _>(
            [x, linear.weight, linear.bias],
            |[x, weight, bias], keep| {
                let kept = keep.then(|| (x.clone(), weight.clone(), dtype));
                (B::affine(x, LinearTensors { weight, bias }, dtype), kept)
            },
            |(x, weight, dtype), grad, [by_x, by_weight, by_bias]| {
                let bias = by_bias.then(|| B::column_sums(grad.clone()));
                let d_weight =
                    by_weight.then(|| B::product_weight_backward(x, grad.clone(), dtype));
                let d_x = by_x.then(|| plain::product_x_backward::<B>(grad, weight, dtype));
                [d_x, d_weight, bias]
            },
        )
    }

    fn norm(
        x: FloatTensor<Self>,
        norm: NormTensors<Self>,
        epsilon: f64,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        node::<_, B, C, _>(
            [x, norm.gamma, norm.beta],
            |[x, gamma, beta], keep| {
                let norm = NormTensors { gamma, beta };
                let kept = keep.then(|| (x.clone(), norm.clone(), epsilon));
                (B::norm(x, norm, epsilon, dtype), kept)
            },
            |(x, norm, epsilon), grad, _| {
                let gradients = B::norm_backward(x, norm, epsilon, grad, Optional::None, None);
                let norm = gradients.norm;
                [gradients.x, norm.gamma, norm.beta].map(Some)
            },
        )
    }

    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        node::<_, B, C, _>(
            [x, bias],
            |[x, bias], keep| {
                let kept = keep.then(|| (x.clone(), bias.clone()));
                (B::biased_gelu(x, bias), kept)
            },
            |(x, bias), grad, _| {
                let gradients = B::biased_gelu_backward(x, bias, grad);
                [gradients.x, gradients.bias].map(Some)
            },
        )
    }

    fn mix(
        qkv: Projected<Self>,
        num_heads: usize,
        first: usize,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        node::<_, B, C, _>(
            [plain::whole::<Self>(qkv)],
            |[qkv], keep| {
                let kept = keep.then(|| qkv.clone());
                let mixed = B::mix(Projected::whole(qkv), num_heads, first, dtype);
                let kept = kept.map(|qkv| (qkv, mixed.clone(), [num_heads, first], dtype));
                (mixed, kept)
            },
            |(qkv, mixed, [num_heads, first], dtype), grad, _| {
                let qkv = Projected::whole(qkv);
                let grad = B::mix_backward(qkv, mixed, grad, num_heads, first, dtype);
                [Some(grad)]
            },
        )
    }

    fn block(
        x: FloatTensor<Self>,
        tensors: BlockTensors<Self>,
        options: BlockOptions,
    ) -> FloatTensor<Self> {
        node::<_, B, C, _>(
            tensors.into_inputs(x),
            |inputs, keep| {
                let (x, tensors) = BlockTensors::<B>::from_inputs(inputs);
                if !keep {
                    return (B::block(x, tensors, options), None);
                }
                let (output, kept) = block::forward::<B>(x.clone(), &tensors, &options);
                (output, Some((x, kept, tensors, options)))
            },
            |(x, kept, tensors, options), grad, _| {
                let (d_x, d_tensors) = block::backward::<B>(x, kept, &tensors, &options, grad);
                d_tensors.into_inputs(d_x).map(Some)
            },
        )
    }
}
