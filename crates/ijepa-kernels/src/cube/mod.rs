//! Kernels for the backends that run on CubeCL: CUDA, ROCm, Metal, Vulkan and WebGPU.
//!
//! Everything is computed in f32, whatever the type in memory. What does not fit a kernel, such
//! as f64 or rows of many thousands, takes the plain way.

#![expect(
    unsafe_code,
    reason = "launches without bounds checks, each with the reason why it needs none"
)]
#![expect(
    clippy::assign_op_pattern,
    clippy::duplicate_underscore_argument,
    reason = "the kernel language has no such operator, and makes arguments of its own"
)]

mod add;
mod attention;
mod cast;
mod columns;
mod gelu;
mod heads;
mod lanes;
mod norm;
mod slots;
mod softmax;
mod squares;
#[cfg(test)]
mod testing;
mod update;

use std::slice::from_ref;

use burn::tensor::{DType, FloatDType};
use burn_cubecl::{CubeBackend, cubecl::ir::ElemType, tensor::CubeTensor};

use crate::{
    list::Tensors,
    plain::{self, or_plain},
    primitives::{
        BiasGeluGradients, NormGradients, NormTensors, NormedSum, Optional, Primitives, Projected,
        SummedNormGradients,
    },
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

/// Whether the kernels write `dtype`.
fn takes(dtype: Option<FloatDType>) -> bool {
    dtype.is_none_or(|dtype| is_narrow_float(dtype.into()))
}

/// Whether all tensors have the type of the first.
fn alike<const N: usize>(tensors: [&CubeTensor; N]) -> bool {
    tensors
        .iter()
        .all(|tensor| tensor.dtype == tensors[0].dtype)
}

/// Whether all tensors of all lists are f32.
fn lists_of_f32<const N: usize>(lists: [&Tensors<CubeBackend>; N]) -> bool {
    let mut tensors = lists.into_iter().flat_map(|list| &list.0);
    tensors.all(|tensor| tensor.dtype == DType::F32)
}

impl Primitives for CubeBackend {
    fn narrow(x: CubeTensor, dtype: Option<FloatDType>) -> CubeTensor {
        match dtype.filter(|&dtype| cast::fits(from_ref(&x), dtype)) {
            Some(dtype) => {
                let narrow = cast::cast(Tensors(vec![x]), dtype).0.pop();
                narrow.expect("a tensor for a tensor")
            }
            None => plain::narrow::<Self>(x, dtype),
        }
    }

    fn narrow_all(x: Tensors<Self>, dtype: FloatDType) -> Tensors<Self> {
        or_plain!(cast::fits(&x.0, dtype), narrow_all(x, dtype));
        cast::cast(x, dtype)
    }

    fn add_onto(residual: CubeTensor, x: CubeTensor, bias: CubeTensor) -> CubeTensor {
        or_plain!(fit([&residual, &x, &bias]), add_onto(residual, x, bias));
        add::add_onto(residual, x, bias)
    }

    fn add_onto_and_norm(
        residual: CubeTensor,
        x: CubeTensor,
        bias: CubeTensor,
        norm: NormTensors<Self>,
        epsilon: f64,
        dtype: Option<FloatDType>,
    ) -> NormedSum<Self> {
        let NormTensors { gamma, beta } = &norm;
        let usable =
            fit([&residual, &x, &bias, gamma, beta]) && alike([&bias, gamma, beta]) && takes(dtype);
        let fused = usable
            .then(|| add::add_norm(&residual, &x, &bias, &norm, epsilon, dtype))
            .flatten();
        fused.unwrap_or_else(|| {
            plain::add_onto_and_norm::<Self>(residual, x, bias, norm, epsilon, dtype)
        })
    }

    fn norm(
        x: CubeTensor,
        norm: NormTensors<Self>,
        epsilon: f64,
        dtype: Option<FloatDType>,
    ) -> CubeTensor {
        let NormTensors { gamma, beta } = &norm;
        let usable = fit([&x, gamma, beta]) && alike([gamma, beta]) && takes(dtype);
        let fused = usable
            .then(|| norm::norm(&x, &norm, epsilon, dtype))
            .flatten();
        fused.unwrap_or_else(|| plain::norm::<Self>(x, norm, epsilon, dtype))
    }

    fn norm_backward(
        x: CubeTensor,
        norm: NormTensors<Self>,
        epsilon: f64,
        grad: CubeTensor,
        residual: Optional<Self>,
        dtype: Option<FloatDType>,
    ) -> NormGradients<Self> {
        let NormTensors { gamma, beta } = &norm;
        let (onto, residual_fits) = match &residual {
            Optional::Some(onto) => (Some(onto), fit([onto]) && alike([&x, onto])),
            Optional::None => (None, true),
        };
        let usable =
            residual_fits && fit([&x, gamma, beta, &grad]) && alike([gamma, beta]) && takes(dtype);
        let fused = usable
            .then(|| norm::norm_backward(&x, &norm, epsilon, &grad, onto, dtype, &[]))
            .flatten();
        fused.unwrap_or_else(|| {
            plain::norm_backward::<Self>(x, norm, epsilon, grad, residual, dtype)
        })
    }

    fn norm_backward_and_sums(
        x: CubeTensor,
        norm: NormTensors<Self>,
        epsilon: f64,
        grad: CubeTensor,
        residual: CubeTensor,
        dtype: Option<FloatDType>,
    ) -> SummedNormGradients<Self> {
        let NormTensors { gamma, beta } = &norm;
        let usable = fit([&x, gamma, beta, &grad, &residual])
            && alike([&x, &residual])
            && alike([gamma, beta])
            && takes(dtype);
        let sums = [(); 2].map(|()| lanes::empty(&x, gamma.meta.shape().clone(), gamma.dtype));
        let onto = Some(&residual);
        let fused = usable
            .then(|| norm::norm_backward(&x, &norm, epsilon, &grad, onto, dtype, &sums))
            .flatten();
        let Some(gradients) = fused else {
            return plain::norm_backward_and_sums::<Self>(x, norm, epsilon, grad, residual, dtype);
        };
        let [residual_sums, x_sums] = sums;
        SummedNormGradients {
            gradients,
            residual_sums,
            x_sums,
        }
    }

    fn biased_gelu(x: CubeTensor, bias: CubeTensor) -> CubeTensor {
        let usable = fit([&x, &bias]);
        or_plain!(usable, biased_gelu(x, bias));
        gelu::gelu(&x, &bias)
    }

    fn biased_gelu_backward(
        x: CubeTensor,
        bias: CubeTensor,
        grad: CubeTensor,
    ) -> BiasGeluGradients<Self> {
        let usable = fit([&x, &bias, &grad]) && alike([&x, &grad]);
        or_plain!(usable, biased_gelu_backward(x, bias, grad));
        gelu::gelu_backward(&x, &bias, &grad)
    }

    fn mix(
        qkv: Projected<Self>,
        num_heads: usize,
        first: usize,
        _dtype: Option<FloatDType>,
    ) -> CubeTensor {
        if attention::fits(&qkv) {
            return attention::mix(&qkv, num_heads, first);
        }
        plain::mix::<Self>(plain::whole::<Self>(qkv), num_heads, first)
    }

    fn mix_backward(
        qkv: Projected<Self>,
        mixed: CubeTensor,
        grad: CubeTensor,
        num_heads: usize,
        first: usize,
        _dtype: Option<FloatDType>,
    ) -> CubeTensor {
        if attention::fits(&qkv) && fit([&grad]) && alike([&qkv.product, &grad]) {
            return attention::mix_backward(&qkv, &grad, num_heads, first);
        }
        let qkv = plain::whole::<Self>(qkv);
        plain::mix_backward::<Self>(qkv, mixed, grad, num_heads, first)
    }

    fn adamw(
        tensors: AdamWTensors<Self>,
        gradients: Tensors<Self>,
        rules: Vec<AdamWRule>,
    ) -> AdamWTensors<Self> {
        let [parameters, firsts] = [&tensors.parameters, &tensors.firsts];
        let usable = lists_of_f32([parameters, firsts, &tensors.seconds, &gradients]);
        or_plain!(usable, adamw(tensors, gradients, &rules));
        update::adamw(tensors, gradients, &rules)
    }

    fn blend(x: Tensors<Self>, y: Tensors<Self>, weights: [f64; 2]) -> Tensors<Self> {
        or_plain!(lists_of_f32([&x, &y]), blend(x, y, weights));
        update::blend(x, y, weights)
    }

    fn scale(x: Tensors<Self>, factor: CubeTensor) -> Tensors<Self> {
        let usable = lists_of_f32([&x]) && factor.dtype == DType::F32;
        or_plain!(usable, scale(x, factor));
        update::scale(x, factor)
    }

    fn squared_norm(x: Tensors<Self>) -> CubeTensor {
        or_plain!(lists_of_f32([&x]), squared_norm(x));
        squares::squared_norm(x)
    }
}
