//! Reading and building flex tensors without needless copies or clearing.

use std::mem::MaybeUninit;

use burn::{
    backend::flex::{FlexTensor, Layout},
    tensor::{Bytes, DType, Shape},
};
use rayon::prelude::*;

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

/// A tensor whose every element `fill` writes.
pub(super) fn build(shape: Shape, fill: impl FnOnce(&mut [MaybeUninit<f32>])) -> FlexTensor {
    let len = shape.num_elements();
    let mut values: Vec<f32> = Vec::with_capacity(len);
    fill(&mut values.spare_capacity_mut()[..len]);
    #[expect(
        unsafe_code,
        reason = "clearing what is overwritten costs as much as the kernel"
    )]
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

/// Initialised values as such that are written without being read.
pub(super) fn as_uninit(values: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    #[expect(unsafe_code, reason = "one kernel for new and reused buffers")]
    // SAFETY: the layouts are equal, and the kernels only ever write initialised values.
    unsafe {
        &mut *(std::ptr::from_mut(values) as *mut [MaybeUninit<f32>])
    }
}

/// Rows that one task handles, for rows of `features`; a function of the shape alone, so that sums
/// over tasks do not depend on the number of threads.
pub(super) fn rows_per_task(features: usize) -> usize {
    (TASK / features.max(1)).max(1)
}

/// Calls `task` with the rows of each piece of `output`, on all cores.
pub(super) fn for_row_blocks<T: Send>(
    output: &mut [T],
    features: usize,
    task: impl Fn(&mut [T]) + Sync,
) {
    let block = rows_per_task(features) * features.max(1);
    for_each_task(output, block, |_, rows| task(rows));
}

/// A tensor of the shape of `input`: `task` writes each piece of rows from the same rows of `input`.
pub(super) fn build_from_rows(
    input: &FlexTensor,
    features: usize,
    task: impl Fn(&mut [MaybeUninit<f32>], &[f32]) + Sync,
) -> FlexTensor {
    let block = rows_per_task(features) * features.max(1);
    let inputs = values(input);
    build(input.layout().shape().clone(), |output| {
        for_each_task(output, block, |number, rows| {
            let start = number * block;
            task(rows, &inputs[start..start + rows.len()]);
        });
    })
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
