//! Matrix products with bias and residual.

use std::mem::MaybeUninit;

use burn::{backend::flex::FlexTensor, tensor::Shape};

use super::{
    buffer::{
        as_uninit, build, build_from_rows, contiguous, for_each_task, for_row_blocks, from_vec,
        own, rows_and_features, rows_per_task, sum_rows, values, with_features,
    },
    product::{Matrix, product_into},
    simd::{Kernel, vectorized},
};

/// `x W`, plus the bias if there is one.
pub(super) fn affine(x: &FlexTensor, weight: &FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
    let x = contiguous(x);
    let weights = Matrix::of(weight);
    let inputs = Matrix::of_rows(values(&x), weights.rows);
    build(with_features(&x, weights.cols), |output| {
        if let Some(bias) = bias {
            let bias = contiguous(bias);
            fill_rows(output, values(&bias));
        }
        product_into(output, bias.is_some(), inputs, weights);
    })
}

/// `residual + x W + bias`, in the memory of `residual` if nothing else refers to it.
pub(super) fn affine_onto(
    mut residual: FlexTensor,
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
) -> FlexTensor {
    let (x, bias) = (contiguous(x), contiguous(bias));
    let weights = Matrix::of(weight);
    let inputs = Matrix::of_rows(values(&x), weights.rows);
    if let Some(stream) = own(&mut residual) {
        let bias = values(&bias);
        for_row_blocks(stream, bias.len(), |rows| {
            vectorized(AddToRows { rows, bias });
        });
        product_into(as_uninit(stream), true, inputs, weights);
        return residual;
    }
    let bias = values(&bias);
    let mut sum = build_from_rows(&contiguous(&residual), bias.len(), |rows, stream| {
        vectorized(WriteSum { rows, stream, bias });
    });
    let output = own(&mut sum).expect("a new tensor is ours");
    product_into(as_uninit(output), true, inputs, weights);
    sum
}

/// Writes `row` into every row.
fn fill_rows(output: &mut [MaybeUninit<f32>], row: &[f32]) {
    for_row_blocks(output, row.len(), |rows| {
        for out in rows.chunks_exact_mut(row.len()) {
            out.write_copy_of_slice(row);
        }
    });
}

/// Adds `bias` to every row.
struct AddToRows<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
}

impl Kernel for AddToRows<'_> {
    #[inline(always)]
    fn run(self) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            for (value, bias) in row.iter_mut().zip(self.bias) {
                *value += bias;
            }
        }
    }
}

/// Writes `stream + bias` for every row.
struct WriteSum<'a> {
    rows: &'a mut [MaybeUninit<f32>],
    stream: &'a [f32],
    bias: &'a [f32],
}

impl Kernel for WriteSum<'_> {
    #[inline(always)]
    fn run(self) {
        let dim = self.bias.len();
        let rows = self.rows.chunks_exact_mut(dim);
        for (row, stream) in rows.zip(self.stream.chunks_exact(dim)) {
            for ((out, stream), bias) in row.iter_mut().zip(stream).zip(self.bias) {
                out.write(stream + bias);
            }
        }
    }
}

/// Adds all rows to `sums`.
struct SumRows<'a> {
    rows: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for SumRows<'_> {
    #[inline(always)]
    fn run(self) {
        for row in self.rows.chunks_exact(self.sums.len()) {
            for (sum, value) in self.sums.iter_mut().zip(row) {
                *sum += value;
            }
        }
    }
}

/// `x^T grad` over all rows.
pub(super) fn affine_weight_backward(x: &FlexTensor, grad: &FlexTensor) -> FlexTensor {
    let (_, inputs) = rows_and_features(x);
    let (_, outputs) = rows_and_features(grad);
    let (x, grad) = (contiguous(x), contiguous(grad));
    build(Shape::new([inputs, outputs]), |output| {
        let x = Matrix::of_rows(values(&x), inputs).transposed();
        product_into(output, false, x, Matrix::of_rows(values(&grad), outputs));
    })
}

/// The sum of all rows, of partial sums over a fixed number of rows.
pub(super) fn bias_backward(grad: &FlexTensor) -> FlexTensor {
    let (rows, features) = rows_and_features(grad);
    let grad = contiguous(grad);
    let block = rows_per_task(features) * features;
    let tasks = rows.div_ceil(rows_per_task(features));
    let mut partial = vec![0.0; tasks * features];
    let grads = values(&grad);
    let sum_task = |number: usize, sums: &mut [f32]| {
        let rows = &grads[number * block..grads.len().min((number + 1) * block)];
        vectorized(SumRows { rows, sums });
    };
    for_each_task(&mut partial, features, sum_task);
    from_vec(sum_rows(&partial, features), Shape::new([features]))
}
