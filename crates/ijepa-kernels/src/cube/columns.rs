//! Sums of columns, in the order of their parts: the same on every run.

use burn::tensor::DType;
use burn_cubecl::{
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    elem,
    lanes::{address_type, longest_vector},
    slots::arguments,
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
    sums: &mut Sequence<OwnedTensor<Vector<O, N>>>,
    parts: usize,
    vectors: usize,
    #[comptime] sets: usize,
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
        #[unroll]
        for set in 0..sets {
            if CUBE_POS_Y as usize == set {
                sums.index_mut(set)[vector] = Vector::cast_from(total);
            }
        }
    }
}

/// Sums every set of `partials`, `[sets, parts, columns]`, over its parts into its tensor of `sums`,
/// which have one type.
pub(super) fn column_sums(partials: CubeTensor, sums: &[&CubeTensor]) {
    let [sets, parts, columns] = partials.meta.shape().dims::<3>();
    let fits = |size| columns.is_multiple_of(size);
    let size = longest_vector(&partials, DType::F32.size(), fits);
    let vectors = columns / size;
    let [width, height] = CUBE;
    let (client, kind) = (partials.client.clone(), elem(sums[0]));
    // SAFETY: `vector` is below the columns and `part` below the parts of their tensors.
    unsafe {
        column_sums_kernel::launch_unchecked(
            &client,
            CubeCount::Static(vectors.div_ceil(width) as u32, sets as u32, 1),
            CubeDim::new_2d(width as u32, height as u32),
            address_type(&[&partials, sums[0]]),
            size,
            partials.into_tensor_arg(),
            arguments(sums.iter().copied().cloned().collect()),
            parts,
            vectors,
            sums.len(),
            width,
            height,
            kind,
        );
    }
}
