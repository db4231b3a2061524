//! Tensors in another number type, contiguous: Burn's cast leaves gaps between rows, for which
//! products then make a copy.

use burn::tensor::{DType, FloatDType};
use burn_cubecl::{
    CubeBackend,
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    elem,
    lanes::{address_type, elementwise, empty, is_narrow_float, with_shape},
    slots::{arguments, flat, next, shaped, shapes_of, slots_of, vectors_of},
};
use crate::list::Tensors;

#[cube(launch_unchecked, address_type = "dynamic")]
fn cast_kernel<O: Float, N: Size>(
    x: &Sequence<OwnedTensor<Vector<f32, N>>>,
    outputs: &mut Sequence<OwnedTensor<Vector<O, N>>>,
    totals: &Sequence<usize>,
    #[comptime] slots: usize,
    #[define(O)] _o: ElemType,
) {
    let mut start = 0usize;
    #[unroll]
    for slot in 0..slots {
        let end = start + totals[slot];
        if ABSOLUTE_POS >= start && ABSOLUTE_POS < end {
            let at = ABSOLUTE_POS - start;
            outputs.index_mut(slot)[at] = Vector::cast_from(x[slot][at]);
        }
        start = end;
    }
}

/// Whether the kernel writes `dtype`.
pub(super) fn writes(dtype: FloatDType) -> bool {
    dtype != FloatDType::F32 && is_narrow_float(dtype.into())
}

/// `x`, in f32, in `dtype`.
pub(super) fn cast(x: CubeTensor, dtype: DType) -> CubeTensor {
    let shape = x.meta.shape().clone();
    let flat = flat(Tensors(vec![x]));
    let [narrow] = <[CubeTensor; 1]>::try_from(launch(flat, dtype)).expect("one tensor for one");
    with_shape(narrow, shape)
}

/// Every tensor of `x`, all f32, in `dtype`.
pub(super) fn cast_all(x: Tensors<CubeBackend>, dtype: DType) -> Tensors<CubeBackend> {
    let shapes = shapes_of(&x);
    let mut x = flat(x);
    // An input and an output each.
    let slots = slots_of(&x[0], 2, &[]);
    let mut outputs = Vec::new();
    while !x.is_empty() {
        outputs.extend(launch(next(&mut x, slots), dtype));
    }
    shaped(outputs, &shapes)
}

fn launch(x: Vec<CubeTensor>, dtype: DType) -> Vec<CubeTensor> {
    let client = x[0].client.clone();
    let slots = x.len();
    let (size, totals) = vectors_of(&x);
    let (count, dim) = elementwise(&client, totals.iter().sum());
    let address = address_type(&x.iter().collect::<Vec<_>>());
    let outputs: Vec<CubeTensor> = x
        .iter()
        .map(|x| empty(x, x.meta.shape().clone(), dtype))
        .collect();
    // SAFETY: units past the last vector do nothing; tensors of a place have the same size.
    unsafe {
        cast_kernel::launch_unchecked(
            &client,
            count,
            dim,
            address,
            size,
            arguments(x),
            arguments(outputs.clone()),
            totals.into_iter().collect(),
            slots,
            elem(&outputs[0]),
        );
    }
    outputs
}
