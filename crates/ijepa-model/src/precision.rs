//! Which number type the matrix products use.

use burn::tensor::{Device, FloatDType, Tensor};
use serde::{Deserialize, Serialize};

/// The number type of matrix products and the activations between them.
///
/// Weights, residual stream, norms, softmax and loss are f32 whatever the choice: Burn has no
/// autocast, so this is the one place that decides where a narrower type is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit throughout.
    #[default]
    F32,
    /// bfloat16 matrix products.
    Bf16,
}

impl Precision {
    /// Whether `device` can compute in this precision.
    pub fn is_supported(self, device: &Device) -> bool {
        self == Self::F32 || device.supports_dtype(burn::tensor::DType::BF16)
    }

    /// `x` in the type of matrix products.
    pub(crate) fn narrow<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::F32 => x,
            Self::Bf16 => x.cast(FloatDType::BF16),
        }
    }

    /// `x` in f32.
    pub(crate) fn widen<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::F32 => x,
            Self::Bf16 => x.cast(FloatDType::F32),
        }
    }
}
