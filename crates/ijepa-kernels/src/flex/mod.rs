//! Vectorised kernels for the flex backend: f32, all cores, no copies for views.

mod affine;
mod attention;
mod buffer;
mod conv;
mod gelu;
mod group_norm;
mod heads;
mod norm;
mod product;
mod simd;
mod update;

use burn::{
    backend::{Flex, flex::FlexTensor, ops::FloatTensorOps},
    tensor::DType,
};

use crate::{
    heads::{CrossEntropyTensors, FoldedTensors, HeadRule, HeadStepTensors, SteppedTensors},
    maps::{GroupNormGradients, GroupNormOptions},
    plain,
    primitives::{BiasGeluGradients, NormGradients, Primitives},
    update::{AdamWRule, AdamWTensors},
};

/// Whether all tensors are f32; other types take the plain way.
fn all_f32<const N: usize>(tensors: [&FlexTensor; N]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

impl Primitives for Flex {
    fn affine(x: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>) -> FlexTensor {
        if !all_f32([&x, &weight]) {
            return plain::affine::<Self>(x, weight, bias);
        }
        affine::affine(&x, &weight, bias.as_ref())
    }

    fn affine_onto(
        residual: FlexTensor,
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
    ) -> FlexTensor {
        if !all_f32([&residual, &x, &weight]) {
            let branch = plain::affine::<Self>(x, weight, Some(bias));
            return Self::float_add(residual, branch);
        }
        affine::affine_onto(residual, &x, &weight, &bias)
    }

    fn affine_x_backward(grad: FlexTensor, weight: FlexTensor) -> FlexTensor {
        if !all_f32([&grad, &weight]) {
            return plain::affine::<Self>(grad, weight.transpose(0, 1), None);
        }
        affine::affine(&grad, &weight.transpose(0, 1), None)
    }

    fn affine_weight_backward(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !all_f32([&x, &grad]) {
            return plain::affine_weight_backward::<Self>(x, grad);
        }
        affine::affine_weight_backward(&x, &grad)
    }

    fn bias_backward(grad: FlexTensor) -> FlexTensor {
        if !all_f32([&grad]) {
            return plain::bias_backward::<Self>(grad);
        }
        affine::bias_backward(&grad)
    }

    fn norm(x: FlexTensor, gamma: FlexTensor, beta: FlexTensor, epsilon: f64) -> FlexTensor {
        if !all_f32([&x, &gamma, &beta]) {
            return plain::norm::<Self>(x, gamma, beta, epsilon);
        }
        norm::norm(&x, &gamma, &beta, epsilon as f32)
    }

    fn norm_backward(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
        grad: FlexTensor,
        residual: Option<FlexTensor>,
    ) -> NormGradients<Self> {
        if !all_f32([&x, &gamma, &beta, &grad]) {
            return plain::norm_backward::<Self>(x, gamma, beta, epsilon, grad, residual);
        }
        norm::norm_backward(&x, &gamma, &beta, epsilon as f32, grad, residual)
    }

    fn biased_gelu(x: FlexTensor, bias: FlexTensor) -> FlexTensor {
        if !all_f32([&x, &bias]) {
            return plain::biased_gelu::<Self>(x, bias);
        }
        gelu::biased_gelu(x, &bias)
    }

    fn biased_gelu_backward(
        x: FlexTensor,
        bias: FlexTensor,
        grad: FlexTensor,
    ) -> BiasGeluGradients<Self> {
        if !all_f32([&x, &bias, &grad]) {
            return plain::biased_gelu_backward::<Self>(x, bias, grad);
        }
        gelu::biased_gelu_backward(&x, &bias, grad)
    }

    fn mix(qkv: FlexTensor, num_heads: usize, first: usize) -> FlexTensor {
        if !all_f32([&qkv]) {
            return plain::mix::<Self>(qkv, num_heads, first);
        }
        attention::mix(&qkv, num_heads, first)
    }

    fn mix_backward(
        qkv: FlexTensor,
        mixed: FlexTensor,
        grad: FlexTensor,
        num_heads: usize,
        first: usize,
    ) -> FlexTensor {
        if !all_f32([&qkv, &mixed, &grad]) {
            return plain::mix_backward::<Self>(qkv, mixed, grad, num_heads, first);
        }
        attention::mix_backward(&qkv, &mixed, &grad, num_heads, first)
    }

    fn conv3x3(x: FlexTensor, weight: FlexTensor, bias: Option<FlexTensor>) -> FlexTensor {
        if !all_f32([&x, &weight]) {
            return plain::conv3x3::<Self>(x, weight, bias);
        }
        conv::conv3x3(&x, &weight, bias.as_ref())
    }

    fn conv3x3_weight_backward(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !all_f32([&x, &grad]) {
            return plain::conv3x3_weight_backward::<Self>(x, grad);
        }
        conv::conv3x3_weight_backward(&x, &grad)
    }

    fn group_norm(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        options: GroupNormOptions,
    ) -> FlexTensor {
        if !all_f32([&x, &scale, &shift]) {
            return plain::group_norm::<Self>(x, scale, shift, options);
        }
        group_norm::group_norm(&x, &scale, &shift, options)
    }

    fn group_norm_backward(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        options: GroupNormOptions,
        grad: FlexTensor,
    ) -> GroupNormGradients<Self> {
        if !all_f32([&x, &scale, &shift, &grad]) {
            return plain::group_norm_backward::<Self>(x, scale, shift, options, grad);
        }
        group_norm::group_norm_backward(&x, &scale, &shift, options, grad)
    }

    fn adamw_update(
        tensors: AdamWTensors<Self>,
        gradient: FlexTensor,
        rule: AdamWRule,
    ) -> AdamWTensors<Self> {
        if !all_f32([
            &tensors.parameter,
            &tensors.first,
            &tensors.second,
            &gradient,
        ]) {
            return plain::adamw_update::<Self>(tensors, gradient, rule);
        }
        update::adamw_update(tensors, &gradient, rule)
    }

    fn moved_towards(x: FlexTensor, towards: FlexTensor, weight: f64) -> FlexTensor {
        if !all_f32([&x, &towards]) {
            return plain::moved_towards::<Self>(x, towards, weight);
        }
        update::moved_towards(x, &towards, weight)
    }

    fn squared_norm(x: FlexTensor) -> FlexTensor {
        if !all_f32([&x]) {
            return Self::float_sum(Self::float_mul(x.clone(), x));
        }
        update::squared_norm(&x)
    }

    fn fold(weight: FlexTensor, scale: FlexTensor, offset: FlexTensor) -> FoldedTensors<Self> {
        if !all_f32([&weight, &scale, &offset]) {
            return plain::fold::<Self>(weight, scale, offset);
        }
        heads::fold(&weight, &scale, &offset)
    }

    fn cross_entropy(
        logits: FlexTensor,
        targets: &[u32],
        heads: usize,
    ) -> CrossEntropyTensors<Self> {
        if !all_f32([&logits]) {
            return plain::cross_entropy::<Self>(logits, targets, heads);
        }
        heads::cross_entropy(logits, targets, heads)
    }

    fn add_product(sum: FlexTensor, x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        if !all_f32([&sum, &x, &grad]) {
            return plain::add_product::<Self>(sum, x, grad);
        }
        heads::add_product(sum, &x, &grad)
    }

    fn step_heads(tensors: HeadStepTensors<Self>, rule: HeadRule) -> SteppedTensors<Self> {
        let HeadStepTensors {
            weight,
            momentum,
            product,
            ..
        } = &tensors;
        if !all_f32([weight, momentum, product]) {
            return plain::step_heads::<Self>(tensors, rule);
        }
        heads::step_heads(tensors, rule)
    }
}
