//! Multi-head self-attention.

use burn::{
    module::Module,
    nn::Linear,
    tensor::{Bool, Tensor},
};
use ijepa_kernels::reference::{attention_weights, split_heads};

use crate::{compute::Compute, init::Initializer};

/// Self-attention over the tokens of a sequence.
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
    /// Attention of `num_heads` heads over tokens of `dim` values, with initial weights as block
    /// `layer` (from 1) of a network has them.
    ///
    /// # Panics
    ///
    /// Panics unless `num_heads` divides `dim`.
    pub fn new(dim: usize, num_heads: usize, layer: usize, init: &mut Initializer<'_>) -> Self {
        assert!(
            num_heads > 0 && dim.is_multiple_of(num_heads),
            "{num_heads} heads do not divide {dim} features"
        );
        Self {
            qkv: init.linear(dim, 3 * dim),
            proj: init.branch_output(dim, dim, layer),
            num_heads,
        }
    }

    /// Number of heads.
    pub fn num_heads(&self) -> usize {
        self.num_heads
    }

    /// The projected mean of the values that each token attends to.
    ///
    /// `mask` says which keys a query may attend to; a query that may attend to none gets zeros
    /// before the projection. Kernels know no mask, so with one it is computed by Burn's own
    /// operations.
    ///
    /// # Shapes
    ///
    /// - `x` and output: `[batch, tokens, dim]`, f32
    /// - `mask`: `[batch or 1, num_heads or 1, queries, keys]`, true where attention is allowed
    ///
    /// # Panics
    ///
    /// Panics if shapes do not fit.
    pub fn forward(
        &self,
        x: Tensor<3>,
        mask: Option<Tensor<4, Bool>>,
        compute: Compute,
    ) -> Tensor<3> {
        let qkv = compute.linear(&self.qkv, x);
        let mixed = compute.attention(qkv, self.num_heads, mask);
        compute.linear(&self.proj, mixed)
    }

    /// The attention weights of every head, in f32.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, dim]`
    /// - `mask`: as in [`forward`](Self::forward)
    /// - output: `[batch, num_heads, queries, keys]`, rows sum to 1
    ///
    /// # Panics
    ///
    /// Panics if shapes do not fit.
    pub fn weights(&self, x: Tensor<3>, mask: Option<Tensor<4, Bool>>) -> Tensor<4> {
        let qkv = Compute::default().linear(&self.qkv, x);
        let [q, k, _] = split_heads(qkv, self.num_heads);
        attention_weights(q, k, mask)
    }
}
