//! Layer norm and its gradient: a row stays in registers from its one read on.

use burn::tensor::{DType, FloatDType};
use burn_cubecl::{
    CubeBackend,
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    columns::{column_sums, parts_of},
    elem,
    lanes::{Lanes, Plan, address_type, as_rows, empty, load_row, sum_over_lanes},
};
use crate::primitives::{NormGradients, NormTensors};

/// Buffers that the backward kernel binds; browsers may allow fewer.
const BINDINGS: u32 = 10;

/// Subtracts the mean of a row and scales it to variance 1; returns the scale.
#[cube]
pub(super) fn standardize<N: Size>(
    values: &mut Array<Vector<f32, N>>,
    vectors: usize,
    epsilon: f32,
    #[comptime] per_lane: usize,
    #[comptime] lanes: Lanes,
) -> f32 {
    let count = f32::cast_from(vectors * N::value());
    let mut sum = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for index in 0..per_lane {
        sum += values[index];
    }
    let mean = sum_over_lanes(sum.vector_sum(), lanes) / count;
    let mut squares = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for index in 0..per_lane {
        let vector = UNIT_POS_X as usize + index * comptime!(lanes.width);
        if vector < vectors {
            let centered = values[index] - Vector::new(mean);
            values[index] = centered;
            squares += centered * centered;
        }
    }
    let variance = sum_over_lanes(squares.vector_sum(), lanes) / count;
    let scale = 1.0f32 / (variance + epsilon).sqrt();
    #[unroll]
    for index in 0..per_lane {
        values[index] = values[index] * Vector::new(scale);
    }
    scale
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn norm_kernel<X: Float, P: Float, O: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    gamma: &Tensor<Vector<P, N>>,
    beta: &Tensor<Vector<P, N>>,
    output: &mut Tensor<Vector<O, N>>,
    rows: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] per_lane: usize,
    #[comptime] lanes: Lanes,
    #[define(X)] _x: ElemType,
    #[define(P)] _p: ElemType,
    #[define(O)] _o: ElemType,
) {
    let row = CUBE_POS * comptime!(lanes.height) + UNIT_POS_Y as usize;
    let read = select(row < rows, row, 0);
    let start = read * (x.stride(0) / N::value());
    let mut values = load_row(x.as_slice(), start, vectors, per_lane, lanes);
    standardize(&mut values, vectors, epsilon, per_lane, lanes);
    #[unroll]
    for index in 0..per_lane {
        let vector = UNIT_POS_X as usize + index * comptime!(lanes.width);
        if vector < vectors && row < rows {
            let scaled = values[index] * Vector::cast_from(gamma[vector]);
            let shifted = scaled + Vector::cast_from(beta[vector]);
            output[row * vectors + vector] = Vector::cast_from(shifted);
        }
    }
}

#[cube]
fn zeros<N: Size>(#[comptime] vectors: usize) -> Array<Vector<f32, N>> {
    let mut zeros = Array::<Vector<f32, N>>::new(vectors);
    #[unroll]
    for index in 0..vectors {
        zeros[index] = Vector::new(0.0f32);
    }
    zeros
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn norm_backward_kernel<X: Float, P: Float, G: Float, O: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    gamma: &Tensor<Vector<P, N>>,
    beta: &Tensor<Vector<P, N>>,
    grad: &Tensor<Vector<G, N>>,
    residual: &Tensor<Vector<X, N>>,
    d_x: &mut Tensor<Vector<X, N>>,
    output: &mut Tensor<Vector<O, N>>,
    partials: &mut Tensor<Vector<f32, N>>,
    rows: usize,
    vectors: usize,
    parts: usize,
    epsilon: f32,
    #[comptime] has_residual: bool,
    #[comptime] with_sums: bool,
    #[comptime] per_lane: usize,
    #[comptime] lanes: Lanes,
    #[define(X)] _x: ElemType,
    #[define(P)] _p: ElemType,
    #[define(G)] _g: ElemType,
    #[define(O)] _o: ElemType,
) {
    let width = comptime!(lanes.width);
    let lane = UNIT_POS_X as usize;
    let part = CUBE_POS * comptime!(lanes.height) + UNIT_POS_Y as usize;
    let count = f32::cast_from(vectors * N::value());
    let x_stride = x.stride(0) / N::value();
    let grad_stride = grad.stride(0) / N::value();
    let residual_stride = residual.stride(0) / N::value();
    let mut d_gamma = zeros::<N>(per_lane);
    let mut d_beta = zeros::<N>(per_lane);
    let mut residual_sums = zeros::<N>(per_lane);
    let mut x_sums = zeros::<N>(per_lane);
    // Every lane takes every turn: they wait for each other in the sums.
    let turns = rows.div_ceil(parts);
    for turn in 0..turns {
        let row = turn * parts + part;
        let inside = row < rows && part < parts;
        let read = select(inside, row, 0);
        let mut values = load_row(x.as_slice(), read * x_stride, vectors, per_lane, lanes);
        let scale = standardize(&mut values, vectors, epsilon, per_lane, lanes);
        let mut weighted = load_row(
            grad.as_slice(),
            read * grad_stride,
            vectors,
            per_lane,
            lanes,
        );
        let mut sum = Vector::<f32, N>::new(0.0f32);
        let mut slope = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for index in 0..per_lane {
            let vector = lane + index * width;
            if vector < vectors {
                let scaling = Vector::<f32, N>::cast_from(gamma[vector]);
                if inside {
                    let shift = Vector::<f32, N>::cast_from(beta[vector]);
                    d_gamma[index] += weighted[index] * values[index];
                    d_beta[index] += weighted[index];
                    output[row * vectors + vector] =
                        Vector::cast_from(values[index] * scaling + shift);
                }
                weighted[index] = weighted[index] * scaling;
                sum += weighted[index];
                slope += weighted[index] * values[index];
            }
        }
        let mean = sum_over_lanes(sum.vector_sum(), lanes) / count;
        let slope = sum_over_lanes(slope.vector_sum(), lanes) / count;
        #[unroll]
        for index in 0..per_lane {
            let vector = lane + index * width;
            if vector < vectors && inside {
                let inner =
                    weighted[index] - Vector::new(mean) - values[index] * Vector::new(slope);
                let mut own = inner * Vector::new(scale);
                if comptime!(has_residual) {
                    let past =
                        Vector::<f32, N>::cast_from(residual[row * residual_stride + vector]);
                    own += past;
                    if comptime!(with_sums) {
                        residual_sums[index] += past;
                        x_sums[index] += own;
                    }
                }
                d_x[row * vectors + vector] = Vector::cast_from(own);
            }
        }
    }
    #[unroll]
    for index in 0..per_lane {
        let vector = lane + index * width;
        if vector < vectors && part < parts {
            partials[part * vectors + vector] = d_gamma[index];
            partials[(parts + part) * vectors + vector] = d_beta[index];
            if comptime!(with_sums) {
                partials[(2 * parts + part) * vectors + vector] = residual_sums[index];
                partials[(3 * parts + part) * vectors + vector] = x_sums[index];
            }
        }
    }
}

/// An output for `x`, in `dtype` if there is one.
pub(super) fn narrowed(x: &CubeTensor, dtype: Option<FloatDType>) -> CubeTensor {
    let dtype = dtype.map_or(x.dtype, DType::from);
    empty(x, x.meta.shape().clone(), dtype)
}

/// Layer norm of every row of `x`, in `dtype` if there is one; nothing if it does not fit the
/// kernel.
pub(super) fn norm(
    x: &CubeTensor,
    norm: &NormTensors<CubeBackend>,
    epsilon: f64,
    dtype: Option<FloatDType>,
) -> Option<CubeTensor> {
    let output = narrowed(x, dtype);
    let inputs = [x, &norm.gamma, &norm.beta].map(|tensor| as_rows(tensor.clone()));
    let plan = Plan::new(&inputs.each_ref())?;
    let [x, gamma, beta] = inputs;
    let client = x.client.clone();
    let (x_elem, p_elem) = (elem(&x), elem(&gamma));
    // SAFETY: every index is below the rows and vectors of the tensors, which the plan counted.
    unsafe {
        norm_kernel::launch_unchecked(
            &client,
            plan.lanes.cube_count(&client, plan.rows),
            plan.lanes.cube_dim(),
            address_type(&[&x, &gamma, &output]),
            plan.size,
            x.into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            plan.rows,
            plan.vectors,
            epsilon as f32,
            plan.per_lane,
            plan.lanes,
            x_elem,
            p_elem,
            elem(&output),
        );
    }
    Some(output)
}

/// Gradients of `x`, `gamma` and `beta`, and the output, in `dtype` if there is one; nothing if
/// they do not fit the kernel. `sums` are tensors for the sums over rows of `residual` and of the
/// gradient of `x`, in the type of `gamma`, if they are wanted.
pub(super) fn norm_backward(
    x: &CubeTensor,
    norm: &NormTensors<CubeBackend>,
    epsilon: f64,
    grad: &CubeTensor,
    residual: Option<&CubeTensor>,
    dtype: Option<FloatDType>,
    sums: &[CubeTensor],
) -> Option<NormGradients<CubeBackend>> {
    let (d_x, output) = (narrowed(x, None), narrowed(x, dtype));
    let has_residual = residual.is_some();
    let [d_gamma, d_beta] = [&norm.gamma, &norm.beta]
        .map(|parameter| empty(x, parameter.meta.shape().clone(), parameter.dtype));
    let inputs = [x, &norm.gamma, &norm.beta, grad, residual.unwrap_or(x)];
    let inputs = inputs.map(|tensor| as_rows(tensor.clone()));
    let plan = Plan::new(&inputs.each_ref())?;
    let [x, gamma, beta, grad, residual] = inputs;
    if x.client.properties().hardware.max_bindings < BINDINGS {
        return None;
    }
    let parts = parts_of(plan.rows);
    let mut all_sums = vec![&d_gamma, &d_beta];
    all_sums.extend(sums);
    let columns = plan.vectors * plan.size;
    let partials = empty(&x, [all_sums.len(), parts, columns], DType::F32);
    let client = x.client.clone();
    let (x_elem, p_elem, g_elem) = (elem(&x), elem(&gamma), elem(&grad));
    // SAFETY: every index is below the rows, parts and vectors of the tensors it is used on.
    unsafe {
        norm_backward_kernel::launch_unchecked(
            &client,
            plan.lanes.cube_count(&client, parts),
            plan.lanes.cube_dim(),
            address_type(&[&x, &grad, &residual, &output, &partials]),
            plan.size,
            x.into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            grad.into_tensor_arg(),
            residual.into_tensor_arg(),
            d_x.clone().into_tensor_arg(),
            output.clone().into_tensor_arg(),
            partials.clone().into_tensor_arg(),
            plan.rows,
            plan.vectors,
            parts,
            epsilon as f32,
            has_residual,
            !sums.is_empty(),
            plan.per_lane,
            plan.lanes,
            x_elem,
            p_elem,
            g_elem,
            elem(&output),
        );
    }
    column_sums(partials, &all_sums);
    Some(NormGradients {
        x: d_x,
        norm: NormTensors {
            gamma: d_gamma,
            beta: d_beta,
        },
        output,
    })
}
