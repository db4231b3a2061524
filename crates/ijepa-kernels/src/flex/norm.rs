//! Layer norm and its gradient.

use std::mem::MaybeUninit;

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::Shape,
};

use super::{
    buffer::{BackwardRows, build_from_rows, contiguous, for_backward_rows, from_vec, values},
    simd::{Kernel, sum, sum2, vectorized},
};
use crate::primitives::{NormGradients, NormTensors, Optional};

/// Mean of a row, and 1 over its standard deviation.
#[inline(always)]
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = sum(row, |x| x) / count;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / count;
    (mean, (variance + epsilon).sqrt().recip())
}

pub(super) fn norm(
    x: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f32,
) -> FlexTensor {
    let (gamma, beta) = (contiguous(gamma), contiguous(beta));
    let (gamma, beta) = (values(&gamma), values(&beta));
    // SAFETY: the kernel writes every row.
    unsafe {
        build_from_rows(x, gamma.len(), |output, inputs| {
            vectorized(Normalize {
                output,
                inputs,
                gamma,
                beta,
                epsilon,
            });
        })
    }
}

/// The norm of every row.
struct Normalize<'a> {
    output: &'a mut [MaybeUninit<f32>],
    inputs: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f32,
}

impl Kernel for Normalize<'_> {
    #[inline(always)]
    fn run(self) {
        let dim = self.gamma.len();
        let rows = self.output.chunks_exact_mut(dim);
        for (output, x) in rows.zip(self.inputs.chunks_exact(dim)) {
            let (mean, scale) = moments(x, self.epsilon);
            let affine = self.gamma.iter().zip(self.beta);
            for ((output, x), (gamma, beta)) in output.iter_mut().zip(x).zip(affine) {
                output.write((x - mean) * scale * gamma + beta);
            }
        }
    }
}

/// The backward pass of some rows; the sums are those of gamma, then those of beta.
struct Backward<'a> {
    rows: BackwardRows<'a>,
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f32,
    /// All rows of it, added to the gradient of `x`.
    residual: Option<&'a [f32]>,
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run(self) {
        let dim = self.gamma.len();
        let BackwardRows {
            start,
            x,
            grad,
            output,
            sums,
        } = self.rows;
        let (gamma_sum, beta_sum) = sums.split_at_mut(dim);
        let rows = grad
            .chunks_exact_mut(dim)
            .zip(x.chunks_exact(dim))
            .zip(output.chunks_exact_mut(dim));
        for (index, ((grad, x), output)) in rows.enumerate() {
            let (mean, scale) = moments(x, self.epsilon);
            let affine = self.gamma.iter().zip(self.beta);
            let sums = gamma_sum.iter_mut().zip(beta_sum.iter_mut());
            let row = output.iter_mut().zip(x).zip(grad.iter_mut());
            for (((output, x), grad), ((gamma, beta), (gamma_sum, beta_sum))) in
                row.zip(affine.zip(sums))
            {
                let standard = (x - mean) * scale;
                output.write(standard * gamma + beta);
                *gamma_sum += *grad * standard;
                *beta_sum += *grad;
                *grad *= gamma;
            }
            let mean_grad = sum(grad, |g| g) / dim as f32;
            let slope = sum2(grad, x, |g, x| g * (x - mean)) * scale / dim as f32;
            for (grad, x) in grad.iter_mut().zip(x) {
                *grad = scale * (*grad - mean_grad - (x - mean) * scale * slope);
            }
            if let Some(residual) = self.residual {
                let residual = &residual[start + index * dim..][..dim];
                for (grad, residual) in grad.iter_mut().zip(residual) {
                    *grad += residual;
                }
            }
        }
    }
}

/// The gradient of `x` takes the memory of `grad`.
pub(super) fn norm_backward(
    x: &FlexTensor,
    norm: &NormTensors<Flex>,
    epsilon: f32,
    mut grad: FlexTensor,
    residual: Optional<Flex>,
) -> NormGradients<Flex> {
    let (gamma, beta) = (contiguous(&norm.gamma), contiguous(&norm.beta));
    let (gamma, beta) = (values(&gamma), values(&beta));
    let residual = match &residual {
        Optional::Some(residual) => Some(contiguous(residual)),
        Optional::None => None,
    };
    let residual = residual.as_ref().map(values);
    let dim = gamma.len();
    // SAFETY: the kernel writes every row of the output.
    let (output, mut sums) = unsafe {
        for_backward_rows(x, &mut grad, 2 * dim, |rows| {
            vectorized(Backward {
                rows,
                gamma,
                beta,
                epsilon,
                residual,
            });
        })
    };
    let beta_sums = sums.split_off(dim);
    NormGradients {
        x: grad,
        norm: NormTensors {
            gamma: from_vec(sums, Shape::new([dim])),
            beta: from_vec(beta_sums, Shape::new([dim])),
        },
        output,
    }
}
