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
    lanes::{empty, is_narrow_float},
    slots::{Spread, arguments, flat, next, shaped, shapes_of, slots_of},
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

/// Whether the kernel takes `x` and writes `dtype`.
pub(super) fn fits(x: &[CubeTensor], dtype: FloatDType) -> bool {
    let narrower = dtype != FloatDType::F32 && is_narrow_float(dtype.into());
    let takes = |x: &CubeTensor| x.dtype == DType::F32 && x.meta.num_elements() > 0;
    narrower && x.iter().all(takes)
}

/// Every tensor of `x` in `dtype`.
pub(super) fn cast(x: Tensors<CubeBackend>, dtype: FloatDType) -> Tensors<CubeBackend> {
    let shapes = shapes_of(&x);
    let mut x = flat(x);
    // An input and an output each.
    let slots = slots_of(&x[0], 2, &[]);
    let mut outputs = Vec::new();
    while !x.is_empty() {
        outputs.extend(launch(next(&mut x, slots), dtype.into()));
    }
    shaped(outputs, &shapes)
}

fn launch(x: Vec<CubeTensor>, dtype: DType) -> Vec<CubeTensor> {
    let slots = x.len();
    let spread = Spread::over(&x);
    let outputs: Vec<CubeTensor> = x
        .iter()
        .map(|x| empty(x, x.meta.shape().clone(), dtype))
        .collect();
    // SAFETY: units past the last vector do nothing; tensors of a place have the same size.
    unsafe {
        cast_kernel::launch_unchecked(
            &spread.client,
            spread.count,
            spread.dim,
            spread.address,
            spread.size,
            arguments(x),
            arguments(outputs.clone()),
            spread.totals.into_iter().collect(),
            slots,
            elem(&outputs[0]),
        );
    }
    outputs
}
