//! The sum of squares of many tensors, always in the same order.

use burn::tensor::DType;
use burn_cubecl::{
    CubeBackend,
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    lanes::{address_type, empty},
    slots::{arguments, flat, next, slots_of, vectors_of},
};
use crate::list::Tensors;

/// Units of the one cube that adds the numbers of a part.
const UNITS: usize = 256;

/// The sum of what the units of a cube have, for the first of them.
#[cube]
fn sum_over_cube(value: f32, #[comptime] units: usize) -> f32 {
    let mut scratch = Shared::<[f32]>::new_slice(units);
    let unit = UNIT_POS as usize;
    scratch[unit] = value;
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
    scratch[0]
}

/// The sums of squares of the parts of every tensor, into `sums` from `from` on: a cube for each
/// part, in the order of the tensors.
#[cube(launch_unchecked, address_type = "dynamic")]
fn squares_kernel<N: Size>(
    x: &Sequence<OwnedTensor<Vector<f32, N>>>,
    sums: &mut Tensor<f32>,
    from: usize,
    totals: &Sequence<usize>,
    parts: &Sequence<usize>,
    #[comptime] slots: usize,
    #[comptime] units: usize,
) {
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut start = 0usize;
    #[unroll]
    for slot in 0..slots {
        let end = start + parts[slot];
        if CUBE_POS >= start && CUBE_POS < end {
            let step = parts[slot] * units;
            let turns = totals[slot].div_ceil(step);
            for turn in 0..turns {
                let at = turn * step + (CUBE_POS - start) * units + UNIT_POS as usize;
                if at < totals[slot] {
                    let value = x[slot][at];
                    sum += value * value;
                }
            }
        }
        start = end;
    }
    let total = sum_over_cube(sum.vector_sum(), units);
    if UNIT_POS == 0 {
        sums[from + CUBE_POS] = total;
    }
}

/// The sum of all elements.
#[cube(launch_unchecked, address_type = "dynamic")]
fn sum_kernel(x: &Tensor<f32>, output: &mut Tensor<f32>, total: usize, #[comptime] units: usize) {
    let mut sum = 0.0f32;
    let turns = total.div_ceil(units);
    for turn in 0..turns {
        let at = turn * units + UNIT_POS as usize;
        if at < total {
            sum += x[at];
        }
    }
    let sum = sum_over_cube(sum, units);
    if UNIT_POS == 0 {
        output[0] = sum;
    }
}

/// The sum of the squares of all elements, `[1]`: of parts first, then of their sums.
pub(super) fn squared_norm(x: Tensors<CubeBackend>) -> CubeTensor {
    let slots = slots_of(&x.0[0], 1, &[]);
    let mut x = flat(x);
    let parts_of = |x: &CubeTensor| x.meta.num_elements().div_ceil(64 * UNITS).clamp(1, 512);
    let all_parts: usize = x.iter().map(parts_of).sum();
    let sums = empty(&x[0], [all_parts], DType::F32);
    let mut from = 0;
    while !x.is_empty() {
        let of_launch = next(&mut x, slots);
        let parts: Vec<usize> = of_launch.iter().map(parts_of).collect();
        let next = from + parts.iter().sum::<usize>();
        squares_launch(of_launch, &sums, from, parts);
        from = next;
    }
    sum(sums)
}

/// Writes the sums of squares of the `parts` of every tensor into `sums` from `from` on.
fn squares_launch(x: Vec<CubeTensor>, sums: &CubeTensor, from: usize, parts: Vec<usize>) {
    let client = sums.client.clone();
    let slots = x.len();
    let (size, totals) = vectors_of(&x);
    let cubes: usize = parts.iter().sum();
    // SAFETY: units past the last vector read nothing; each cube writes its own part.
    unsafe {
        squares_kernel::launch_unchecked(
            &client,
            CubeCount::Static(cubes as u32, 1, 1),
            CubeDim::new_1d(UNITS as u32),
            address_type(&x.iter().collect::<Vec<_>>()),
            size,
            arguments(x),
            sums.clone().into_tensor_arg(),
            from,
            totals.into_iter().collect(),
            parts.into_iter().collect(),
            slots,
            UNITS,
        );
    }
}

/// The sum of all elements, `[1]`.
fn sum(x: CubeTensor) -> CubeTensor {
    let output = empty(&x, [1], DType::F32);
    let (client, total) = (x.client.clone(), x.meta.num_elements());
    // SAFETY: units past the last element read nothing, and one writes the only sum.
    unsafe {
        sum_kernel::launch_unchecked(
            &client,
            CubeCount::new_single(),
            CubeDim::new_1d(UNITS as u32),
            address_type(&[&x]),
            x.into_tensor_arg(),
            output.clone().into_tensor_arg(),
            total,
            UNITS,
        );
    }
    output
}
