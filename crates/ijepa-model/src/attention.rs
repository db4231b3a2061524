//! Multi-head self-attention.

use burn::{module::Module, nn::Linear, tensor::Tensor};
use ijepa_kernels::reference::{attention_weights, split_heads};

use crate::{compute::Compute, init::Initializer};

/// Self-attention over all tokens of a sequence.
#[derive(Module, Debug)]
pub struct Attention {
    /// Queries, keys and values in one map, in this order, each by head.
    pub qkv: Linear,
    /// Output projection.
    pub proj: Linear,
    #[module(skip)]
    num_heads: usize,
}

impl Attention {
    pub(crate) fn new(
        embed_dim: usize,
        num_heads: usize,
        layer: usize,
        init: &mut Initializer<'_>,
    ) -> Self {
        Self {
            qkv: init.linear(embed_dim, 3 * embed_dim),
            proj: init.branch_output(embed_dim, embed_dim, layer),
            num_heads,
        }
    }

    pub(crate) fn num_heads(&self) -> usize {
        self.num_heads
    }

    /// The attention weights of every head.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, embed_dim]`
    /// - output: `[batch, num_heads, tokens, tokens]`, rows sum to 1
    pub(crate) fn weights(&self, x: Tensor<3>) -> Tensor<4> {
        let qkv = Compute::default().linear(&self.qkv, x);
        let [q, k, _] = split_heads(qkv, self.num_heads);
        attention_weights(q, k)
    }
}
