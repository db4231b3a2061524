//! The operations on tensors.

use burn::{backend::Dispatch, tensor::Tensor};

use crate::{
    block::{BlockOptions, BlockTensors},
    extension::FusedOps,
};

/// Parameters of a transformer block; weights are `[inputs, outputs]`.
#[derive(Debug, Clone)]
pub struct BlockParameters {
    /// Scale of the first norm, `[dim]`.
    pub norm1_gamma: Tensor<1>,
    /// Offset of the first norm, `[dim]`.
    pub norm1_beta: Tensor<1>,
    /// Queries, keys and values in this order, each by head: `[dim, 3 * dim]`.
    pub qkv_weight: Tensor<2>,
    /// `[3 * dim]`.
    pub qkv_bias: Tensor<1>,
    /// Output projection of the attention, `[dim, dim]`.
    pub proj_weight: Tensor<2>,
    /// `[dim]`.
    pub proj_bias: Tensor<1>,
    /// Scale of the second norm, `[dim]`.
    pub norm2_gamma: Tensor<1>,
    /// Offset of the second norm, `[dim]`.
    pub norm2_beta: Tensor<1>,
    /// First layer of the MLP, `[dim, hidden]`.
    pub fc1_weight: Tensor<2>,
    /// `[hidden]`.
    pub fc1_bias: Tensor<1>,
    /// Second layer of the MLP, `[hidden, dim]`.
    pub fc2_weight: Tensor<2>,
    /// `[dim]`.
    pub fc2_bias: Tensor<1>,
}

impl BlockParameters {
    /// Panics unless all shapes belong to a block of width `dim`.
    fn check(&self, dim: usize) {
        let hidden = self.fc1_bias.dims()[0];
        let weights = [
            ("qkv_weight", &self.qkv_weight, [dim, 3 * dim]),
            ("proj_weight", &self.proj_weight, [dim, dim]),
            ("fc1_weight", &self.fc1_weight, [dim, hidden]),
            ("fc2_weight", &self.fc2_weight, [hidden, dim]),
        ];
        for (name, weight, expected) in weights {
            assert_eq!(weight.dims(), expected, "{name} of a block {dim} wide");
        }
        let vectors = [
            ("norm1_gamma", &self.norm1_gamma, dim),
            ("norm1_beta", &self.norm1_beta, dim),
            ("qkv_bias", &self.qkv_bias, 3 * dim),
            ("proj_bias", &self.proj_bias, dim),
            ("norm2_gamma", &self.norm2_gamma, dim),
            ("norm2_beta", &self.norm2_beta, dim),
            ("fc2_bias", &self.fc2_bias, dim),
        ];
        for (name, vector, expected) in vectors {
            assert_eq!(vector.dims(), [expected], "{name} of a block {dim} wide");
        }
    }

    fn into_dispatch(self) -> BlockTensors<Dispatch> {
        BlockTensors {
            norm1_gamma: self.norm1_gamma.into_dispatch(),
            norm1_beta: self.norm1_beta.into_dispatch(),
            qkv_weight: self.qkv_weight.into_dispatch(),
            qkv_bias: self.qkv_bias.into_dispatch(),
            proj_weight: self.proj_weight.into_dispatch(),
            proj_bias: self.proj_bias.into_dispatch(),
            norm2_gamma: self.norm2_gamma.into_dispatch(),
            norm2_beta: self.norm2_beta.into_dispatch(),
            fc1_weight: self.fc1_weight.into_dispatch(),
            fc1_bias: self.fc1_bias.into_dispatch(),
            fc2_weight: self.fc2_weight.into_dispatch(),
            fc2_bias: self.fc2_bias.into_dispatch(),
        }
    }
}

/// `x W + bias`.
///
/// # Shapes
///
/// - `x`: `[.., inputs]`
/// - `weight`: `[inputs, outputs]`
/// - `bias`: `[outputs]`
/// - output: `[.., outputs]`
///
/// # Panics
///
/// Panics if the shapes do not fit.
pub fn linear<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<D> {
    let [inputs, outputs] = weight.dims();
    assert_eq!(x.dims()[D - 1], inputs, "features of a linear map");
    assert_eq!(bias.dims(), [outputs], "bias of a linear map");
    Tensor::from_dispatch(Dispatch::fused_linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// Layer norm over the last dimension, with the biased variance.
///
/// # Shapes
///
/// - `x` and output: `[.., dim]`
/// - `gamma`, `beta`: `[dim]`
///
/// # Panics
///
/// Panics if the shapes do not fit.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let dim = x.dims()[D - 1];
    assert_eq!(
        (gamma.dims(), beta.dims()),
        ([dim], [dim]),
        "parameters of a layer norm"
    );
    Tensor::from_dispatch(Dispatch::fused_layer_norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
    ))
}

/// `gelu(x + bias)` with `gelu(x) = x (1 + erf(x / sqrt(2))) / 2` and its exact gradient.
///
/// # Shapes
///
/// - `x` and output: `[.., dim]`
/// - `bias`: `[dim]`
///
/// # Panics
///
/// Panics if the shapes do not fit.
pub fn bias_gelu<const D: usize>(x: Tensor<D>, bias: Tensor<1>) -> Tensor<D> {
    assert_eq!(bias.dims(), [x.dims()[D - 1]], "bias of a GELU");
    Tensor::from_dispatch(Dispatch::fused_bias_gelu(
        x.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// Multi-head self-attention, `softmax(q k^T / sqrt(head_dim)) v`, without a mask.
///
/// # Shapes
///
/// - `qkv`: `[batch, tokens, 3 * dim]`: queries, keys and values in this order, each by head
/// - output: `[batch, tokens, dim]`
///
/// # Panics
///
/// Panics if `num_heads` does not divide `dim`.
pub fn attention(qkv: Tensor<3>, num_heads: usize) -> Tensor<3> {
    let triple = qkv.dims()[2];
    assert!(
        triple.is_multiple_of(3 * num_heads),
        "{triple} features are not queries, keys and values of {num_heads} heads"
    );
    Tensor::from_dispatch(Dispatch::fused_attention(qkv.into_dispatch(), num_heads))
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))` (Dosovitskiy et al. 2021).
///
/// # Shapes
///
/// - `x`: `[batch, tokens, dim]`
/// - output: `[batch, tokens - outputs_from, dim]`
///
/// # Panics
///
/// Panics if the shapes do not fit, `num_heads` does not divide `dim` or no output is wanted.
pub fn transformer_block(
    x: Tensor<3>,
    parameters: BlockParameters,
    options: BlockOptions,
) -> Tensor<3> {
    let [_, tokens, dim] = x.dims();
    assert!(
        options.outputs_from < tokens,
        "outputs from token {} of {tokens}",
        options.outputs_from
    );
    assert!(
        dim.is_multiple_of(options.num_heads),
        "{} heads do not divide {dim} features",
        options.num_heads
    );
    parameters.check(dim);
    Tensor::from_dispatch(Dispatch::fused_block(
        x.into_dispatch(),
        parameters.into_dispatch(),
        options,
    ))
}
