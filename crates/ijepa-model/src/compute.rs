//! How networks are computed: number type, kernels, and what is kept for the backward pass.

use burn::{
    nn::{LayerNorm, Linear},
    tensor::{Bool, Device, FloatDType, Tensor},
};
use ijepa_kernels::{BlockOptions, BlockParameters, LinearParameters, NormParameters, reference};
use serde::{Deserialize, Serialize};

/// The number type of the operands of matrix products, and on GPUs of the activations between them.
///
/// Weights, residual stream, norms, softmax and loss are f32 whatever the choice: Burn has no
/// autocast, so this is the one place that decides where a narrower type is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit throughout.
    #[default]
    F32,
    /// bfloat16 matrix products, summed in f32.
    Bf16,
    /// For features, not for training: products with the weights of blocks of numbers of 8 bits,
    /// each row of activations and each column of weights with a scale of its own; the rest as
    /// [`Bf16`](Self::Bf16).
    #[serde(skip_deserializing)]
    Int8,
}

impl Precision {
    /// As recipes and command lines write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// Whether `device` can compute in this precision. On a CPU that takes the backend `flex`, bf16
    /// takes AVX512-BF16 and int8 AVX512-VNNI. Where it cannot, `flex` computes products in f32, and
    /// other backends fail.
    pub fn is_supported(self, device: &Device) -> bool {
        match self {
            Self::F32 => true,
            Self::Bf16 => ijepa_kernels::has_bf16_products(device),
            Self::Int8 => ijepa_kernels::has_int8_products(device),
        }
    }

    /// The type to cast to before a matrix product, if it is not that of the weights.
    fn dtype(self) -> Option<FloatDType> {
        match self {
            Self::F32 => None,
            Self::Bf16 | Self::Int8 => Some(FloatDType::BF16),
        }
    }
}

/// Which implementation computes the operations that have a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kernels {
    /// Fused operations with gradients of their own ([`ijepa_kernels`]).
    #[default]
    Fused,
    /// Burn's elementary operations, differentiated by Burn.
    Reference,
}

/// How a network is computed; the results agree within rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Compute {
    /// Number type of matrix products.
    pub precision: Precision,
    /// Fused kernels or Burn's own operations.
    pub kernels: Kernels,
    /// Keep only the input of each block for the backward pass and compute the rest again
    /// (activation checkpointing): about a third more work for a tenth of the memory.
    pub recompute: bool,
}

impl From<Precision> for Compute {
    fn from(precision: Precision) -> Self {
        Self {
            precision,
            ..Self::default()
        }
    }
}

/// Weight and bias of a layer.
pub(crate) fn linear_parameters(layer: &Linear) -> LinearParameters {
    let bias = layer.bias.as_ref().expect("every layer has a bias");
    LinearParameters {
        weight: layer.weight.val(),
        bias: bias.val(),
    }
}

/// Scale and offset of a norm.
pub(crate) fn norm_parameters(norm: &LayerNorm) -> NormParameters {
    let beta = norm.beta.as_ref().expect("every norm has an offset");
    NormParameters {
        gamma: norm.gamma.val(),
        beta: beta.val(),
    }
}

impl Compute {
    /// `x W + b` with the product in the chosen precision, the result in f32.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, tokens, inputs]`
    /// - output: `[batch, tokens, outputs]`
    pub(crate) fn linear(self, layer: &Linear, x: Tensor<3>) -> Tensor<3> {
        let parameters = linear_parameters(layer);
        self.affine(x, parameters.weight, parameters.bias)
    }

    /// As [`linear`](Self::linear), of bare tensors: `weight` is `[inputs, outputs]`.
    pub(crate) fn affine(self, x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<3> {
        let linear = match self.kernels {
            Kernels::Fused => ijepa_kernels::linear,
            Kernels::Reference => reference::linear,
        };
        linear(x, weight, bias, self.precision.dtype())
    }

    /// `gelu(x W + b)`, the product computed as [`linear`](Self::linear) is.
    pub(crate) fn linear_gelu(self, layer: &Linear, x: Tensor<3>) -> Tensor<3> {
        let LinearParameters { weight, bias } = linear_parameters(layer);
        let bias_gelu = match self.kernels {
            Kernels::Fused => ijepa_kernels::bias_gelu,
            Kernels::Reference => reference::bias_gelu,
        };
        let no_bias = bias.zeros_like();
        bias_gelu(self.affine(x, weight, no_bias), bias)
    }

    /// Multi-head self-attention of queries, keys and values, `[batch, tokens, 3 * dim]`; a mask
    /// is computed by Burn's operations.
    pub(crate) fn attention(
        self,
        qkv: Tensor<3>,
        num_heads: usize,
        mask: Option<Tensor<4, Bool>>,
    ) -> Tensor<3> {
        let dtype = self.precision.dtype();
        match (self.kernels, mask) {
            (Kernels::Fused, None) => ijepa_kernels::attention(qkv, num_heads, dtype),
            (_, mask) => reference::attention(qkv, num_heads, mask, dtype),
        }
    }

    /// As [`attention`](Self::attention), for the queries from token `first` on only.
    pub(crate) fn attention_from(
        self,
        first: usize,
        qkv: Tensor<3>,
        num_heads: usize,
    ) -> Tensor<3> {
        let dtype = self.precision.dtype();
        match self.kernels {
            Kernels::Fused => ijepa_kernels::attention_from(first, qkv, num_heads, dtype),
            Kernels::Reference => {
                let tokens = qkv.dims()[1];
                let mixed = reference::attention(qkv, num_heads, None, dtype);
                mixed.narrow(1, first, tokens - first)
            }
        }
    }

    /// Layer norm over the features; `epsilon` is added to the variance.
    pub(crate) fn layer_norm(self, norm: &LayerNorm, epsilon: f64, x: Tensor<3>) -> Tensor<3> {
        let layer_norm = match self.kernels {
            Kernels::Fused => ijepa_kernels::layer_norm,
            Kernels::Reference => reference::layer_norm,
        };
        let parameters = norm_parameters(norm);
        layer_norm(x, parameters.gamma, parameters.beta, epsilon)
    }

    /// How blocks with `num_heads` heads are computed; `epsilon` is that of their norms.
    pub(crate) fn block_options(self, num_heads: usize, epsilon: f64) -> BlockOptions {
        BlockOptions {
            num_heads,
            epsilon,
            compute_dtype: self.precision.dtype(),
            int8: self.precision == Precision::Int8,
            recompute: self.recompute,
            branch_factors: None,
            outputs_from: 0,
        }
    }

    /// A pre-norm transformer block; with a mask by Burn's operations.
    pub(crate) fn block(
        self,
        x: Tensor<3>,
        parameters: BlockParameters,
        options: BlockOptions,
        mask: Option<Tensor<4, Bool>>,
    ) -> Tensor<3> {
        match (self.kernels, mask) {
            (Kernels::Fused, None) => ijepa_kernels::transformer_block(x, parameters, options),
            (_, mask) => reference::transformer_block(x, parameters, options, mask),
        }
    }
}
