//! Bias and exact GELU, and their gradients.

use std::f32::consts::{FRAC_1_SQRT_2, PI};

use burn::tensor::DType;
use burn_cubecl::{
    CubeBackend,
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    columns::{CUBE, column_sums, parts_of},
    elem,
    lanes::{address_type, as_rows, elementwise, empty, vector_size},
};
use crate::primitives::BiasGeluGradients;

/// The normal distribution function.
#[cube]
fn cdf<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let half = Vector::new(0.5f32);
    half + half * (x * Vector::new(FRAC_1_SQRT_2)).erf()
}

/// The normal density.
#[cube]
fn density<N: Size>(x: Vector<f32, N>) -> Vector<f32, N> {
    let scale = comptime!((2.0 * PI).sqrt().recip());
    (x * x * Vector::new(-0.5f32)).exp() * Vector::new(scale)
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn gelu_kernel<X: Float, P: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    bias: &Tensor<Vector<P, N>>,
    output: &mut Tensor<Vector<X, N>>,
    total: usize,
    vectors: usize,
    #[define(X)] _x: ElemType,
    #[define(P)] _p: ElemType,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    let vector = ABSOLUTE_POS % vectors;
    let row = ABSOLUTE_POS / vectors;
    let read = row * (x.stride(0) / N::value()) + vector;
    let biased = Vector::<f32, N>::cast_from(x[read]) + Vector::cast_from(bias[vector]);
    output[ABSOLUTE_POS] = Vector::cast_from(biased * cdf(biased));
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn gelu_backward_kernel<X: Float, P: Float, N: Size>(
    x: &Tensor<Vector<X, N>>,
    bias: &Tensor<Vector<P, N>>,
    grad: &Tensor<Vector<X, N>>,
    d_x: &mut Tensor<Vector<X, N>>,
    output: &mut Tensor<Vector<X, N>>,
    partials: &mut Tensor<Vector<f32, N>>,
    rows: usize,
    vectors: usize,
    parts: usize,
    #[define(X)] _x: ElemType,
    #[define(P)] _p: ElemType,
) {
    let vector = (CUBE_POS_X * CUBE_DIM_X + UNIT_POS_X) as usize;
    let part = (CUBE_POS_Y * CUBE_DIM_Y + UNIT_POS_Y) as usize;
    if vector >= vectors || part >= parts {
        terminate!();
    }
    let x_stride = x.stride(0) / N::value();
    let grad_stride = grad.stride(0) / N::value();
    let shift = Vector::<f32, N>::cast_from(bias[vector]);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let turns = (rows + parts - 1 - part) / parts;
    for turn in 0..turns {
        let row = turn * parts + part;
        let biased = Vector::<f32, N>::cast_from(x[row * x_stride + vector]) + shift;
        let below = cdf(biased);
        let slope = below + biased * density(biased);
        let own = Vector::<f32, N>::cast_from(grad[row * grad_stride + vector]) * slope;
        sum += own;
        d_x[row * vectors + vector] = Vector::cast_from(own);
        output[row * vectors + vector] = Vector::cast_from(biased * below);
    }
    partials[part * vectors + vector] = sum;
}

/// `gelu(x + bias)`.
pub(super) fn gelu(x: &CubeTensor, bias: &CubeTensor) -> CubeTensor {
    let output = empty(x, x.meta.shape().clone(), x.dtype);
    let [x, bias] = [x, bias].map(|tensor| as_rows(tensor.clone()));
    let size = vector_size(&[&x, &bias]);
    let [rows, columns] = [x.meta.shape()[0], x.meta.shape()[1]];
    let (client, kind, bias_kind) = (x.client.clone(), elem(&x), elem(&bias));
    let (vectors, total) = (columns / size, rows * columns / size);
    let (count, dim) = elementwise(&client, total);
    // SAFETY: units past the last vector return before they read or write.
    unsafe {
        gelu_kernel::launch_unchecked(
            &client,
            count,
            dim,
            address_type(&[&x, &output]),
            size,
            x.into_tensor_arg(),
            bias.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            total,
            vectors,
            kind,
            bias_kind,
        );
    }
    output
}

/// Gradients of `x` and `bias`, and the output.
pub(super) fn gelu_backward(
    x: &CubeTensor,
    bias: &CubeTensor,
    grad: &CubeTensor,
) -> BiasGeluGradients<CubeBackend> {
    let [d_x, output] = [(); 2].map(|()| empty(x, x.meta.shape().clone(), x.dtype));
    let d_bias = empty(bias, bias.meta.shape().clone(), bias.dtype);
    let [x, bias, grad] = [x, bias, grad].map(|tensor| as_rows(tensor.clone()));
    let size = vector_size(&[&x, &bias, &grad]);
    let [rows, columns] = [x.meta.shape()[0], x.meta.shape()[1]];
    let (parts, vectors) = (parts_of(rows), columns / size);
    let partials = empty(&x, [1, parts, columns], DType::F32);
    let (client, kind, bias_kind) = (x.client.clone(), elem(&x), elem(&bias));
    let [width, height] = CUBE;
    // SAFETY: units past the last vector or part return before they read or write.
    unsafe {
        gelu_backward_kernel::launch_unchecked(
            &client,
            CubeCount::Static(
                vectors.div_ceil(width) as u32,
                parts.div_ceil(height) as u32,
                1,
            ),
            CubeDim::new_2d(width as u32, height as u32),
            address_type(&[&x, &grad, &output, &partials]),
            size,
            x.into_tensor_arg(),
            bias.into_tensor_arg(),
            grad.into_tensor_arg(),
            d_x.clone().into_tensor_arg(),
            output.clone().into_tensor_arg(),
            partials.clone().into_tensor_arg(),
            rows,
            vectors,
            parts,
            kind,
            bias_kind,
        );
    }
    column_sums(partials, &[&d_bias]);
    BiasGeluGradients {
        x: d_x,
        bias: d_bias,
        output,
    }
}
