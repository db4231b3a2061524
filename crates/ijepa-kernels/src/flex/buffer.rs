//! Reading and building flex tensors without needless copies or clearing.

use std::mem::MaybeUninit;

use burn::{
    backend::flex::{FlexTensor, Layout},
    tensor::{Bytes, DType, Shape},
};
use rayon::prelude::*;

use super::simd::{Kernel, vectorized};

/// Elements that one task of an element-wise loop handles: enough to hide the cost of a task, few
/// enough to stay in the first cache.
pub(super) const TASK: usize = 8192;

/// `tensor` if its values lie in one piece in order, else a copy that does.
pub(super) fn contiguous(tensor: &FlexTensor) -> FlexTensor {
    match tensor.as_slice::<f32>() {
        Some(_) => tensor.clone(),
        None => tensor.to_contiguous(),
    }
}

/// The values of a tensor from [`contiguous`].
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .expect("a contiguous f32 tensor has a slice")
}

/// Size of the last dimension and number of rows before it.
pub(super) fn rows_and_features(tensor: &FlexTensor) -> (usize, usize) {
    let shape = tensor.layout().shape();
    let features = shape[shape.num_dims() - 1];
    (shape.num_elements() / features.max(1), features)
}

/// The shape of `tensor` with another last dimension.
pub(super) fn with_features(tensor: &FlexTensor, features: usize) -> Shape {
    let mut shape = tensor.layout().shape().clone();
    let last = shape.num_dims() - 1;
    shape[last] = features;
    shape
}

/// A tensor whose elements `fill` writes: clearing them first would cost as much as the kernel.
///
/// # Safety
///
/// `fill` writes every element.
pub(super) unsafe fn build(shape: Shape, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> FlexTensor {
    let len = shape.num_elements();
    let mut values: Vec<f32> = Vec::with_capacity(len);
    fill(&mut values.spare_capacity_mut()[..len]);
    // SAFETY: the capacity is `len` and `fill` has written every element.
    unsafe {
        values.set_len(len);
    }
    from_vec(values, shape)
}

/// A tensor of `values`.
pub(super) fn from_vec(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(shape),
        DType::F32,
    )
}

/// The values of `tensor` to overwrite, if nothing else refers to them.
pub(super) fn own(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
    let len = tensor.layout().num_elements();
    tensor.as_slice::<f32>()?;
    let start = tensor.layout().start_offset();
    Some(&mut tensor.try_storage_mut::<f32>()?[start..start + len])
}

/// The values of `tensor` to overwrite, after a copy if anything else refers to them.
pub(super) fn make_own(tensor: &mut FlexTensor) -> &mut [f32] {
    if own(tensor).is_none() {
        let copy = values(&contiguous(tensor)).par_iter().copied().collect();
        *tensor = from_vec(copy, tensor.layout().shape().clone());
    }
    own(tensor).expect("a new tensor is ours")
}

/// Rows that one task handles, for rows of `features`; a function of the shape alone, so that sums
/// over tasks do not depend on the number of threads.
pub(super) fn rows_per_task(features: usize) -> usize {
    (TASK / features.max(1)).max(1)
}

/// A tensor of the shape of `input`: `task` writes each piece of rows from the same rows of `input`.
///
/// # Safety
///
/// `task` writes every element of its piece.
pub(super) unsafe fn build_from_rows(
    input: &FlexTensor,
    features: usize,
    task: impl Fn(&mut [MaybeUninit<f32>], &[f32]) + Sync,
) -> FlexTensor {
    let block = rows_per_task(features) * features;
    let input = contiguous(input);
    let inputs = values(&input);
    let fill = |output: &mut [MaybeUninit<f32>]| {
        for_each_task(output, block, |number, rows| {
            let start = number * block;
            task(rows, &inputs[start..start + rows.len()]);
        });
    };
    // SAFETY: the pieces are all of the output, and the caller vouches for the task.
    unsafe { build(input.layout().shape().clone(), fill) }
}

/// `f(value, column)` of every value, `columns` having one value for each feature; in the memory
/// of `x` if nothing else refers to it.
pub(super) fn map_rows(
    mut x: FlexTensor,
    columns: &[f32],
    f: impl Fn(f32, f32) -> f32 + Copy + Sync,
) -> FlexTensor {
    let features = columns.len();
    if let Some(values) = own(&mut x) {
        for_each_task(values, rows_per_task(features) * features, |_, rows| {
            vectorized(MapInPlace { rows, columns, f });
        });
        return x;
    }
    // SAFETY: the kernel writes every row.
    unsafe {
        build_from_rows(&x, features, |output, inputs| {
            vectorized(Map {
                output,
                inputs,
                columns,
                f,
            });
        })
    }
}

struct MapInPlace<'a, F> {
    rows: &'a mut [f32],
    columns: &'a [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Kernel for MapInPlace<'_, F> {
    #[inline(always)]
    fn run(self) {
        for row in self.rows.chunks_exact_mut(self.columns.len()) {
            for (value, &column) in row.iter_mut().zip(self.columns) {
                *value = (self.f)(*value, column);
            }
        }
    }
}

struct Map<'a, F> {
    output: &'a mut [MaybeUninit<f32>],
    inputs: &'a [f32],
    columns: &'a [f32],
    f: F,
}

impl<F: Fn(f32, f32) -> f32> Kernel for Map<'_, F> {
    #[inline(always)]
    fn run(self) {
        let features = self.columns.len();
        let rows = self.output.chunks_exact_mut(features);
        for (row, inputs) in rows.zip(self.inputs.chunks_exact(features)) {
            for ((output, &value), &column) in row.iter_mut().zip(inputs).zip(self.columns) {
                output.write((self.f)(value, column));
            }
        }
    }
}

/// The rows of one task of a backward pass.
pub(super) struct BackwardRows<'a> {
    /// Index of the first value among all rows.
    pub(super) start: usize,
    pub(super) x: &'a [f32],
    /// Gradient of the output, to overwrite by that of `x`.
    pub(super) grad: &'a mut [f32],
    /// Output of the forward pass, to write.
    pub(super) output: &'a mut [MaybeUninit<f32>],
    /// Sums over the rows, cleared.
    pub(super) sums: &'a mut [f32],
}

/// Calls `task` with all rows of `x`, piece by piece; gives the output, and the `columns` sums
/// over all rows. The gradient of `x` takes the memory of `grad`.
///
/// # Safety
///
/// `task` writes every element of its output.
pub(super) unsafe fn for_backward_rows(
    x: &FlexTensor,
    grad: &mut FlexTensor,
    columns: usize,
    task: impl Fn(BackwardRows<'_>) + Sync,
) -> (FlexTensor, Vec<f32>) {
    let (rows, features) = rows_and_features(x);
    let x = contiguous(x);
    let block = rows_per_task(features) * features;
    let mut partial = vec![0.0; rows.div_ceil(rows_per_task(features)) * columns];
    let grads = make_own(grad);
    let fill = |output: &mut [MaybeUninit<f32>]| {
        let inputs = values(&x).par_chunks(block);
        let outputs = grads
            .par_chunks_mut(block)
            .zip(output.par_chunks_mut(block));
        let sums = partial.par_chunks_mut(columns);
        let tasks = inputs.zip(outputs).zip(sums).enumerate();
        tasks.for_each(|(number, ((x, (grad, output)), sums))| {
            task(BackwardRows {
                start: number * block,
                x,
                grad,
                output,
                sums,
            });
        });
    };
    // SAFETY: the pieces are all of the output, and the caller vouches for the task.
    let output = unsafe { build(x.layout().shape().clone(), fill) };
    (output, sum_rows(&partial, columns))
}

/// Calls `task` with the number and the piece of `size` elements of each task, on all cores.
pub(super) fn for_each_task<T: Send>(
    pieces: &mut [T],
    size: usize,
    task: impl Fn(usize, &mut [T]) + Sync,
) {
    if pieces.len() <= size {
        return task(0, pieces);
    }
    pieces
        .par_chunks_mut(size)
        .enumerate()
        .for_each(|(number, piece)| task(number, piece));
}

/// The sum of `partial`, one row of `features` after another in order.
pub(super) fn sum_rows(partial: &[f32], features: usize) -> Vec<f32> {
    let mut sum = vec![0.0; features];
    for row in partial.chunks_exact(features.max(1)) {
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += value;
        }
    }
    sum
}
