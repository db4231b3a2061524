//! Vectorised kernels for the flex backend: f32 tensors, all cores, no copies for views.
//!
//! With a narrower type for products tensors stay f32, and bf16 operands are made where a product
//! reads them.

#![expect(
    unsafe_code,
    reason = "new values are not cleared first, and threads write parts that interleave"
)]

mod affine;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod buffer;
mod gelu;
#[cfg(feature = "heads")]
mod heads;
#[cfg(feature = "maps")]
mod maps;
mod matrix;
#[cfg(target_arch = "x86_64")]
mod narrow;
mod norm;
mod onto;
mod pieces;
mod product;
mod simd;
mod update;

use burn::{
    backend::{Flex, flex::FlexTensor, ops::FloatTensorOps},
    tensor::{DType, FloatDType},
};

pub(crate) use product::{multiplies_bf16, multiplies_int8};

use product::Operands;

use crate::{
    list::Tensors,
    plain::{self, or_plain},
    primitives::{
        BiasGeluGradients, LinearTensors, NormGradients, NormTensors, NormedSum, Optional,
        Primitives, Projected,
    },
    update::{AdamWRule, AdamWTensors},
};

/// Whether all tensors are f32; other types take the plain way.
fn all_f32<const N: usize>(tensors: [&FlexTensor; N]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

impl Primitives for Flex {
    /// Products round their operands themselves.
    fn narrow(x: FlexTensor, dtype: Option<FloatDType>) -> FlexTensor {
        let fits = all_f32([&x]) && dtype == Some(FloatDType::BF16);
        or_plain!(fits, narrow(x, dtype));
        x
    }

    fn product(x: FlexTensor, weight: FlexTensor, dtype: Option<FloatDType>) -> FlexTensor {
        or_plain!(all_f32([&x, &weight]), product(x, weight));
        affine::affine(&x, &weight, None, Operands::of(dtype))
    }

    fn product_weight_backward(
        x: FlexTensor,
        grad: FlexTensor,
        dtype: Option<FloatDType>,
    ) -> FlexTensor {
        or_plain!(all_f32([&x, &grad]), product_weight_backward(x, grad));
        affine::product_weight_backward(&x, &grad, Operands::of(dtype))
    }

    fn affine(x: FlexTensor, linear: LinearTensors<Self>, dtype: Option<FloatDType>) -> FlexTensor {
        let LinearTensors { weight, bias } = &linear;
        or_plain!(all_f32([&x, weight, bias]), affine(x, linear));
        affine::affine(&x, weight, Some(bias), Operands::of(dtype))
    }

    fn projected(
        x: FlexTensor,
        linear: LinearTensors<Self>,
        dtype: Option<FloatDType>,
    ) -> Projected<Self> {
        Projected::whole(Self::affine(x, linear, dtype))
    }

    fn affine_onto(
        residual: FlexTensor,
        x: FlexTensor,
        linear: LinearTensors<Self>,
        dtype: Option<FloatDType>,
    ) -> FlexTensor {
        let LinearTensors { weight, bias } = &linear;
        let fits = all_f32([&residual, &x, weight, bias]);
        if !fits {
            let product = Self::product(x, linear.weight, dtype);
            return Self::add_onto(residual, product, linear.bias);
        }
        affine::affine_onto(residual, &x, weight, bias, Operands::of(dtype))
    }

    fn affine_onto_and_norm(
        residual: FlexTensor,
        x: FlexTensor,
        linear: LinearTensors<Self>,
        norm: NormTensors<Self>,
        epsilon: f64,
        dtype: Option<FloatDType>,
    ) -> NormedSum<Self> {
        let sum = Self::affine_onto(residual, x, linear, dtype);
        let normed = Self::norm(sum.clone(), norm, epsilon, dtype);
        NormedSum { sum, normed }
    }

    fn affine_int8(
        residual: Optional<Self>,
        x: FlexTensor,
        linear: LinearTensors<Self>,
        dtype: Option<FloatDType>,
    ) -> FlexTensor {
        let operands = match multiplies_int8() {
            true => Operands::Int8,
            false => Operands::of(dtype),
        };
        let LinearTensors { weight, bias } = &linear;
        let fits = all_f32([&x, weight, bias]);
        match residual {
            Optional::Some(residual) if fits && all_f32([&residual]) => {
                affine::affine_onto(residual, &x, weight, bias, operands)
            }
            Optional::Some(residual) => Self::affine_onto(residual, x, linear, dtype),
            Optional::None if fits => affine::affine(&x, weight, Some(bias), operands),
            Optional::None => Self::affine(x, linear, dtype),
        }
    }

    fn column_sums(x: FlexTensor) -> FlexTensor {
        or_plain!(all_f32([&x]), column_sums(x));
        affine::column_sums(&x)
    }

    fn norm(
        x: FlexTensor,
        norm: NormTensors<Self>,
        epsilon: f64,
        dtype: Option<FloatDType>,
    ) -> FlexTensor {
        let NormTensors { gamma, beta } = &norm;
        or_plain!(all_f32([&x, gamma, beta]), norm(x, norm, epsilon, dtype));
        Self::narrow(norm::norm(&x, gamma, beta, epsilon as f32), dtype)
    }

    fn norm_backward(
        x: FlexTensor,
        norm: NormTensors<Self>,
        epsilon: f64,
        grad: FlexTensor,
        residual: Optional<Self>,
        dtype: Option<FloatDType>,
    ) -> NormGradients<Self> {
        let fits = all_f32([&x, &norm.gamma, &norm.beta, &grad])
            && match &residual {
                Optional::Some(residual) => all_f32([residual]),
                Optional::None => true,
            };
        or_plain!(fits, norm_backward(x, norm, epsilon, grad, residual, dtype));
        let gradients = norm::norm_backward(&x, &norm, epsilon as f32, grad, residual);
        NormGradients {
            output: Self::narrow(gradients.output, dtype),
            ..gradients
        }
    }

    fn biased_gelu(x: FlexTensor, bias: FlexTensor) -> FlexTensor {
        or_plain!(all_f32([&x, &bias]), biased_gelu(x, bias));
        gelu::biased_gelu(x, &bias)
    }

    fn biased_gelu_backward(
        x: FlexTensor,
        bias: FlexTensor,
        grad: FlexTensor,
    ) -> BiasGeluGradients<Self> {
        let fits = all_f32([&x, &bias, &grad]);
        or_plain!(fits, biased_gelu_backward(x, bias, grad));
        gelu::biased_gelu_backward(&x, &bias, grad)
    }

    fn mix(
        qkv: Projected<Self>,
        num_heads: usize,
        first: usize,
        dtype: Option<FloatDType>,
    ) -> FlexTensor {
        let qkv = plain::whole::<Self>(qkv);
        or_plain!(all_f32([&qkv]), mix(qkv, num_heads, first));
        attention::mix(&qkv, num_heads, first, Operands::of(dtype))
    }

    fn mix_backward(
        qkv: Projected<Self>,
        mixed: FlexTensor,
        grad: FlexTensor,
        num_heads: usize,
        first: usize,
        dtype: Option<FloatDType>,
    ) -> FlexTensor {
        let qkv = plain::whole::<Self>(qkv);
        let fits = all_f32([&qkv, &mixed, &grad]);
        or_plain!(fits, mix_backward(qkv, mixed, grad, num_heads, first));
        let operands = Operands::of(dtype);
        attention::mix_backward(&qkv, &mixed, &grad, num_heads, first, operands)
    }

    fn adamw(
        tensors: AdamWTensors<Self>,
        gradients: Tensors<Self>,
        rules: Vec<AdamWRule>,
    ) -> AdamWTensors<Self> {
        tensors.map(gradients, &rules, |tensors, gradient, rule| {
            let fits = all_f32(tensors.each_ref()) && all_f32([&gradient]);
            or_plain!(fits, adamw_one(tensors, gradient, rule));
            update::adamw(tensors, &gradient, rule)
        })
    }

    fn blend(x: Tensors<Self>, y: Tensors<Self>, weights: [f64; 2]) -> Tensors<Self> {
        x.zip_map(y, |x, y| {
            or_plain!(all_f32([&x, &y]), blend_one(x, y, weights));
            update::blend(x, &y, weights)
        })
    }

    fn scale(x: Tensors<Self>, factor: FlexTensor) -> Tensors<Self> {
        or_plain!(all_f32([&factor]), scale(x, factor));
        let factor = update::number(&factor);
        let scaled = x.0.into_iter().map(|x| match all_f32([&x]) {
            true => update::scale(x, factor),
            false => Self::float_mul_scalar(x, factor.into()),
        });
        Tensors(scaled.collect())
    }

    fn squared_norm(x: Tensors<Self>) -> FlexTensor {
        plain::total::<Self>(x, |x| {
            or_plain!(all_f32([&x]), squared_norm_one(x));
            update::squared_norm(&x)
        })
    }
}
