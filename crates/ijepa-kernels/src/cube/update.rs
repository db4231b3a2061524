//! What an optimizer step computes: one pass over each parameter, in place where nobody else
//! holds it.

use burn::tensor::DType;
use burn_cubecl::{
    CubeBackend,
    cubecl::{self, prelude::*},
    kernel::into_contiguous,
    tensor::CubeTensor,
};

use super::lanes::{address_type, elementwise, empty, longest_vector};
use crate::update::{AdamWRule, AdamWTensors};

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

#[cube(launch_unchecked, address_type = "dynamic")]
fn adamw_kernel<N: Size>(
    parameter: &Tensor<Vector<f32, N>>,
    first: &Tensor<Vector<f32, N>>,
    second: &Tensor<Vector<f32, N>>,
    gradient: &Tensor<Vector<f32, N>>,
    new_parameter: &mut Tensor<Vector<f32, N>>,
    new_first: &mut Tensor<Vector<f32, N>>,
    new_second: &mut Tensor<Vector<f32, N>>,
    rule: &Rule,
    total: usize,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    let gradient = gradient[ABSOLUTE_POS];
    let first =
        Vector::new(rule.beta_1) * first[ABSOLUTE_POS] + Vector::new(rule.rest_1) * gradient;
    let second = Vector::new(rule.beta_2) * second[ABSOLUTE_POS]
        + Vector::new(rule.rest_2) * gradient * gradient;
    let root = second.sqrt() * Vector::new(rule.root_factor) + Vector::new(rule.eps);
    let decayed = parameter[ABSOLUTE_POS] * Vector::new(rule.decay);
    new_parameter[ABSOLUTE_POS] = decayed - Vector::new(rule.step_size) * first / root;
    new_first[ABSOLUTE_POS] = first;
    new_second[ABSOLUTE_POS] = second;
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn lerp_kernel<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    towards: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<Vector<f32, N>>,
    kept: f32,
    weight: f32,
    total: usize,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    let kept = x[ABSOLUTE_POS] * Vector::new(kept);
    output[ABSOLUTE_POS] = kept + towards[ABSOLUTE_POS] * Vector::new(weight);
}

/// Units of the one cube that adds the squares of a part.
const UNITS: usize = 256;

#[cube(launch_unchecked, address_type = "dynamic")]
fn sum_kernel<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    output: &mut Tensor<f32>,
    total: usize,
    #[comptime] squared: bool,
    #[comptime] units: usize,
) {
    let mut scratch = Shared::<[f32]>::new_slice(units);
    let unit = UNIT_POS as usize;
    let step = CUBE_COUNT * units;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let turns = total.div_ceil(step);
    for turn in 0..turns {
        let index = turn * step + CUBE_POS * units + unit;
        if index < total {
            let value = x[index];
            if comptime!(squared) {
                sum += value * value;
            } else {
                sum += value;
            }
        }
    }
    scratch[unit] = sum.vector_sum();
    sync_cube();
    #[unroll]
    for step in 0..comptime!(units.ilog2() as usize) {
        let half = comptime!(units >> (step + 1));
        if unit < half {
            let other = scratch[unit + half];
            scratch[unit] += other;
        }
        sync_cube();
    }
    if unit == 0 {
        output[CUBE_POS] = scratch[0];
    }
}

/// The longest vectors that divide a contiguous tensor.
fn vector_size(tensor: &CubeTensor) -> usize {
    let total = tensor.meta.num_elements();
    longest_vector(tensor, tensor.dtype.size(), |size| {
        total.is_multiple_of(size)
    })
}

/// Where the new value of `tensor` goes: its own memory, the argument at `position`, if nobody
/// else holds it.
fn output_for(tensor: &CubeTensor, position: usize) -> (CubeTensor, TensorArg) {
    if tensor.can_mut() {
        return (tensor.clone(), tensor.as_tensor_alias(position));
    }
    let output = empty(tensor, tensor.meta.shape().clone(), tensor.dtype);
    (output.clone(), output.into_tensor_arg())
}

/// The new parameter and moments.
pub(super) fn adamw(
    tensors: AdamWTensors<CubeBackend>,
    gradient: CubeTensor,
    rule: AdamWRule,
) -> AdamWTensors<CubeBackend> {
    let tensors = [tensors.parameter, tensors.first, tensors.second].map(into_contiguous);
    let gradient = into_contiguous(gradient);
    let client = gradient.client.clone();
    let size = vector_size(&gradient);
    let total = gradient.meta.num_elements() / size;
    let (count, dim) = elementwise(&client, total);
    let address = address_type(&[&gradient]);
    let outputs = [0, 1, 2].map(|position| output_for(&tensors[position], position));
    let [parameter, first, second] = tensors.map(CubeTensor::into_tensor_arg);
    let [
        (new_parameter, parameter_out),
        (new_first, first_out),
        (new_second, second_out),
    ] = outputs;
    // SAFETY: units past the last vector return; all tensors have the size of the gradient.
    unsafe {
        adamw_kernel::launch_unchecked(
            &client,
            count,
            dim,
            address,
            size,
            parameter,
            first,
            second,
            gradient.into_tensor_arg(),
            parameter_out,
            first_out,
            second_out,
            RuleLaunch::new(
                rule.decay as f32,
                rule.betas[0] as f32,
                (1.0 - rule.betas[0]) as f32,
                rule.betas[1] as f32,
                (1.0 - rule.betas[1]) as f32,
                rule.eps as f32,
                rule.step_size as f32,
                rule.second_correction.recip() as f32,
            ),
            total,
        );
    }
    AdamWTensors {
        parameter: new_parameter,
        first: new_first,
        second: new_second,
    }
}

/// `x + weight * (towards - x)`.
pub(super) fn lerp(x: CubeTensor, towards: CubeTensor, weight: f64) -> CubeTensor {
    let [x, towards] = [x, towards].map(into_contiguous);
    let client = x.client.clone();
    let size = vector_size(&x);
    let total = x.meta.num_elements() / size;
    let (count, dim) = elementwise(&client, total);
    let address = address_type(&[&x]);
    let (output, output_arg) = output_for(&x, 0);
    // SAFETY: units past the last vector return; all tensors have one size.
    unsafe {
        lerp_kernel::launch_unchecked(
            &client,
            count,
            dim,
            address,
            size,
            x.into_tensor_arg(),
            towards.into_tensor_arg(),
            output_arg,
            (1.0 - weight) as f32,
            weight as f32,
            total,
        );
    }
    output
}

/// The sum of the squares of all elements, `[1]`: of parts first, then of their sums.
pub(super) fn squared_norm(x: CubeTensor) -> CubeTensor {
    let x = into_contiguous(x);
    let parts = x.meta.num_elements().div_ceil(64 * UNITS).clamp(1, 512);
    let sums = sum(x, parts, true);
    if parts == 1 {
        return sums;
    }
    sum(sums, 1, false)
}

/// The sums of `parts` parts of all elements, or of their squares.
fn sum(x: CubeTensor, parts: usize, squared: bool) -> CubeTensor {
    let output = empty(&x, [parts], DType::F32);
    let client = x.client.clone();
    let size = vector_size(&x);
    let total = x.meta.num_elements() / size;
    // SAFETY: units past the last vector read nothing; each cube writes its own part.
    unsafe {
        sum_kernel::launch_unchecked(
            &client,
            CubeCount::Static(parts as u32, 1, 1),
            CubeDim::new_1d(UNITS as u32),
            address_type(&[&x]),
            size,
            x.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            total,
            squared,
            UNITS,
        );
    }
    output
}
