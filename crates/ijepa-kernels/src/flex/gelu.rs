//! `gelu(x + bias)` and its gradient.

use std::f32::consts::FRAC_1_SQRT_2;

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::Shape,
};

use super::{
    buffer::{BackwardRows, contiguous, for_backward_rows, from_vec, map_rows, values},
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

#[inline(always)]
fn activate(x: f32, bias: f32) -> f32 {
    let x = x + bias;
    x * cdf(x)
}

/// In the memory of `x` if nothing else refers to it.
pub(super) fn biased_gelu(x: FlexTensor, bias: &FlexTensor) -> FlexTensor {
    map_rows(x, values(&contiguous(bias)), activate)
}

/// The backward pass of some rows.
struct Backward<'a> {
    rows: BackwardRows<'a>,
    bias: &'a [f32],
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run(self) {
        let dim = self.bias.len();
        let BackwardRows {
            x,
            grad,
            output,
            sums,
            ..
        } = self.rows;
        let rows = grad
            .chunks_exact_mut(dim)
            .zip(x.chunks_exact(dim))
            .zip(output.chunks_exact_mut(dim));
        for ((grad, x), output) in rows {
            let inputs = x.iter().zip(self.bias);
            let outputs = grad.iter_mut().zip(output).zip(sums.iter_mut());
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
    let bias = contiguous(bias);
    let bias = values(&bias);
    // SAFETY: the kernel writes every row of the output.
    let (output, sums) = unsafe {
        for_backward_rows(x, &mut grad, bias.len(), |rows| {
            vectorized(Backward { rows, bias });
        })
    };
    BiasGeluGradients {
        x: grad,
        bias: from_vec(sums, Shape::new([bias.len()])),
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
