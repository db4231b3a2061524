//! Sums of columns, in the order of their parts: the same on every run.

use burn::tensor::DType;
use burn_cubecl::{
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    elem,
    lanes::{address_type, empty, longest_vector},
};

/// Columns (vectors) and parts that a cube sums side by side.
pub(super) const CUBE: [usize; 2] = [32, 8];

/// Into how many parts kernels that sum the columns of `rows` rows divide them.
pub(super) fn parts_of(rows: usize) -> usize {
    rows.div_ceil(16).clamp(1, 1024)
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn column_sums_kernel<O: Float, N: Size>(
    partials: &Tensor<Vector<f32, N>>,
    first: &mut Tensor<Vector<O, N>>,
    second: &mut Tensor<Vector<O, N>>,
    parts: usize,
    vectors: usize,
    #[comptime] width: usize,
    #[comptime] height: usize,
    #[define(O)] _o: ElemType,
) {
    let mut scratch = Shared::<[Vector<f32, N>]>::new_slice(comptime!(width * height));
    let own = UNIT_POS_Y as usize * width + UNIT_POS_X as usize;
    let vector = CUBE_POS_X as usize * width + UNIT_POS_X as usize;
    let start = CUBE_POS_Y as usize * parts;
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if vector < vectors {
        let turns = (parts + height - 1 - UNIT_POS_Y as usize) / height;
        for turn in 0..turns {
            let part = turn * height + UNIT_POS_Y as usize;
            sum += partials[(start + part) * vectors + vector];
        }
    }
    scratch[own] = sum;
    sync_cube();
    if UNIT_POS_Y == 0 && vector < vectors {
        let mut total = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for part in 0..height {
            total += scratch[UNIT_POS_X as usize + part * width];
        }
        if CUBE_POS_Y == 0 {
            first[vector] = Vector::cast_from(total);
        } else {
            second[vector] = Vector::cast_from(total);
        }
    }
}

/// Sums `partials`, `[sets, parts, columns]`, over the parts of its one or two sets.
pub(super) fn column_sums(partials: CubeTensor, first: &CubeTensor, second: Option<&CubeTensor>) {
    let [sets, parts, columns] = partials.meta.shape().dims::<3>();
    let fits = |size| columns.is_multiple_of(size);
    let size = longest_vector(&partials, DType::F32.size(), fits);
    let vectors = columns / size;
    let [width, height] = CUBE;
    let unused = || empty(first, [size], first.dtype);
    let second = second.cloned().unwrap_or_else(unused);
    // SAFETY: `vector` is below the columns and `part` below the parts of their tensors.
    unsafe {
        column_sums_kernel::launch_unchecked(
            &first.client,
            CubeCount::Static(vectors.div_ceil(width) as u32, sets as u32, 1),
            CubeDim::new_2d(width as u32, height as u32),
            address_type(&[&partials, first]),
            size,
            partials.into_tensor_arg(),
            first.clone().into_tensor_arg(),
            second.into_tensor_arg(),
            parts,
            vectors,
            width,
            height,
            elem(first),
        );
    }
}
