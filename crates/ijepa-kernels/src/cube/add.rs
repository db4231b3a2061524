//! The end of a branch in one pass: its product, a bias, the residual stream, and the norm of the
//! sum.

use burn::tensor::FloatDType;
use burn_cubecl::{
    CubeBackend,
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    elem,
    lanes::{
        Lanes, Plan, address_type, as_rows, elementwise, load_row, output_for, vector_size,
        with_shape,
    },
    norm::{narrowed, standardize},
};
use crate::primitives::{NormTensors, NormedSum};

#[cube(launch_unchecked, address_type = "dynamic")]
fn add_kernel<R: Float, X: Float, P: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    residual: &Tensor<Vector<R, N>>,
    bias: &Tensor<Vector<P, N>>,
    output: &mut Tensor<Vector<R, N>>,
    total: usize,
    vectors: usize,
    #[define(R)] _r: ElemType,
    #[define(X)] _x: ElemType,
    #[define(P)] _p: ElemType,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    let vector = ABSOLUTE_POS % vectors;
    let row = ABSOLUTE_POS / vectors;
    let own = x[row * (x.stride(0) / N::value()) + vector];
    let past = residual[row * (residual.stride(0) / N::value()) + vector];
    let biased = Vector::<f32, N>::cast_from(own) + Vector::cast_from(bias[vector]);
    output[ABSOLUTE_POS] = Vector::cast_from(Vector::<f32, N>::cast_from(past) + biased);
}

/// The norm of `x + bias + residual`, and this sum.
#[cube(launch_unchecked, address_type = "dynamic")]
fn add_norm_kernel<R: Float, X: Float, P: Float, O: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    residual: &Tensor<Vector<R, N>>,
    bias: &Tensor<Vector<P, N>>,
    gamma: &Tensor<Vector<P, N>>,
    beta: &Tensor<Vector<P, N>>,
    sum: &mut Tensor<Vector<R, N>>,
    output: &mut Tensor<Vector<O, N>>,
    rows: usize,
    vectors: usize,
    epsilon: f32,
    #[comptime] per_lane: usize,
    #[comptime] lanes: Lanes,
    #[define(R)] _r: ElemType,
    #[define(X)] _x: ElemType,
    #[define(P)] _p: ElemType,
    #[define(O)] _o: ElemType,
) {
    let row = CUBE_POS * comptime!(lanes.height) + UNIT_POS_Y as usize;
    let read = select(row < rows, row, 0);
    let start = read * (x.stride(0) / N::value());
    let past = read * (residual.stride(0) / N::value());
    let mut values = load_row(x.as_slice(), start, vectors, per_lane, lanes);
    let past = load_row(residual.as_slice(), past, vectors, per_lane, lanes);
    #[unroll]
    for index in 0..per_lane {
        let vector = UNIT_POS_X as usize + index * comptime!(lanes.width);
        if vector < vectors {
            let biased = values[index] + Vector::cast_from(bias[vector]);
            values[index] = past[index] + biased;
            if row < rows {
                sum[row * vectors + vector] = Vector::cast_from(values[index]);
            }
        }
    }
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

/// `residual + x + bias` in the type of `residual`, in the memory of `x` if it can be.
pub(super) fn add_onto(residual: CubeTensor, x: CubeTensor, bias: CubeTensor) -> CubeTensor {
    let shape = residual.meta.shape().clone();
    let [x, residual, bias] = [x, residual, bias].map(as_rows);
    let size = vector_size(&[&x, &residual, &bias]);
    let [rows, columns] = [x.meta.shape()[0], x.meta.shape()[1]];
    let client = x.client.clone();
    let (vectors, total) = (columns / size, rows * columns / size);
    let (count, dim) = elementwise(&client, total);
    let [r_elem, x_elem, p_elem] = [&residual, &x, &bias].map(elem);
    let address = address_type(&[&x, &residual]);
    let (output, output_arg) = output_for(&x, 0, residual.dtype);
    // SAFETY: units past the last vector return before they read or write.
    unsafe {
        add_kernel::launch_unchecked(
            &client,
            count,
            dim,
            address,
            size,
            x.into_tensor_arg(),
            residual.into_tensor_arg(),
            bias.into_tensor_arg(),
            output_arg,
            total,
            vectors,
            r_elem,
            x_elem,
            p_elem,
        );
    }
    with_shape(output, shape)
}

/// `residual + x + bias` and its layer norm, in `dtype` if there is one; nothing if they do not fit
/// the kernel.
pub(super) fn add_norm(
    residual: &CubeTensor,
    x: &CubeTensor,
    bias: &CubeTensor,
    norm: &NormTensors<CubeBackend>,
    epsilon: f64,
    dtype: Option<FloatDType>,
) -> Option<NormedSum<CubeBackend>> {
    let (sum, normed) = (narrowed(residual, None), narrowed(residual, dtype));
    let inputs = [x, residual, bias, &norm.gamma, &norm.beta];
    let inputs = inputs.map(|tensor| as_rows(tensor.clone()));
    let plan = Plan::new(&inputs.each_ref())?;
    let [x, residual, bias, gamma, beta] = inputs;
    let client = x.client.clone();
    let [r_elem, x_elem, p_elem] = [&residual, &x, &gamma].map(elem);
    // SAFETY: every index is below the rows and vectors of the tensors, which the plan counted.
    unsafe {
        add_norm_kernel::launch_unchecked(
            &client,
            plan.lanes.cube_count(&client, plan.rows),
            plan.lanes.cube_dim(),
            address_type(&[&x, &residual, &gamma, &sum]),
            plan.size,
            x.into_tensor_arg(),
            residual.into_tensor_arg(),
            bias.into_tensor_arg(),
            gamma.into_tensor_arg(),
            beta.into_tensor_arg(),
            sum.clone().into_tensor_arg(),
            normed.clone().into_tensor_arg(),
            plan.rows,
            plan.vectors,
            epsilon as f32,
            plan.per_lane,
            plan.lanes,
            r_elem,
            x_elem,
            p_elem,
            elem(&normed),
        );
    }
    Some(NormedSum { sum, normed })
}
