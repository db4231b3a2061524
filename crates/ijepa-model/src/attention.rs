//! Multi-head self-attention.

use burn::{
    module::Module,
    nn::Linear,
    tensor::{Tensor, activation::softmax, module::attention, ops::AttentionModuleOptions},
};

use crate::{init::Initializer, linear::linear, precision::Precision};

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

    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, embed_dim]`
    /// - output: `[batch, tokens, embed_dim]`, in the type of `precision`
    pub(crate) fn forward(&self, x: Tensor<3>, precision: Precision) -> Tensor<3> {
        let [batch, tokens, embed_dim] = x.dims();
        let [q, k, v] = self.heads(linear(&self.qkv, x, precision));
        let mixed = match precision {
            Precision::F32 => attention(q, k, v, None, None, AttentionModuleOptions::default()),
            Precision::Bf16 => attend_with_f32_softmax(q, k, v, precision),
        };
        linear(
            &self.proj,
            mixed.swap_dims(1, 2).reshape([batch, tokens, embed_dim]),
            precision,
        )
    }

    /// The attention weights of every head.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, embed_dim]`
    /// - output: `[batch, num_heads, tokens, tokens]`, rows sum to 1
    pub(crate) fn weights(&self, x: Tensor<3>) -> Tensor<4> {
        let [q, k, _] = self.heads(linear(&self.qkv, x, Precision::F32));
        attention_weights(q, k, Precision::F32)
    }

    /// Splits `[batch, tokens, 3 * embed_dim]` into three `[batch, heads, tokens, head_dim]`.
    fn heads(&self, qkv: Tensor<3>) -> [Tensor<4>; 3] {
        let [batch, tokens, triple] = qkv.dims();
        let head_dim = triple / 3 / self.num_heads;
        let split = qkv
            .reshape([batch, tokens, 3, self.num_heads, head_dim])
            .permute([2, 0, 3, 1, 4]);
        [0, 1, 2].map(|part| split.clone().narrow(0, part, 1).squeeze_dim(0))
    }
}

/// `softmax(q k^T / sqrt(head_dim))`, the softmax in f32.
fn attention_weights(q: Tensor<4>, k: Tensor<4>, precision: Precision) -> Tensor<4> {
    let scale = (q.dims()[3] as f64).sqrt().recip();
    let scores = q.mul_scalar(scale).matmul(k.transpose());
    softmax(precision.widen(scores), 3)
}

fn attend_with_f32_softmax(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    precision: Precision,
) -> Tensor<4> {
    precision
        .narrow(attention_weights(q, k, precision))
        .matmul(v)
}
