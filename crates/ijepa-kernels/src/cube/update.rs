//! What an optimizer step computes: one pass over each tensor, in place where nobody else holds
//! it, and many tensors in a launch.

use std::slice::from_ref;

use burn_cubecl::{
    CubeBackend,
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::slots::{Spread, arguments, flat, next, outputs_for, shaped, shapes_of, slots_of};
use crate::{
    list::Tensors,
    update::{AdamWRule, AdamWTensors},
};

/// Constants of an update; `rest` is `1 - beta`, which f32 cannot subtract without loss.
#[derive(CubeType, CubeLaunch)]
struct Rule {
    decay: f32,
    beta_1: f32,
    rest_1: f32,
    beta_2: f32,
    rest_2: f32,
    eps: f32,
    step_size: f32,
    root_factor: f32,
}

impl RuleLaunch {
    fn of(rule: &AdamWRule) -> Self {
        Self::new(
            rule.decay as f32,
            rule.betas[0] as f32,
            (1.0 - rule.betas[0]) as f32,
            rule.betas[1] as f32,
            (1.0 - rule.betas[1]) as f32,
            rule.eps as f32,
            rule.step_size as f32,
            rule.second_correction.recip() as f32,
        )
    }
}

/// Units take the vectors of the tensors one tensor after the other; `totals` are their vectors.
#[cube(launch_unchecked, address_type = "dynamic")]
fn adamw_kernel<N: Size>(
    parameters: &Sequence<OwnedTensor<Vector<f32, N>>>,
    firsts: &Sequence<OwnedTensor<Vector<f32, N>>>,
    seconds: &Sequence<OwnedTensor<Vector<f32, N>>>,
    gradients: &Sequence<OwnedTensor<Vector<f32, N>>>,
    new_parameters: &mut Sequence<OwnedTensor<Vector<f32, N>>>,
    new_firsts: &mut Sequence<OwnedTensor<Vector<f32, N>>>,
    new_seconds: &mut Sequence<OwnedTensor<Vector<f32, N>>>,
    rules: &Sequence<Rule>,
    totals: &Sequence<usize>,
    #[comptime] slots: usize,
) {
    let mut start = 0usize;
    #[unroll]
    for slot in 0..slots {
        let end = start + totals[slot];
        if ABSOLUTE_POS >= start && ABSOLUTE_POS < end {
            let at = ABSOLUTE_POS - start;
            let rule = rules.index(slot);
            let gradient = gradients[slot][at];
            let first =
                Vector::new(rule.beta_1) * firsts[slot][at] + Vector::new(rule.rest_1) * gradient;
            let second = Vector::new(rule.beta_2) * seconds[slot][at]
                + Vector::new(rule.rest_2) * gradient * gradient;
            let root = second.sqrt() * Vector::new(rule.root_factor) + Vector::new(rule.eps);
            let decayed = parameters[slot][at] * Vector::new(rule.decay);
            new_parameters.index_mut(slot)[at] =
                decayed - Vector::new(rule.step_size) * first / root;
            new_firsts.index_mut(slot)[at] = first;
            new_seconds.index_mut(slot)[at] = second;
        }
        start = end;
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn blend_kernel<N: Size>(
    x: &Sequence<OwnedTensor<Vector<f32, N>>>,
    y: &Sequence<OwnedTensor<Vector<f32, N>>>,
    outputs: &mut Sequence<OwnedTensor<Vector<f32, N>>>,
    a: f32,
    b: f32,
    totals: &Sequence<usize>,
    #[comptime] slots: usize,
) {
    let mut start = 0usize;
    #[unroll]
    for slot in 0..slots {
        let end = start + totals[slot];
        if ABSOLUTE_POS >= start && ABSOLUTE_POS < end {
            let at = ABSOLUTE_POS - start;
            let own = x[slot][at] * Vector::new(a);
            outputs.index_mut(slot)[at] = own + y[slot][at] * Vector::new(b);
        }
        start = end;
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn scale_kernel<N: Size>(
    x: &Sequence<OwnedTensor<Vector<f32, N>>>,
    outputs: &mut Sequence<OwnedTensor<Vector<f32, N>>>,
    factor: &Tensor<f32>,
    totals: &Sequence<usize>,
    #[comptime] slots: usize,
) {
    let factor = factor[0];
    let mut start = 0usize;
    #[unroll]
    for slot in 0..slots {
        let end = start + totals[slot];
        if ABSOLUTE_POS >= start && ABSOLUTE_POS < end {
            let at = ABSOLUTE_POS - start;
            outputs.index_mut(slot)[at] = x[slot][at] * Vector::new(factor);
        }
        start = end;
    }
}

/// The new parameters and moments.
pub(super) fn adamw(
    tensors: AdamWTensors<CubeBackend>,
    gradients: Tensors<CubeBackend>,
    rules: &[AdamWRule],
) -> AdamWTensors<CubeBackend> {
    let shapes = shapes_of(&gradients);
    let lists = [
        tensors.parameters,
        tensors.firsts,
        tensors.seconds,
        gradients,
    ];
    let mut lists = lists.map(flat);
    let slots = slots_of(&lists[3][0], 4, &lists[..3]);
    let mut updated = [(); 3].map(|()| Vec::new());
    for rules in rules.chunks(slots) {
        let of_launch = lists.each_mut().map(|list| next(list, slots));
        for (all, new) in updated.iter_mut().zip(adamw_launch(of_launch, rules)) {
            all.extend(new);
        }
    }
    let [parameters, firsts, seconds] = updated.map(|list| shaped(list, &shapes));
    AdamWTensors {
        parameters,
        firsts,
        seconds,
    }
}

fn adamw_launch(tensors: [Vec<CubeTensor>; 4], rules: &[AdamWRule]) -> [Vec<CubeTensor>; 3] {
    let [parameters, firsts, seconds, gradients] = tensors;
    let slots = rules.len();
    let spread = Spread::over(&gradients);
    let (new_parameters, parameters_out) = outputs_for(&parameters, 0);
    let (new_firsts, firsts_out) = outputs_for(&firsts, slots);
    let (new_seconds, seconds_out) = outputs_for(&seconds, 2 * slots);
    // SAFETY: units past the last vector do nothing; tensors of a place have the same size.
    unsafe {
        adamw_kernel::launch_unchecked(
            &spread.client,
            spread.count,
            spread.dim,
            spread.address,
            spread.size,
            arguments(parameters),
            arguments(firsts),
            arguments(seconds),
            arguments(gradients),
            parameters_out.into_iter().collect(),
            firsts_out.into_iter().collect(),
            seconds_out.into_iter().collect(),
            rules.iter().map(RuleLaunch::of).collect(),
            spread.totals.into_iter().collect(),
            slots,
        );
    }
    [new_parameters, new_firsts, new_seconds]
}

/// `a x + b y`.
pub(super) fn blend(
    x: Tensors<CubeBackend>,
    y: Tensors<CubeBackend>,
    weights: [f64; 2],
) -> Tensors<CubeBackend> {
    let shapes = shapes_of(&x);
    let [mut x, mut y] = [x, y].map(flat);
    let slots = slots_of(&y[0], 2, from_ref(&x));
    let mut sums = Vec::new();
    while !x.is_empty() {
        let [x, y] = [&mut x, &mut y].map(|list| next(list, slots));
        sums.extend(blend_launch(x, y, weights));
    }
    shaped(sums, &shapes)
}

fn blend_launch(x: Vec<CubeTensor>, y: Vec<CubeTensor>, [a, b]: [f64; 2]) -> Vec<CubeTensor> {
    let slots = x.len();
    let spread = Spread::over(&x);
    let (outputs, outputs_out) = outputs_for(&x, 0);
    // SAFETY: units past the last vector do nothing; tensors of a place have the same size.
    unsafe {
        blend_kernel::launch_unchecked(
            &spread.client,
            spread.count,
            spread.dim,
            spread.address,
            spread.size,
            arguments(x),
            arguments(y),
            outputs_out.into_iter().collect(),
            a as f32,
            b as f32,
            spread.totals.into_iter().collect(),
            slots,
        );
    }
    outputs
}

/// Every tensor times `factor`.
pub(super) fn scale(x: Tensors<CubeBackend>, factor: CubeTensor) -> Tensors<CubeBackend> {
    let shapes = shapes_of(&x);
    let mut x = flat(x);
    let slots = slots_of(&factor, 1, from_ref(&x));
    let mut scaled = Vec::new();
    while !x.is_empty() {
        scaled.extend(scale_launch(next(&mut x, slots), factor.clone()));
    }
    shaped(scaled, &shapes)
}

fn scale_launch(x: Vec<CubeTensor>, factor: CubeTensor) -> Vec<CubeTensor> {
    let slots = x.len();
    let spread = Spread::over(&x);
    let (outputs, outputs_out) = outputs_for(&x, 0);
    // SAFETY: units past the last vector do nothing; tensors of a place have the same size.
    unsafe {
        scale_kernel::launch_unchecked(
            &spread.client,
            spread.count,
            spread.dim,
            spread.address,
            spread.size,
            arguments(x),
            outputs_out.into_iter().collect(),
            factor.into_tensor_arg(),
            spread.totals.into_iter().collect(),
            slots,
        );
    }
    outputs
}
