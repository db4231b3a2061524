//! Kernels for the backends that run on CubeCL: CUDA, ROCm, Metal, Vulkan and WebGPU.
//!
//! Everything is computed in f32, whatever the type in memory. What does not fit a kernel, such
//! as f64 or rows of many thousands, takes the plain way.

#![expect(
    unsafe_code,
    reason = "launches without bounds checks, each with the reason why it needs none"
)]

mod attention;
mod columns;
mod gelu;
mod heads;
mod lanes;
mod norm;
mod softmax;
mod update;

#[cfg(feature = "fusion")]
use burn::{backend::fusion::custom::TensorSpec, tensor::Shape};
use burn::{
    backend::{Backend, Cube, backend_extension, ops::FloatTensorOps, tensor::FloatTensor},
    tensor::DType,
};
use burn_cubecl::{CubeBackend, cubecl::ir::ElemType, tensor::CubeTensor};

use crate::{
    plain,
    primitives::{BiasGeluGradients, NormGradients, Primitives},
    update::{AdamWRule, AdamWTensors},
};
use lanes::is_narrow_float;

/// The type of an element in CubeCL.
fn elem(tensor: &CubeTensor) -> ElemType {
    burn::backend::cubecl::dtype_to_storage_type(tensor.dtype)
}

/// Whether there is something to compute, on tensors of types that the kernels take.
fn fit<const N: usize>(tensors: [&CubeTensor; N]) -> bool {
    tensors
        .iter()
        .all(|tensor| is_narrow_float(tensor.dtype) && tensor.meta.num_elements() > 0)
}

/// Whether all tensors have the type of the first.
fn alike<const N: usize>(tensors: [&CubeTensor; N]) -> bool {
    tensors
        .iter()
        .all(|tensor| tensor.dtype == tensors[0].dtype)
}

/// Whether all tensors are f32.
fn all_f32<const N: usize>(tensors: [&CubeTensor; N]) -> bool {
    fit(tensors) && tensors.iter().all(|tensor| tensor.dtype == DType::F32)
}

/// Shape and type of the attention's output for `qkv`.
#[cfg(feature = "fusion")]
fn mixed_spec(qkv: &TensorSpec, _num_heads: &usize, first: &usize) -> TensorSpec {
    let [batch, tokens, triple] = qkv.shape.dims::<3>();
    TensorSpec::new(Shape::new([batch, tokens - first, triple / 3]), qkv.dtype)
}

/// The kernels; with Burn's fusion they wait in its stream like any other operation.
#[backend_extension(Cube: cfg(feature = "cube"), Fusion: cfg(feature = "fusion"))]
pub(crate) trait CubeOps: Backend {
    /// Layer norm.
    #[fusion(dtype = x, shape = x)]
    fn cube_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self>;

    /// Gradients of input, gamma and beta, and the output.
    #[fusion(meta = |x, gamma, beta, _epsilon, _grad| {
        (x.clone(), gamma.clone(), beta.clone(), x.clone())
    })]
    #[expect(
        clippy::type_complexity,
        reason = "the extension returns tuples of tensors"
    )]
    fn cube_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        grad: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );

    /// The same, with `residual` added to the gradient of the input.
    #[fusion(meta = |x, gamma, beta, _epsilon, _grad, _residual| {
        (x.clone(), gamma.clone(), beta.clone(), x.clone())
    })]
    #[expect(
        clippy::type_complexity,
        reason = "the extension returns tuples of tensors"
    )]
    fn cube_norm_backward_onto(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        grad: FloatTensor<Self>,
        residual: FloatTensor<Self>,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );

    /// `gelu(x + bias)`.
    #[fusion(dtype = x, shape = x)]
    fn cube_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradients of `x` and `bias`, and the output.
    #[fusion(meta = |x, bias, _grad| (x.clone(), bias.clone(), x.clone()))]
    fn cube_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Self-attention for the queries from token `first` on.
    #[fusion(meta = mixed_spec)]
    fn cube_mix(qkv: FloatTensor<Self>, num_heads: usize, first: usize) -> FloatTensor<Self>;

    /// Its gradient.
    #[fusion(meta = |qkv, _mixed, _grad, _num_heads, _first| qkv.clone())]
    fn cube_mix_backward(
        qkv: FloatTensor<Self>,
        mixed: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        num_heads: usize,
        first: usize,
    ) -> FloatTensor<Self>;

    /// The new parameter and moments.
    #[fusion(meta = |parameter, first, second, _gradient, _rule| {
        (parameter.clone(), first.clone(), second.clone())
    })]
    fn cube_adamw(
        parameter: FloatTensor<Self>,
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        rule: AdamWRule,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// `x + weight * (towards - x)`.
    #[fusion(dtype = x, shape = x)]
    fn cube_lerp(
        x: FloatTensor<Self>,
        towards: FloatTensor<Self>,
        weight: f64,
    ) -> FloatTensor<Self>;

    /// The sum of squares.
    #[fusion(meta = |x| TensorSpec::new(Shape::new([1]), x.dtype))]
    fn cube_squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl CubeOps for CubeBackend {
    fn cube_norm(x: CubeTensor, gamma: CubeTensor, beta: CubeTensor, epsilon: f64) -> CubeTensor {
        let fused = (fit([&x, &gamma, &beta]) && alike([&gamma, &beta]))
            .then(|| norm::norm(&x, &gamma, &beta, epsilon));
        fused
            .flatten()
            .unwrap_or_else(|| plain::norm::<Self>(x, gamma, beta, epsilon))
    }

    fn cube_norm_backward(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        epsilon: f64,
        grad: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        norm_backward(x, gamma, beta, epsilon, grad, None)
    }

    fn cube_norm_backward_onto(
        x: CubeTensor,
        gamma: CubeTensor,
        beta: CubeTensor,
        epsilon: f64,
        grad: CubeTensor,
        residual: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        norm_backward(x, gamma, beta, epsilon, grad, Some(residual))
    }

    fn cube_gelu(x: CubeTensor, bias: CubeTensor) -> CubeTensor {
        if fit([&x, &bias]) && alike([&x, &bias]) {
            return gelu::gelu(&x, &bias);
        }
        plain::biased_gelu::<Self>(x, bias)
    }

    fn cube_gelu_backward(
        x: CubeTensor,
        bias: CubeTensor,
        grad: CubeTensor,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        if fit([&x, &bias, &grad]) && alike([&x, &bias, &grad]) {
            return gelu::gelu_backward(&x, &bias, &grad).into();
        }
        let plain = plain::biased_gelu_backward::<Self>(x, bias, grad);
        (plain.x, plain.bias, plain.output)
    }

    fn cube_mix(qkv: CubeTensor, num_heads: usize, first: usize) -> CubeTensor {
        if fit([&qkv]) && softmax::fits(&qkv, qkv.meta.shape()[1]) {
            return attention::mix(&qkv, num_heads, first);
        }
        plain::mix::<Self>(qkv, num_heads, first)
    }

    fn cube_mix_backward(
        qkv: CubeTensor,
        mixed: CubeTensor,
        grad: CubeTensor,
        num_heads: usize,
        first: usize,
    ) -> CubeTensor {
        let usable = fit([&qkv, &grad]) && alike([&qkv, &grad]);
        if usable && softmax::fits(&qkv, qkv.meta.shape()[1]) {
            return attention::mix_backward(&qkv, grad, num_heads, first);
        }
        plain::mix_backward::<Self>(qkv, mixed, grad, num_heads, first)
    }

    fn cube_adamw(
        parameter: CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        gradient: CubeTensor,
        rule: AdamWRule,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        if all_f32([&parameter, &first, &second, &gradient]) {
            return update::adamw([parameter, first, second], gradient, rule).into();
        }
        let tensors = AdamWTensors {
            parameter,
            first,
            second,
        };
        let updated = plain::adamw_update::<Self>(tensors, gradient, rule);
        (updated.parameter, updated.first, updated.second)
    }

    fn cube_lerp(x: CubeTensor, towards: CubeTensor, weight: f64) -> CubeTensor {
        if all_f32([&x, &towards]) {
            return update::lerp(x, towards, weight);
        }
        plain::moved_towards::<Self>(x, towards, weight)
    }

    fn cube_squared_norm(x: CubeTensor) -> CubeTensor {
        if all_f32([&x]) {
            return update::squared_norm(x);
        }
        Self::float_sum(Self::float_mul(x.clone(), x))
    }
}

fn norm_backward(
    x: CubeTensor,
    gamma: CubeTensor,
    beta: CubeTensor,
    epsilon: f64,
    grad: CubeTensor,
    residual: Option<CubeTensor>,
) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
    let residual_fits = residual
        .as_ref()
        .is_none_or(|residual| alike([&x, residual]));
    let usable = fit([&x, &gamma, &beta, &grad]) && alike([&x, &grad]) && alike([&gamma, &beta]);
    let fused = (usable && residual_fits)
        .then(|| norm::norm_backward(&x, &gamma, &beta, epsilon, &grad, residual.as_ref()));
    if let Some(fused) = fused.flatten() {
        return fused.into();
    }
    let plain = plain::norm_backward::<CubeBackend>(x, gamma, beta, epsilon, grad, residual);
    (plain.x, plain.gamma, plain.beta, plain.output)
}

impl Primitives for Cube {
    fn norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        Self::cube_norm(x, gamma, beta, epsilon)
    }

    fn norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        grad: FloatTensor<Self>,
        residual: Option<FloatTensor<Self>>,
    ) -> NormGradients<Self> {
        let (x, gamma, beta, output) = match residual {
            Some(residual) => {
                Self::cube_norm_backward_onto(x, gamma, beta, epsilon, grad, residual)
            }
            None => Self::cube_norm_backward(x, gamma, beta, epsilon, grad),
        };
        NormGradients {
            x,
            gamma,
            beta,
            output,
        }
    }

    fn biased_gelu(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::cube_gelu(x, bias)
    }

    fn biased_gelu_backward(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> BiasGeluGradients<Self> {
        let (x, bias, output) = Self::cube_gelu_backward(x, bias, grad);
        BiasGeluGradients { x, bias, output }
    }

    fn mix(qkv: FloatTensor<Self>, num_heads: usize, first: usize) -> FloatTensor<Self> {
        Self::cube_mix(qkv, num_heads, first)
    }

    fn mix_backward(
        qkv: FloatTensor<Self>,
        mixed: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        num_heads: usize,
        first: usize,
    ) -> FloatTensor<Self> {
        Self::cube_mix_backward(qkv, mixed, grad, num_heads, first)
    }

    fn adamw_update(
        tensors: AdamWTensors<Self>,
        gradient: FloatTensor<Self>,
        rule: AdamWRule,
    ) -> AdamWTensors<Self> {
        let (parameter, first, second) = Self::cube_adamw(
            tensors.parameter,
            tensors.first,
            tensors.second,
            gradient,
            rule,
        );
        AdamWTensors {
            parameter,
            first,
            second,
        }
    }

    fn moved_towards(
        x: FloatTensor<Self>,
        towards: FloatTensor<Self>,
        weight: f64,
    ) -> FloatTensor<Self> {
        Self::cube_lerp(x, towards, weight)
    }

    fn squared_norm(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::cube_squared_norm(x)
    }
}
