//! The pre-norm transformer block that encoder and predictor share.

use burn::{
    module::Module,
    nn::{LayerNorm, Linear},
    tensor::Tensor,
};

use ijepa_kernels::{BlockOptions, BlockParameters};

use crate::{
    attention::Attention,
    compute::{Compute, linear_parameters, norm_parameters},
    drop_path::StochasticDepth,
    init::Initializer,
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
        Block {
            norm1: init.layer_norm(self.dim),
            attn: Attention::new(self.dim, self.num_heads, layer, init),
            norm2: init.layer_norm(self.dim),
            mlp: Mlp {
                fc1: init.linear(self.dim, self.hidden_dim),
                fc2: init.branch_output(self.hidden_dim, self.dim, layer),
            },
            drop_rate: drop_rate(self.drop_path, index, self.depth),
        }
    }
}

/// Rate of block `index` of `depth`: 0 for the first, `drop_path` for the last.
fn drop_rate(drop_path: f64, index: usize, depth: usize) -> f64 {
    drop_path * index as f64 / (depth - 1).max(1) as f64
}

/// How a network is run: how it is computed and, in training, the random depth.
#[derive(Debug)]
pub(crate) struct Pass<'a> {
    pub(crate) compute: Compute,
    /// Added to the variance by all norms.
    pub(crate) epsilon: f64,
    pub(crate) depth: Option<&'a mut StochasticDepth>,
}

impl Pass<'_> {
    /// Factors of both branches for each sample, if any may be dropped.
    fn branch_factors(&mut self, batch: usize, drop_rate: f64) -> Option<[Vec<f32>; 2]> {
        let depth = self.depth.as_mut().filter(|_| drop_rate > 0.0)?;
        Some([(); 2].map(|()| depth.factors(batch, drop_rate)))
    }
}

impl Block {
    /// Changes the rate at which the branches of block `index` of `depth` are dropped.
    pub(crate) fn set_drop_path(&mut self, drop_path: f64, index: usize, depth: usize) {
        self.drop_rate = drop_rate(drop_path, index, depth);
    }

    /// # Shapes
    ///
    /// - `x` and output: `[batch, tokens, dim]`, f32
    pub(crate) fn forward(&self, x: Tensor<3>, pass: &mut Pass<'_>) -> Tensor<3> {
        self.forward_from(0, x, pass)
    }

    /// As [`forward`](Self::forward), for the tokens from `first` on only: the others are seen but
    /// nothing is computed for them.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, dim]`, f32
    /// - output: `[batch, tokens - first, dim]`
    pub(crate) fn forward_from(
        &self,
        first: usize,
        x: Tensor<3>,
        pass: &mut Pass<'_>,
    ) -> Tensor<3> {
        let options = BlockOptions {
            branch_factors: pass.branch_factors(x.dims()[0], self.drop_rate),
            outputs_from: first,
            ..pass
                .compute
                .block_options(self.attn.num_heads(), pass.epsilon)
        };
        pass.compute.block(x, self.parameters(), options)
    }

    /// The attention weights for the block's input, `[batch, num_heads, tokens, tokens]`.
    pub(crate) fn attention_weights(&self, x: Tensor<3>, epsilon: f64) -> Tensor<4> {
        let normed = Compute::default().layer_norm(&self.norm1, epsilon, x);
        self.attn.weights(normed)
    }

    fn parameters(&self) -> BlockParameters {
        BlockParameters {
            norm1: norm_parameters(&self.norm1),
            qkv: linear_parameters(&self.attn.qkv),
            proj: linear_parameters(&self.attn.proj),
            norm2: norm_parameters(&self.norm2),
            fc1: linear_parameters(&self.mlp.fc1),
            fc2: linear_parameters(&self.mlp.fc2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::drop_rate;

    #[test]
    fn rates_rise_in_a_line_from_none_to_that_of_the_last_block() {
        let rates = |depth| (0..depth).map(move |index| drop_rate(0.5, index, depth));
        assert_eq!(rates(5).collect::<Vec<_>>(), [0.0, 0.125, 0.25, 0.375, 0.5]);
        assert_eq!(rates(1).collect::<Vec<_>>(), [0.0]);
    }
}
