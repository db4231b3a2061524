//! Layer norm and its gradient.

use std::mem::MaybeUninit;

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::Shape,
};
use rayon::prelude::*;

use super::{
    buffer::{
        build, build_from_rows, contiguous, from_vec, make_own, rows_and_features, rows_per_task,
        sum_rows, values,
    },
    simd::{Kernel, sum, sum2, vectorized},
};
use crate::primitives::NormGradients;

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
    let (x, gamma, beta) = (contiguous(x), contiguous(gamma), contiguous(beta));
    let (gamma, beta) = (values(&gamma), values(&beta));
    build_from_rows(&x, gamma.len(), |output, inputs| {
        vectorized(Normalize {
            output,
            inputs,
            gamma,
            beta,
            epsilon,
        });
    })
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

/// The rows of one task of the backward pass; overwrites `grad` by the gradient of `x`.
struct Task<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f32,
    residual: Option<&'a [f32]>,
    grad: &'a mut [f32],
    output: &'a mut [MaybeUninit<f32>],
    /// Sums for gamma, then for beta.
    sums: &'a mut [f32],
}

impl Kernel for Task<'_> {
    #[inline(always)]
    fn run(self) {
        let dim = self.gamma.len();
        let (gamma_sum, beta_sum) = self.sums.split_at_mut(dim);
        let rows = self
            .grad
            .chunks_exact_mut(dim)
            .zip(self.x.chunks_exact(dim))
            .zip(self.output.chunks_exact_mut(dim));
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
                let residual = &residual[index * dim..(index + 1) * dim];
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
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f32,
    mut grad: FlexTensor,
    residual: Option<FlexTensor>,
) -> NormGradients<Flex> {
    let (rows, dim) = rows_and_features(x);
    let (x, gamma, beta) = (contiguous(x), contiguous(gamma), contiguous(beta));
    let residual = residual.as_ref().map(contiguous);
    let block = rows_per_task(dim) * dim;
    let mut partial = vec![0.0; rows.div_ceil(rows_per_task(dim)) * 2 * dim];
    let grads = make_own(&mut grad);
    let output = build(x.layout().shape().clone(), |output| {
        let tasks = values(&x)
            .par_chunks(block)
            .zip(grads.par_chunks_mut(block))
            .zip(output.par_chunks_mut(block))
            .zip(partial.par_chunks_mut(2 * dim))
            .enumerate();
        tasks.for_each(|(number, (((x, grad), output), sums))| {
            let here = number * block..number * block + x.len();
            vectorized(Task {
                x,
                gamma: values(&gamma),
                beta: values(&beta),
                epsilon,
                residual: residual.as_ref().map(|residual| &values(residual)[here]),
                grad,
                output,
                sums,
            });
        });
    });
    let mut gamma_grad = sum_rows(&partial, 2 * dim);
    let beta_grad = gamma_grad.split_off(dim);
    NormGradients {
        x: grad,
        gamma: from_vec(gamma_grad, Shape::new([dim])),
        beta: from_vec(beta_grad, Shape::new([dim])),
        output,
    }
}
