//! The pre-norm transformer block that encoder and predictor share.

use burn::{
    module::Module,
    nn::{LayerNorm, Linear},
    tensor::Tensor,
};

use crate::{
    attention::Attention, drop_path::StochasticDepth, gelu::gelu, init::Initializer,
    linear::linear, precision::Precision,
};

/// Two linear layers with an exact GELU between.
#[derive(Module, Debug)]
pub struct Mlp {
    /// Expands.
    pub fc1: Linear,
    /// Contracts.
    pub fc2: Linear,
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
pub struct Block {
    /// Norm of the attention branch.
    pub norm1: LayerNorm,
    /// Attention branch.
    pub attn: Attention,
    /// Norm of the MLP branch.
    pub norm2: LayerNorm,
    /// MLP branch.
    pub mlp: Mlp,
    #[module(skip)]
    drop_rate: f64,
}

/// Sizes of the blocks of one network.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockConfig {
    pub(crate) dim: usize,
    pub(crate) num_heads: usize,
    pub(crate) hidden_dim: usize,
    pub(crate) depth: usize,
    /// Drop-path rate of the last block; rates rise linearly from 0 over the depth.
    pub(crate) drop_path: f64,
}

impl BlockConfig {
    /// All blocks of the network.
    pub(crate) fn init(&self, init: &mut Initializer<'_>) -> Vec<Block> {
        (0..self.depth)
            .map(|index| self.block(index, init))
            .collect()
    }

    fn block(&self, index: usize, init: &mut Initializer<'_>) -> Block {
        let layer = index + 1;
        let steps = (self.depth - 1).max(1) as f64;
        Block {
            norm1: init.layer_norm(self.dim),
            attn: Attention::new(self.dim, self.num_heads, layer, init),
            norm2: init.layer_norm(self.dim),
            mlp: Mlp {
                fc1: init.linear(self.dim, self.hidden_dim),
                fc2: init.branch_output(self.hidden_dim, self.dim, layer),
            },
            drop_rate: self.drop_path * index as f64 / steps,
        }
    }
}

/// How a network is run: number type and, in training, the random depth.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) precision: Precision,
    pub(crate) depth: Option<&'a mut StochasticDepth>,
}

impl Pass<'_> {
    /// Adds a branch to the residual stream, or drops it for some samples.
    fn add(&mut self, x: Tensor<3>, branch: Tensor<3>, drop_rate: f64) -> Tensor<3> {
        let branch = self.precision.widen(branch);
        match &mut self.depth {
            Some(depth) if drop_rate > 0.0 => x + depth.drop(branch, drop_rate),
            _ => x + branch,
        }
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>, precision: Precision) -> Tensor<3> {
        linear(&self.fc2, gelu(linear(&self.fc1, x, precision)), precision)
    }
}

impl Block {
    /// # Shapes
    ///
    /// - `x` and output: `[batch, tokens, dim]`, f32
    pub(crate) fn forward(&self, x: Tensor<3>, pass: &mut Pass<'_>) -> Tensor<3> {
        let precision = pass.precision;
        let branch = self.attn.forward(self.norm1.forward(x.clone()), precision);
        let x = pass.add(x, branch, self.drop_rate);
        let branch = self.mlp.forward(self.norm2.forward(x.clone()), precision);
        pass.add(x, branch, self.drop_rate)
    }

    /// The attention weights for the block's input, `[batch, num_heads, tokens, tokens]`.
    pub(crate) fn attention_weights(&self, x: Tensor<3>) -> Tensor<4> {
        self.attn.weights(self.norm1.forward(x))
    }
}
