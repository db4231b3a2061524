//! The pre-norm transformer block that encoder and predictor share.

use burn::{
    module::Module,
    nn::{LayerNorm, Linear},
    tensor::{Bool, Tensor},
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

impl Mlp {
    /// # Shapes
    ///
    /// - `x` and output: `[batch, tokens, dim]`, f32
    pub fn forward(&self, x: Tensor<3>, compute: Compute) -> Tensor<3> {
        compute.linear(&self.fc2, compute.linear_gelu(&self.fc1, x))
    }
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
///
/// ```
/// use burn::tensor::{Bool, Device, Tensor};
/// use ijepa_model::{BlockConfig, Initialization, Initializer, Pass};
///
/// let device = Device::flex();
/// let config = BlockConfig {
///     dim: 8,
///     num_heads: 2,
///     hidden_dim: 16,
///     depth: 3,
///     drop_path: 0.0,
///     layer_norm_eps: 1e-6,
/// };
/// let init = Initialization { seed: 7, ..Default::default() };
/// let blocks = config.init(&mut Initializer::new(init, &device));
/// // Every token sees itself and those before it.
/// let causal = Tensor::<2, Bool>::tril_mask([5, 5], 0, &device).bool_not();
/// let mut pass = Pass { mask: Some(causal.unsqueeze()), ..Default::default() };
/// let mut x = Tensor::ones([1, 5, 8], &device);
/// for block in &blocks {
///     x = block.forward(x, &mut pass);
/// }
/// assert_eq!(x.dims(), [1, 5, 8]);
/// ```
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
    #[module(skip)]
    epsilon: f64,
}

/// Sizes of the blocks of one network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockConfig {
    /// Token width.
    pub dim: usize,
    /// Attention heads, a divisor of `dim`.
    pub num_heads: usize,
    /// Hidden width of the MLPs.
    pub hidden_dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Drop-path rate of the last block; rates rise linearly from 0 over the depth.
    pub drop_path: f64,
    /// Added to the variance by all norms.
    pub layer_norm_eps: f64,
}

impl BlockConfig {
    /// All blocks of the network.
    ///
    /// # Panics
    ///
    /// Panics if `num_heads` is 0 or no divisor of `dim`.
    pub fn init(&self, init: &mut Initializer<'_>) -> Vec<Block> {
        (0..self.depth)
            .map(|index| self.block(index, init))
            .collect()
    }

    fn block(&self, index: usize, init: &mut Initializer<'_>) -> Block {
        let layer = index + 1;
        Block {
            norm1: init.layer_norm(self.dim, self.layer_norm_eps),
            attn: Attention::new(self.dim, self.num_heads, layer, init),
            norm2: init.layer_norm(self.dim, self.layer_norm_eps),
            mlp: Mlp {
                fc1: init.linear(self.dim, self.hidden_dim),
                fc2: init.branch_output(self.hidden_dim, self.dim, layer),
            },
            drop_rate: drop_rate(self.drop_path, index, self.depth),
            epsilon: self.layer_norm_eps,
        }
    }
}

/// Rate of block `index` of `depth`: 0 for the first, `drop_path` for the last.
fn drop_rate(drop_path: f64, index: usize, depth: usize) -> f64 {
    drop_path * index as f64 / (depth - 1).max(1) as f64
}

/// How blocks are run.
#[derive(Debug, Default)]
pub struct Pass<'a> {
    /// How they are computed; with a mask by Burn's own operations.
    pub compute: Compute,
    /// Which keys a query may attend to, see [`Attention::forward`]; `None`: all.
    pub mask: Option<Tensor<4, Bool>>,
    /// In training, the random numbers that drop residual branches.
    pub depth: Option<&'a mut StochasticDepth>,
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
    ///
    /// # Panics
    ///
    /// Panics if shapes do not fit.
    pub fn forward(&self, x: Tensor<3>, pass: &mut Pass<'_>) -> Tensor<3> {
        self.forward_from(0, x, pass)
    }

    /// As [`forward`](Self::forward), for the tokens from `first` on only: the others are seen but
    /// nothing is computed for them.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, dim]`, f32
    /// - output: `[batch, tokens - first, dim]`
    ///
    /// # Panics
    ///
    /// Panics if shapes do not fit or there is no token `first`.
    pub fn forward_from(&self, first: usize, x: Tensor<3>, pass: &mut Pass<'_>) -> Tensor<3> {
        let options = BlockOptions {
            branch_factors: pass.branch_factors(x.dims()[0], self.drop_rate),
            outputs_from: first,
            ..pass
                .compute
                .block_options(self.attn.num_heads(), self.epsilon)
        };
        let mask = pass.mask.clone();
        pass.compute.block(x, self.parameters(), options, mask)
    }

    /// Queries, keys and values of the block's input: the first half of a block whose tokens see
    /// others than those it is computed for, see [`finish`](Self::finish).
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, dim]`, f32
    /// - output: `[batch, tokens, 3 * dim]`
    pub(crate) fn qkv(&self, x: Tensor<3>, compute: Compute) -> Tensor<3> {
        let normed = compute.layer_norm(&self.norm1, self.epsilon, x);
        compute.linear(&self.attn.qkv, normed)
    }

    /// The second half: the block's output for `x`, whose tokens are those of `qkv` from `first` on.
    ///
    /// Operation by operation, so the backward pass keeps more than that of a whole block.
    ///
    /// # Shapes
    ///
    /// - `x` and output: `[batch, tokens - first, dim]`, f32
    /// - `qkv`: `[batch, tokens, 3 * dim]`
    pub(crate) fn finish(
        &self,
        x: Tensor<3>,
        first: usize,
        qkv: Tensor<3>,
        compute: Compute,
    ) -> Tensor<3> {
        let mixed = compute.attention_from(first, qkv, self.attn.num_heads());
        let x = x + compute.linear(&self.attn.proj, mixed);
        let normed = compute.layer_norm(&self.norm2, self.epsilon, x.clone());
        x + self.mlp.forward(normed, compute)
    }

    /// The attention weights for the block's input, in f32.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, dim]`
    /// - `mask` and output: as [`Attention::weights`]
    pub fn attention_weights(&self, x: Tensor<3>, mask: Option<Tensor<4, Bool>>) -> Tensor<4> {
        let normed = Compute::default().layer_norm(&self.norm1, self.epsilon, x);
        self.attn.weights(normed, mask)
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
