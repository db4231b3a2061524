//! Which backend runs an operation is found at run time, from the device of its tensors.

use burn::backend::{Backend, backend_extension, tensor::FloatTensor};

use crate::{
    block::{self, BlockOptions, BlockTensors},
    primitives::Primitives,
};

/// The operations with a gradient of their own.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff,
)]
pub(crate) trait FusedOps: Backend {
    /// `x W + bias`.
    fn fused_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    /// Layer norm over the last dimension.
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// `gelu(x + bias)`.
    fn fused_bias_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Self-attention of packed queries, keys and values.
    fn fused_attention(qkv: FloatTensor<Self>, num_heads: usize) -> FloatTensor<Self>;

    /// The pre-norm transformer block.
    fn fused_block(
        x: FloatTensor<Self>,
        #[extension_type] tensors: BlockTensors<Self>,
        options: BlockOptions,
    ) -> FloatTensor<Self>;
}

/// Runs the operations of a backend without gradients.
macro_rules! run_on {
    ($backend:ty) => {
        impl FusedOps for $backend {
            fn fused_linear(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                <Self as Primitives>::affine(x, weight, Some(bias))
            }

            fn fused_layer_norm(
                x: FloatTensor<Self>,
                gamma: FloatTensor<Self>,
                beta: FloatTensor<Self>,
                epsilon: f64,
            ) -> FloatTensor<Self> {
                <Self as Primitives>::norm(x, gamma, beta, epsilon)
            }

            fn fused_bias_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
                <Self as Primitives>::biased_gelu(x, bias)
            }

            fn fused_attention(qkv: FloatTensor<Self>, num_heads: usize) -> FloatTensor<Self> {
                <Self as Primitives>::mix(qkv, num_heads, 0)
            }

            fn fused_block(
                x: FloatTensor<Self>,
                tensors: BlockTensors<Self>,
                options: BlockOptions,
            ) -> FloatTensor<Self> {
                block::infer::<Self>(x, &tensors, &options)
            }
        }
    };
}

#[cfg(feature = "flex")]
run_on!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
run_on!(burn::backend::NdArray);
#[cfg(feature = "cube")]
run_on!(burn::backend::Cube);

#[cfg(feature = "ndarray")]
impl Primitives for burn::backend::NdArray {}
