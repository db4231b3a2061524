//! What a backend computes: every operation and the pieces of its gradient.
//!
//! Which backend runs an operation is found at run time, from the device of its tensors.

#[cfg(feature = "fusion")]
mod specs;

#[cfg(feature = "fusion")]
use burn::{backend::fusion::custom::TensorSpec, tensor::Shape};
use burn::{
    backend::{Backend, ExtensionType, backend_extension, tensor::FloatTensor},
    tensor::FloatDType,
};

use crate::{
    block::{self, BlockOptions, BlockTensors},
    list::Tensors,
    plain,
    update::{AdamWRule, AdamWTensors},
};
#[cfg(feature = "fusion")]
use specs::{mixed_spec, narrow_spec};

/// Scale and offset of a norm, `[features]`, or their gradients.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) struct NormTensors<B: Backend> {
    pub(crate) gamma: FloatTensor<B>,
    pub(crate) beta: FloatTensor<B>,
}

/// Weight `[inputs, outputs]` and bias `[outputs]` of a linear map, or their gradients.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct LinearTensors<B: Backend> {
    pub(crate) weight: FloatTensor<B>,
    pub(crate) bias: FloatTensor<B>,
}

/// A tensor, if there is one.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) enum Optional<B: Backend> {
    Some(FloatTensor<B>),
    None,
}

/// Queries, keys and values of all tokens, each by head, `[batch, tokens, 3 * dim]`, and their bias if
/// it is still to be added.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) struct Projected<B: Backend> {
    pub(crate) product: FloatTensor<B>,
    #[extension_type]
    pub(crate) bias: Optional<B>,
}

impl<B: Backend> Projected<B> {
    /// What has its bias.
    pub(crate) fn whole(product: FloatTensor<B>) -> Self {
        let bias = Optional::None;
        Self { product, bias }
    }
}

/// Gradients of a layer norm, and its output, which the backward pass computes on the way.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) struct NormGradients<B: Backend> {
    /// With respect to the input, plus the residual gradient if there is one.
    pub(crate) x: FloatTensor<B>,
    #[extension_type]
    pub(crate) norm: NormTensors<B>,
    /// The output of the forward pass.
    pub(crate) output: FloatTensor<B>,
}

/// The sum that ends a branch, and its layer norm.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) struct NormedSum<B: Backend> {
    pub(crate) sum: FloatTensor<B>,
    pub(crate) normed: FloatTensor<B>,
}

/// Gradients of a layer norm past which a residual goes, and sums over all rows, `[features]`.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) struct SummedNormGradients<B: Backend> {
    #[extension_type]
    pub(crate) gradients: NormGradients<B>,
    /// Of the residual gradient.
    pub(crate) residual_sums: FloatTensor<B>,
    /// Of the gradient with respect to the input.
    pub(crate) x_sums: FloatTensor<B>,
}

/// Gradients of `gelu(x + bias)`, and its output.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) struct BiasGeluGradients<B: Backend> {
    pub(crate) x: FloatTensor<B>,
    pub(crate) bias: FloatTensor<B>,
    /// The output of the forward pass.
    pub(crate) output: FloatTensor<B>,
}

/// The formulas, by default in Burn's operations; a backend overrides what it does better.
///
/// Tensors are `[.., features]` with any leading dimensions unless said otherwise; weights are
/// `[inputs, outputs]`. Products are told the type of their operands, `None` for that of the
/// tensors, which are [narrowed](Self::narrow) to it before. With Burn's fusion a kernel is one opaque operation of its stream, whose
/// output the attribute describes, and a default is its parts.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
    Autodiff,
    Fusion: cfg(feature = "fusion"),
)]
pub(crate) trait Primitives: Backend {
    /// `x` as products in `dtype` take it: in that type, unless they round it themselves.
    #[fusion(meta = |x, dtype| narrow_spec(x, dtype))]
    fn narrow(x: FloatTensor<Self>, dtype: Option<FloatDType>) -> FloatTensor<Self> {
        plain::narrow::<Self>(x, dtype)
    }

    /// Every tensor [narrowed](Self::narrow).
    #[fusion(meta = |x, dtype| x.iter().map(|x| narrow_spec(x, &Some(*dtype))).collect())]
    fn narrow_all(#[extension_type] x: Tensors<Self>, dtype: FloatDType) -> Tensors<Self> {
        plain::narrow_all::<Self>(x, dtype)
    }

    /// `x W`.
    #[fusion(default)]
    fn product(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        let _ = dtype;
        plain::product::<Self>(x, weight)
    }

    /// Gradient of `x W` with respect to `W`.
    #[fusion(default)]
    fn product_weight_backward(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        let _ = dtype;
        plain::product_weight_backward::<Self>(x, grad)
    }

    /// `x W + bias`.
    #[fusion(default)]
    fn affine(
        x: FloatTensor<Self>,
        #[extension_type] linear: LinearTensors<Self>,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        let _ = dtype;
        plain::affine::<Self>(x, linear)
    }

    /// `x W + bias` for [`mix`](Self::mix), which adds the bias where that costs less.
    #[fusion(default)]
    fn projected(
        x: FloatTensor<Self>,
        #[extension_type] linear: LinearTensors<Self>,
        dtype: Option<FloatDType>,
    ) -> Projected<Self> {
        Projected {
            product: Self::product(x, linear.weight, dtype),
            bias: Optional::Some(linear.bias),
        }
    }

    /// `residual + x + bias` in the type of `residual`; `x` may be narrower.
    #[fusion(dtype = residual, shape = residual)]
    fn add_onto(
        residual: FloatTensor<Self>,
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        plain::add_onto::<Self>(residual, x, bias)
    }

    /// [`add_onto`](Self::add_onto) and the [`norm`](Self::norm) of the sum.
    #[fusion(meta = |residual, _x, _bias, _norm, _epsilon, dtype| NormedSumMetadata {
        sum: residual.clone(),
        normed: narrow_spec(residual, dtype),
    })]
    fn add_onto_and_norm(
        residual: FloatTensor<Self>,
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        #[extension_type] norm: NormTensors<Self>,
        epsilon: f64,
        dtype: Option<FloatDType>,
    ) -> NormedSum<Self> {
        plain::add_onto_and_norm::<Self>(residual, x, bias, norm, epsilon, dtype)
    }

    /// `residual + x W + bias` in the type of `residual`.
    #[fusion(default)]
    fn affine_onto(
        residual: FloatTensor<Self>,
        x: FloatTensor<Self>,
        #[extension_type] linear: LinearTensors<Self>,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        let product = Self::product(x, linear.weight, dtype);
        Self::add_onto(residual, product, linear.bias)
    }

    /// [`affine_onto`](Self::affine_onto) and the [`norm`](Self::norm) of the sum.
    #[fusion(default)]
    fn affine_onto_and_norm(
        residual: FloatTensor<Self>,
        x: FloatTensor<Self>,
        #[extension_type] linear: LinearTensors<Self>,
        #[extension_type] norm: NormTensors<Self>,
        epsilon: f64,
        dtype: Option<FloatDType>,
    ) -> NormedSum<Self> {
        let product = Self::product(x, linear.weight, dtype);
        Self::add_onto_and_norm(residual, product, linear.bias, norm, epsilon, dtype)
    }

    /// `x W + bias`, added to `residual` if there is one, of `x` and `W` rounded to 8 bits; backends
    /// without such products compute it in `dtype`.
    #[fusion(default)]
    fn affine_int8(
        #[extension_type] residual: Optional<Self>,
        x: FloatTensor<Self>,
        #[extension_type] linear: LinearTensors<Self>,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        match residual {
            Optional::Some(residual) => Self::affine_onto(residual, x, linear, dtype),
            Optional::None => Self::affine(x, linear, dtype),
        }
    }

    /// The sum over all leading dimensions: the gradient with respect to a bias.
    #[fusion(default)]
    fn column_sums(x: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::column_sums::<Self>(x)
    }

    /// Layer norm over the last dimension, [narrowed](Self::narrow).
    #[fusion(meta = |x, _norm, _epsilon, dtype| narrow_spec(x, dtype))]
    fn norm(
        x: FloatTensor<Self>,
        #[extension_type] norm: NormTensors<Self>,
        epsilon: f64,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        plain::norm::<Self>(x, norm, epsilon, dtype)
    }

    /// Backward pass of [`norm`](Self::norm), whose `grad` may be narrower than `x`; `residual` is
    /// added to the gradient of `x`.
    #[fusion(meta = |x, norm, _epsilon, _grad, _residual, dtype| NormGradientsMetadata {
        x: x.clone(),
        norm: norm.clone(),
        output: narrow_spec(x, dtype),
    })]
    fn norm_backward(
        x: FloatTensor<Self>,
        #[extension_type] norm: NormTensors<Self>,
        epsilon: f64,
        grad: FloatTensor<Self>,
        #[extension_type] residual: Optional<Self>,
        dtype: Option<FloatDType>,
    ) -> NormGradients<Self> {
        plain::norm_backward::<Self>(x, norm, epsilon, grad, residual, dtype)
    }

    /// [`norm_backward`](Self::norm_backward) with sums over rows in the type of the norm's
    /// parameters.
    #[fusion(meta = |x, norm, _epsilon, _grad, _residual, dtype| SummedNormGradientsMetadata {
        gradients: NormGradientsMetadata {
            x: x.clone(),
            norm: norm.clone(),
            output: narrow_spec(x, dtype),
        },
        residual_sums: norm.gamma.clone(),
        x_sums: norm.gamma.clone(),
    })]
    fn norm_backward_and_sums(
        x: FloatTensor<Self>,
        #[extension_type] norm: NormTensors<Self>,
        epsilon: f64,
        grad: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        dtype: Option<FloatDType>,
    ) -> SummedNormGradients<Self> {
        plain::norm_backward_and_sums::<Self>(x, norm, epsilon, grad, residual, dtype)
    }

    /// `gelu(x + bias)` with the exact (erf) GELU; `x` may be narrower than `bias`.
    #[fusion(dtype = x, shape = x)]
    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        plain::biased_gelu::<Self>(x, bias)
    }

    /// Backward pass of [`biased_gelu`](Self::biased_gelu).
    #[fusion(meta = |x, bias, _grad| BiasGeluGradientsMetadata {
        x: x.clone(),
        bias: bias.clone(),
        output: x.clone(),
    })]
    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> BiasGeluGradients<Self> {
        plain::biased_gelu_backward::<Self>(x, bias, grad)
    }

    /// Self-attention for the queries from token `first` on, giving `[batch, tokens - first, dim]`.
    #[fusion(meta = |qkv, _num_heads, first, _dtype| mixed_spec(&qkv.product, first))]
    fn mix(
        #[extension_type] qkv: Projected<Self>,
        num_heads: usize,
        first: usize,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        let _ = dtype;
        plain::mix::<Self>(plain::whole::<Self>(qkv), num_heads, first)
    }

    /// Backward pass of [`mix`](Self::mix), whose output is `mixed`.
    #[fusion(meta = |qkv, _mixed, _grad, _num_heads, _first, _dtype| qkv.product.clone())]
    fn mix_backward(
        #[extension_type] qkv: Projected<Self>,
        mixed: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        num_heads: usize,
        first: usize,
        dtype: Option<FloatDType>,
    ) -> FloatTensor<Self> {
        let _ = dtype;
        let qkv = plain::whole::<Self>(qkv);
        plain::mix_backward::<Self>(qkv, mixed, grad, num_heads, first)
    }

    /// The pre-norm transformer block.
    #[fusion(default)]
    fn block(
        x: FloatTensor<Self>,
        #[extension_type] tensors: BlockTensors<Self>,
        options: BlockOptions,
    ) -> FloatTensor<Self> {
        block::infer::<Self>(x, &tensors, &options)
    }

    /// One AdamW update of every parameter and its two moments.
    #[fusion(meta = |tensors, _gradients, _rules| tensors.clone())]
    fn adamw(
        #[extension_type] tensors: AdamWTensors<Self>,
        #[extension_type] gradients: Tensors<Self>,
        rules: Vec<AdamWRule>,
    ) -> AdamWTensors<Self> {
        plain::adamw::<Self>(tensors, gradients, &rules)
    }

    /// `a x + b y` of every tensor, given `[a, b]`.
    #[fusion(meta = |x, _y, _weights| x.clone())]
    fn blend(
        #[extension_type] x: Tensors<Self>,
        #[extension_type] y: Tensors<Self>,
        weights: [f64; 2],
    ) -> Tensors<Self> {
        plain::blend::<Self>(x, y, weights)
    }

    /// Every tensor times `factor`, `[1]`.
    #[fusion(meta = |x, _factor| x.clone())]
    fn scale(#[extension_type] x: Tensors<Self>, factor: FloatTensor<Self>) -> Tensors<Self> {
        plain::scale::<Self>(x, factor)
    }

    /// The sum of the squares of all elements of all tensors, `[1]`.
    #[fusion(meta = |x| TensorSpec::new(Shape::new([1]), x[0].dtype))]
    fn squared_norm(#[extension_type] x: Tensors<Self>) -> FloatTensor<Self> {
        plain::squared_norm::<Self>(x)
    }
}

#[cfg(feature = "ndarray")]
impl Primitives for burn::backend::NdArray {}
