//! Matrix products with bias and residual.

use burn::{backend::flex::FlexTensor, tensor::Shape};

use super::{
    buffer::{
        build, contiguous, for_each_task, from_vec, make_own, map_rows, rows_and_features,
        rows_per_task, sum_rows, values, with_features,
    },
    matrix::Matrix,
    product::{Operands, add_product, product_into},
    simd::{Kernel, vectorized},
};

/// `x W`, plus `bias` if there is one.
pub(super) fn affine(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    operands: Operands,
) -> FlexTensor {
    let (x, bias) = (contiguous(x), bias.map(contiguous));
    let (weights, bias) = (Matrix::of(weight), bias.as_ref().map(values));
    let matrices = [Matrix::of_rows(values(&x), weights.rows), weights];
    let shape = with_features(&x, weights.cols);
    // SAFETY: the product writes every value.
    unsafe {
        build(shape, |output| {
            product_into(output, matrices, bias, operands)
        })
    }
}

/// `residual + x W + bias`, in the memory of `residual` if nothing else refers to it.
pub(super) fn affine_onto(
    residual: FlexTensor,
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    operands: Operands,
) -> FlexTensor {
    let bias = contiguous(bias);
    let mut sum = map_rows(residual, values(&bias), |stream, bias| stream + bias);
    let (x, weights) = (contiguous(x), Matrix::of(weight));
    let inputs = Matrix::of_rows(values(&x), weights.rows);
    add_product(make_own(&mut sum), [inputs, weights], operands);
    sum
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
pub(super) fn product_weight_backward(
    x: &FlexTensor,
    grad: &FlexTensor,
    operands: Operands,
) -> FlexTensor {
    let (_, inputs) = rows_and_features(x);
    let (_, outputs) = rows_and_features(grad);
    let (x, grad) = (contiguous(x), contiguous(grad));
    let x = Matrix::of_rows(values(&x), inputs).transposed();
    let matrices = [x, Matrix::of_rows(values(&grad), outputs)];
    let shape = Shape::new([inputs, outputs]);
    // SAFETY: the product writes every value.
    unsafe {
        build(shape, |output| {
            product_into(output, matrices, None, operands)
        })
    }
}

/// The sum of all rows, of partial sums over a fixed number of rows.
pub(super) fn column_sums(x: &FlexTensor) -> FlexTensor {
    let (rows, features) = rows_and_features(x);
    let x = contiguous(x);
    let block = rows_per_task(features) * features;
    let mut partial = vec![0.0; rows.div_ceil(rows_per_task(features)) * features];
    let values = values(&x);
    for_each_task(&mut partial, features, |number, sums| {
        let rows = &values[number * block..values.len().min((number + 1) * block)];
        vectorized(SumRows { rows, sums });
    });
    from_vec(sum_rows(&partial, features), Shape::new([features]))
}
