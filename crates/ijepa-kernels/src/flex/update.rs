//! Optimizer steps: one pass over each weight, in place.

use burn::{backend::flex::FlexTensor, tensor::Shape};
use rayon::prelude::*;

use super::{
    buffer::{TASK, contiguous, from_vec, make_own, values},
    simd::{Kernel, sum, vectorized},
};
use crate::update::AdamWRule;

/// AdamW over pieces of a parameter, its moments and its gradient.
struct AdamW<'a> {
    parameter: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    gradient: &'a [f32],
    rule: AdamWRule,
}

impl Kernel for AdamW<'_> {
    #[inline(always)]
    fn run(self) {
        let [beta_1, beta_2] = self.rule.betas.map(|beta| beta as f32);
        let rest = self.rule.betas.map(|beta| (1.0 - beta) as f32);
        let (decay, eps) = (self.rule.decay as f32, self.rule.eps as f32);
        let step_size = self.rule.step_size as f32;
        let correction = self.rule.second_correction.recip() as f32;
        let moments = self.first.iter_mut().zip(self.second);
        let elements = self.parameter.iter_mut().zip(moments).zip(self.gradient);
        for ((parameter, (first, second)), gradient) in elements {
            *first = beta_1 * *first + rest[0] * gradient;
            *second = beta_2 * *second + rest[1] * gradient * gradient;
            let direction = *first / (second.sqrt() * correction + eps);
            *parameter = *parameter * decay - step_size * direction;
        }
    }
}

/// The new parameter and its new moments.
pub(super) fn adamw(
    [mut parameter, mut first, mut second]: [FlexTensor; 3],
    gradient: &FlexTensor,
    rule: AdamWRule,
) -> [FlexTensor; 3] {
    let gradient = contiguous(gradient);
    make_own(&mut parameter)
        .par_chunks_mut(TASK)
        .zip(make_own(&mut first).par_chunks_mut(TASK))
        .zip(make_own(&mut second).par_chunks_mut(TASK))
        .zip(values(&gradient).par_chunks(TASK))
        .for_each(|(((parameter, first), second), gradient)| {
            vectorized(AdamW {
                parameter,
                first,
                second,
                gradient,
                rule,
            });
        });
    [parameter, first, second]
}

/// A weighted sum.
struct Blend<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
    weights: [f64; 2],
}

impl Kernel for Blend<'_> {
    #[inline(always)]
    fn run(self) {
        let [a, b] = self.weights.map(|weight| weight as f32);
        for (x, y) in self.x.iter_mut().zip(self.y) {
            *x = *x * a + y * b;
        }
    }
}

pub(super) fn blend(mut x: FlexTensor, y: &FlexTensor, weights: [f64; 2]) -> FlexTensor {
    let y = contiguous(y);
    make_own(&mut x)
        .par_chunks_mut(TASK)
        .zip(values(&y).par_chunks(TASK))
        .for_each(|(x, y)| vectorized(Blend { x, y, weights }));
    x
}

/// A multiple.
struct Scale<'a> {
    x: &'a mut [f32],
    factor: f32,
}

impl Kernel for Scale<'_> {
    #[inline(always)]
    fn run(self) {
        self.x.iter_mut().for_each(|x| *x *= self.factor);
    }
}

pub(super) fn scale(mut x: FlexTensor, factor: f32) -> FlexTensor {
    if factor != 1.0 {
        let pieces = make_own(&mut x).par_chunks_mut(TASK);
        pieces.for_each(|x| vectorized(Scale { x, factor }));
    }
    x
}

/// The first element.
pub(super) fn number(x: &FlexTensor) -> f32 {
    values(&contiguous(x))[0]
}

/// The sum of squares of a piece.
struct SumOfSquares<'a> {
    x: &'a [f32],
    sum: &'a mut f32,
}

impl Kernel for SumOfSquares<'_> {
    #[inline(always)]
    fn run(self) {
        *self.sum = sum(self.x, |x| x * x);
    }
}

pub(super) fn squared_norm(x: &FlexTensor) -> FlexTensor {
    let x = contiguous(x);
    let parts: Vec<f32> = values(&x)
        .par_chunks(TASK)
        .map(|x| {
            let mut sum = 0.0;
            vectorized(SumOfSquares { x, sum: &mut sum });
            sum
        })
        .collect();
    let total: f64 = parts.iter().map(|&part| f64::from(part)).sum();
    from_vec(vec![total as f32], Shape::new([1]))
}
