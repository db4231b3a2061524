//! `gelu(x + bias)` and its gradient.

use std::{f32::consts::FRAC_1_SQRT_2, mem::MaybeUninit};

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::Shape,
};
use rayon::prelude::*;

use super::{
    buffer::{
        build, build_from_rows, contiguous, for_row_blocks, from_vec, make_own, own,
        rows_and_features, rows_per_task, sum_rows, values,
    },
    simd::{Kernel, erf, exp, vectorized},
};
use crate::primitives::BiasGeluGradients;

/// `1 / sqrt(2 pi)`.
const DENSITY_AT_ZERO: f32 = 0.398_942_3;

/// The normal distribution function.
#[inline(always)]
fn cdf(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * FRAC_1_SQRT_2))
}

/// In the memory of `x` if nothing else refers to it.
pub(super) fn biased_gelu(mut x: FlexTensor, bias: &FlexTensor) -> FlexTensor {
    let bias = contiguous(bias);
    let bias = values(&bias);
    if let Some(values) = own(&mut x) {
        for_row_blocks(values, bias.len(), |rows| {
            vectorized(ActivateInPlace { rows, bias });
        });
        return x;
    }
    build_from_rows(&contiguous(&x), bias.len(), |output, inputs| {
        vectorized(Activate {
            output,
            inputs,
            bias,
        });
    })
}

/// `gelu(x + bias)` over rows of `x`.
struct ActivateInPlace<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
}

impl Kernel for ActivateInPlace<'_> {
    #[inline(always)]
    fn run(self) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            for (value, bias) in row.iter_mut().zip(self.bias) {
                let x = *value + bias;
                *value = x * cdf(x);
            }
        }
    }
}

/// `gelu(inputs + bias)`.
struct Activate<'a> {
    output: &'a mut [MaybeUninit<f32>],
    inputs: &'a [f32],
    bias: &'a [f32],
}

impl Kernel for Activate<'_> {
    #[inline(always)]
    fn run(self) {
        let dim = self.bias.len();
        let rows = self.output.chunks_exact_mut(dim);
        for (output, inputs) in rows.zip(self.inputs.chunks_exact(dim)) {
            for ((output, x), bias) in output.iter_mut().zip(inputs).zip(self.bias) {
                let x = x + bias;
                output.write(x * cdf(x));
            }
        }
    }
}

/// The rows of one task of the backward pass; overwrites `grad` by the gradient of `x`.
struct Task<'a> {
    x: &'a [f32],
    bias: &'a [f32],
    grad: &'a mut [f32],
    output: &'a mut [MaybeUninit<f32>],
    bias_grad: &'a mut [f32],
}

impl Kernel for Task<'_> {
    #[inline(always)]
    fn run(self) {
        let dim = self.bias.len();
        let rows = self
            .grad
            .chunks_exact_mut(dim)
            .zip(self.x.chunks_exact(dim))
            .zip(self.output.chunks_exact_mut(dim));
        for ((grad, x), output) in rows {
            let inputs = x.iter().zip(self.bias);
            let outputs = grad.iter_mut().zip(output).zip(self.bias_grad.iter_mut());
            for ((x, bias), ((grad, output), sum)) in inputs.zip(outputs) {
                let x = x + bias;
                let cdf = cdf(x);
                output.write(x * cdf);
                *grad *= cdf + x * DENSITY_AT_ZERO * exp(-0.5 * x * x);
                *sum += *grad;
            }
        }
    }
}

/// The gradient of `x` takes the memory of `grad`.
pub(super) fn biased_gelu_backward(
    x: &FlexTensor,
    bias: &FlexTensor,
    mut grad: FlexTensor,
) -> BiasGeluGradients<Flex> {
    let (rows, dim) = rows_and_features(x);
    let (x, bias) = (contiguous(x), contiguous(bias));
    let block = rows_per_task(dim) * dim;
    let mut partial = vec![0.0; rows.div_ceil(rows_per_task(dim)) * dim];
    let grads = make_own(&mut grad);
    let output = build(x.layout().shape().clone(), |output| {
        let tasks = values(&x)
            .par_chunks(block)
            .zip(grads.par_chunks_mut(block))
            .zip(output.par_chunks_mut(block))
            .zip(partial.par_chunks_mut(dim));
        tasks.for_each(|(((x, grad), output), bias_grad)| {
            vectorized(Task {
                x,
                bias: values(&bias),
                grad,
                output,
                bias_grad,
            });
        });
    });
    let bias = from_vec(sum_rows(&partial, dim), Shape::new([dim]));
    BiasGeluGradients {
        x: grad,
        bias,
        output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the normal distribution function from tables.
    #[test]
    fn distribution_function_is_the_normal_one() {
        for (x, expected) in [
            (-6.0, 0.0),
            (-1.0, 0.158_655_25),
            (0.0, 0.5),
            (0.5, 0.691_462_46),
            (2.0, 0.977_249_87),
            (9.0, 1.0),
        ] {
            assert!((cdf(x) - expected).abs() < 3e-7, "{x}: {}", cdf(x));
        }
    }
}
