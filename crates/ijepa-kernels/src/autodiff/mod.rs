//! Gradients: each operation is one node of the graph.

mod attention;
mod bias_gelu;
mod block;
mod layer_norm;
mod maps;
mod node;
mod product;

use burn::backend::{
    Autodiff, Backend, autodiff::checkpoint::strategy::CheckpointStrategy, tensor::FloatTensor,
};

use self::product::Linear;
use crate::{
    block::{BlockOptions, BlockTensors},
    extension::FusedOps,
    primitives::Primitives,
};

impl<B, C> FusedOps for Autodiff<B, C>
where
    B: Backend + Primitives,
    C: CheckpointStrategy,
{
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        product::biased::<Linear, B, C>(x, weight, bias)
    }

    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        layer_norm::layer_norm::<B, C>(x, gamma, beta, epsilon)
    }

    fn fused_bias_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        bias_gelu::bias_gelu::<B, C>(x, bias)
    }

    fn fused_attention(qkv: FloatTensor<Self>, num_heads: usize) -> FloatTensor<Self> {
        attention::attention::<B, C>(qkv, num_heads)
    }

    fn fused_block(
        x: FloatTensor<Self>,
        tensors: BlockTensors<Self>,
        options: BlockOptions,
    ) -> FloatTensor<Self> {
        block::block::<B, C>(x, tensors, options)
    }
}
