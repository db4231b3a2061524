//! Linear classifiers side by side: one pass over the logits, two over the weights.

use std::mem::MaybeUninit;

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::Shape,
};
use rayon::prelude::*;

use super::{
    all_f32,
    buffer::{build, contiguous, from_vec, make_own, rows_per_task, sum_rows, values},
    matrix::Matrix,
    product::{self, Operands},
    simd::{Kernel, exp, max, sum, vectorized},
};
use crate::{
    heads::{CrossEntropyTensors, HeadPrimitives, HeadRule, HeadStepTensors, SteppedTensors},
    plain::or_plain,
    primitives::LinearTensors,
};

impl HeadPrimitives for Flex {
    fn fold(weight: FlexTensor, scale: FlexTensor, offset: FlexTensor) -> LinearTensors<Self> {
        let fits = all_f32([&weight, &scale, &offset]);
        or_plain!(fits, fold(weight, scale, offset));
        fold(&weight, &scale, &offset)
    }

    fn cross_entropy(
        logits: FlexTensor,
        targets: &[u32],
        heads: usize,
    ) -> CrossEntropyTensors<Self> {
        or_plain!(all_f32([&logits]), cross_entropy(logits, targets, heads));
        cross_entropy(logits, targets, heads)
    }

    fn add_product(sum: FlexTensor, x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        or_plain!(all_f32([&sum, &x, &grad]), add_product(sum, x, grad));
        add_product(sum, &x, &grad)
    }

    fn step_heads(tensors: HeadStepTensors<Self>, rule: HeadRule) -> SteppedTensors<Self> {
        let fits = all_f32([&tensors.weight, &tensors.momentum, &tensors.product]);
        or_plain!(fits, step_heads(tensors, rule));
        step_heads(tensors, rule)
    }
}

/// Pieces that the rows of the weights are cut into where each piece has sums of its own.
const PIECES: usize = 16;
/// Partial sums kept side by side.
const LANES: usize = 16;

/// Rows of a piece: a function of the shape alone, so that sums do not depend on the threads.
fn piece_rows(dim: usize) -> usize {
    dim.div_ceil(PIECES).max(1)
}

fn fold(weight: &FlexTensor, scale: &FlexTensor, offset: &FlexTensor) -> LinearTensors<Flex> {
    let (weight, scale, offset) = (contiguous(weight), contiguous(scale), contiguous(offset));
    let [dim, columns] = weight.layout().shape().dims::<2>();
    let heads = scale.layout().shape()[1];
    let rows = piece_rows(dim);
    let mut bias = vec![0.0; dim.div_ceil(rows) * columns];
    let fill = |folded: &mut [MaybeUninit<f32>]| {
        folded
            .par_chunks_mut(rows * columns)
            .zip(bias.par_chunks_mut(columns))
            .zip(values(&weight).par_chunks(rows * columns))
            .zip(values(&scale).par_chunks(rows * heads))
            .zip(values(&offset).par_chunks(rows * heads))
            .for_each(|((((folded, bias), weight), scale), offset)| {
                vectorized(Fold {
                    folded,
                    bias,
                    weight,
                    scale,
                    offset,
                    heads,
                });
            });
    };
    // SAFETY: the kernel writes every row.
    let weight = unsafe { build(Shape::new([dim, columns]), fill) };
    LinearTensors {
        weight,
        bias: from_vec(sum_rows(&bias, columns), Shape::new([columns])),
    }
}

/// Some rows of the weights, scaled, and the sum of their shifts.
struct Fold<'a> {
    folded: &'a mut [MaybeUninit<f32>],
    bias: &'a mut [f32],
    weight: &'a [f32],
    scale: &'a [f32],
    offset: &'a [f32],
    heads: usize,
}

impl Kernel for Fold<'_> {
    #[inline(always)]
    fn run(self) {
        let columns = self.bias.len();
        let classes = columns / self.heads;
        let rows = self.folded.chunks_exact_mut(columns);
        for (row, (folded, weight)) in rows.zip(self.weight.chunks_exact(columns)).enumerate() {
            let heads = folded
                .chunks_exact_mut(classes)
                .zip(weight.chunks_exact(classes));
            for (head, ((folded, weight), bias)) in
                heads.zip(self.bias.chunks_exact_mut(classes)).enumerate()
            {
                let scale = self.scale[row * self.heads + head];
                let offset = self.offset[row * self.heads + head];
                for ((folded, weight), bias) in folded.iter_mut().zip(weight).zip(bias) {
                    folded.write(weight * scale);
                    *bias += weight * offset;
                }
            }
        }
    }
}

/// In the memory of the logits if nothing else refers to them.
fn cross_entropy(
    mut logits: FlexTensor,
    targets: &[u32],
    heads: usize,
) -> CrossEntropyTensors<Flex> {
    let [rows, columns] = logits.layout().shape().dims::<2>();
    let task = rows_per_task(columns);
    let mut losses = vec![0.0; rows * heads];
    make_own(&mut logits)
        .par_chunks_mut(task * columns)
        .zip(losses.par_chunks_mut(task * heads))
        .zip(targets.par_chunks(task))
        .for_each(|((logits, losses), targets)| {
            vectorized(CrossEntropy {
                logits,
                losses,
                targets,
                classes: columns / heads,
            });
        });
    CrossEntropyTensors {
        gradient: logits,
        losses: from_vec(losses, Shape::new([rows, heads])),
    }
}

/// Turns logits of some rows into gradients.
struct CrossEntropy<'a> {
    logits: &'a mut [f32],
    losses: &'a mut [f32],
    targets: &'a [u32],
    classes: usize,
}

impl Kernel for CrossEntropy<'_> {
    #[inline(always)]
    fn run(self) {
        let heads = self.losses.len() / self.targets.len();
        let all = self.logits.chunks_exact_mut(self.classes);
        for (number, (logits, loss)) in all.zip(self.losses).enumerate() {
            let target = self.targets[number / heads] as usize;
            let (own, most) = (logits[target], max(logits));
            for logit in logits.iter_mut() {
                *logit = exp(*logit - most);
            }
            let total = sum(logits, |power| power);
            *loss = total.ln() + most - own;
            let share = total.recip();
            for power in logits.iter_mut() {
                *power *= share;
            }
            logits[target] -= 1.0;
        }
    }
}

fn add_product(mut sum: FlexTensor, x: &FlexTensor, grad: &FlexTensor) -> FlexTensor {
    let (x, grad) = (Matrix::of(x), Matrix::of(grad));
    let matrices = [x.transposed(), grad];
    product::add_product(make_own(&mut sum), matrices, Operands::Exact);
    sum
}

fn step_heads(tensors: HeadStepTensors<Flex>, rule: HeadRule) -> SteppedTensors<Flex> {
    let HeadStepTensors {
        mut weight,
        mut momentum,
        product: mut gradient,
        ..
    } = tensors;
    let [sums, scale, offset, rates, decays] = [
        tensors.sums,
        tensors.scale,
        tensors.offset,
        tensors.rates,
        tensors.decays,
    ]
    .map(|tensor| contiguous(&tensor));
    let [dim, columns] = weight.layout().shape().dims::<2>();
    let heads = scale.layout().shape()[1];
    let rows = piece_rows(dim);
    let mut scale_gradient = vec![0.0; dim * heads];
    let mut offset_gradient = scale_gradient.clone();
    let mut squares = vec![0.0; dim.div_ceil(rows) * 2 * heads];
    make_own(&mut gradient)
        .par_chunks_mut(rows * columns)
        .zip(values(&contiguous(&weight)).par_chunks(rows * columns))
        .zip(scale_gradient.par_chunks_mut(rows * heads))
        .zip(offset_gradient.par_chunks_mut(rows * heads))
        .zip(values(&scale).par_chunks(rows * heads))
        .zip(values(&offset).par_chunks(rows * heads))
        .zip(squares.par_chunks_mut(2 * heads))
        .for_each(
            |((((((gradient, weight), by_scale), by_offset), scale), offset), squares)| {
                vectorized(Gradients {
                    gradient,
                    weight,
                    scale_gradient: by_scale,
                    offset_gradient: by_offset,
                    scale,
                    offset,
                    sums: values(&sums),
                    decays: values(&decays),
                    squares,
                });
            },
        );
    let squares = sum_rows(&squares, 2 * heads);
    let ratio = |head: usize| match rule.trust {
        Some(trust) if squares[head] * squares[heads + head] != 0.0 => {
            (f64::from(squares[head] / squares[heads + head]).sqrt() * trust) as f32
        }
        _ => 1.0,
    };
    let ratios: Vec<f32> = (0..heads).map(ratio).collect();
    make_own(&mut weight)
        .par_chunks_mut(rows * columns)
        .zip(make_own(&mut momentum).par_chunks_mut(rows * columns))
        .zip(values(&gradient).par_chunks(rows * columns))
        .for_each(|((weight, momentum), gradient)| {
            vectorized(Update {
                weight,
                momentum,
                gradient,
                ratios: &ratios,
                rates: values(&rates),
                classes: columns / heads,
                rule,
            });
        });
    SteppedTensors {
        weight,
        momentum,
        scale_gradient: from_vec(scale_gradient, Shape::new([dim, heads])),
        offset_gradient: from_vec(offset_gradient, Shape::new([dim, heads])),
    }
}

/// Turns some rows of the product into the gradient of the weights.
struct Gradients<'a> {
    gradient: &'a mut [f32],
    weight: &'a [f32],
    scale_gradient: &'a mut [f32],
    offset_gradient: &'a mut [f32],
    scale: &'a [f32],
    offset: &'a [f32],
    sums: &'a [f32],
    decays: &'a [f32],
    /// Of the weights of each head, then of their gradients.
    squares: &'a mut [f32],
}

impl Kernel for Gradients<'_> {
    #[inline(always)]
    fn run(self) {
        let (columns, heads) = (self.sums.len(), self.decays.len());
        let classes = columns / heads;
        let (of_weights, of_gradients) = self.squares.split_at_mut(heads);
        let segments = self.gradient.chunks_exact_mut(classes);
        for (number, (gradient, weight)) in
            segments.zip(self.weight.chunks_exact(classes)).enumerate()
        {
            let head = number % heads;
            let found = gradient_of_segment(
                gradient,
                weight,
                &self.sums[head * classes..][..classes],
                [self.scale[number], self.offset[number], self.decays[head]],
            );
            self.scale_gradient[number] = found[0];
            self.offset_gradient[number] = found[1];
            of_weights[head] += found[2];
            of_gradients[head] += found[3];
        }
    }
}

/// `g = scale * g + offset * s + decay * w`; gives the sums of `w * g` before, `w * s`, `w^2` and
/// `g^2` after.
#[inline(always)]
fn gradient_of_segment(
    gradient: &mut [f32],
    weight: &[f32],
    sums: &[f32],
    [scale, offset, decay]: [f32; 3],
) -> [f32; 4] {
    let mut lanes = [[0.0f32; LANES]; 4];
    let (gradients, gradient_rest) = gradient.as_chunks_mut::<LANES>();
    let (weights, weight_rest) = weight.as_chunks::<LANES>();
    let (shifts, shift_rest) = sums.as_chunks::<LANES>();
    for ((g, w), s) in gradients.iter_mut().zip(weights).zip(shifts) {
        for lane in 0..LANES {
            let whole = scale * g[lane] + offset * s[lane] + decay * w[lane];
            lanes[0][lane] += w[lane] * g[lane];
            lanes[1][lane] += w[lane] * s[lane];
            lanes[2][lane] += w[lane] * w[lane];
            lanes[3][lane] += whole * whole;
            g[lane] = whole;
        }
    }
    let mut totals = lanes.map(|lanes| lanes.iter().sum::<f32>());
    for ((g, w), s) in gradient_rest.iter_mut().zip(weight_rest).zip(shift_rest) {
        let whole = scale * *g + offset * s + decay * w;
        totals[0] += w * *g;
        totals[1] += w * s;
        totals[2] += w * w;
        totals[3] += whole * whole;
        *g = whole;
    }
    totals
}

/// Momentum and step of some rows.
struct Update<'a> {
    weight: &'a mut [f32],
    momentum: &'a mut [f32],
    gradient: &'a [f32],
    /// Factors of the gradients and learning rates, by head.
    ratios: &'a [f32],
    rates: &'a [f32],
    classes: usize,
    rule: HeadRule,
}

impl Kernel for Update<'_> {
    #[inline(always)]
    fn run(self) {
        let (heads, kept) = (self.rates.len(), self.rule.momentum as f32);
        let moments = self.momentum.chunks_exact_mut(self.classes);
        let gradients = self.gradient.chunks_exact(self.classes);
        let segments = self.weight.chunks_exact_mut(self.classes);
        for (number, ((weight, momentum), gradient)) in
            segments.zip(moments).zip(gradients).enumerate()
        {
            let head = number % heads;
            let (ratio, rate) = (self.ratios[head], self.rates[head]);
            for ((w, m), g) in weight.iter_mut().zip(momentum).zip(gradient) {
                let g = ratio * g;
                *m = kept * *m + g;
                let update = if self.rule.nesterov {
                    g + kept * *m
                } else {
                    *m
                };
                *w -= rate * update;
            }
        }
    }
}
