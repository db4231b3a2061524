//! The softmax of scaled attention scores and its gradient, in place and in f32.

use burn_cubecl::{
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    elem,
    lanes::{Lanes, address_type, as_rows, load_row, max_over_lanes, sum_over_lanes, vector_size},
};

/// Turns the lane's scores of a row into weights.
#[cube]
fn weigh<N: Size>(
    values: &mut Array<Vector<f32, N>>,
    vectors: usize,
    scale: f32,
    #[comptime] per_lane: usize,
    #[comptime] lanes: Lanes,
) {
    let mut greatest = f32::min_value();
    #[unroll]
    for index in 0..per_lane {
        let vector = UNIT_POS_X as usize + index * comptime!(lanes.width);
        if vector < vectors {
            #[unroll]
            for place in 0..N::value() {
                greatest = max(greatest, values[index].extract(place));
            }
        }
    }
    let greatest = max_over_lanes(greatest, lanes);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for index in 0..per_lane {
        let vector = UNIT_POS_X as usize + index * comptime!(lanes.width);
        if vector < vectors {
            let below = (values[index] - Vector::new(greatest)) * Vector::new(scale);
            values[index] = below.exp();
            sum += values[index];
        }
    }
    let factor = 1.0f32 / sum_over_lanes(sum.vector_sum(), lanes);
    #[unroll]
    for index in 0..per_lane {
        values[index] = values[index] * Vector::new(factor);
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn softmax_kernel<S: Float, N: Size>(
    scores: &mut Tensor<Vector<S, N>>,
    rows: usize,
    vectors: usize,
    scale: f32,
    #[comptime] per_lane: usize,
    #[comptime] lanes: Lanes,
    #[define(S)] _s: ElemType,
) {
    let row = CUBE_POS * comptime!(lanes.height) + UNIT_POS_Y as usize;
    let read = select(row < rows, row, 0);
    let stride = scores.stride(0) / N::value();
    let mut values = load_row(scores.as_slice(), read * stride, vectors, per_lane, lanes);
    weigh(&mut values, vectors, scale, per_lane, lanes);
    let start = row * stride;
    #[unroll]
    for index in 0..per_lane {
        let vector = UNIT_POS_X as usize + index * comptime!(lanes.width);
        if vector < vectors && row < rows {
            scores[start + vector] = Vector::cast_from(values[index]);
        }
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn softmax_backward_kernel<S: Float, N: Size>(
    scores: &mut Tensor<Vector<S, N>>,
    grad: &mut Tensor<Vector<S, N>>,
    rows: usize,
    vectors: usize,
    scale: f32,
    #[comptime] per_lane: usize,
    #[comptime] lanes: Lanes,
    #[define(S)] _s: ElemType,
) {
    let row = CUBE_POS * comptime!(lanes.height) + UNIT_POS_Y as usize;
    let read = select(row < rows, row, 0);
    let scores_stride = scores.stride(0) / N::value();
    let grad_stride = grad.stride(0) / N::value();
    let mut weights = load_row(
        scores.as_slice(),
        read * scores_stride,
        vectors,
        per_lane,
        lanes,
    );
    let slopes = load_row(
        grad.as_slice(),
        read * grad_stride,
        vectors,
        per_lane,
        lanes,
    );
    weigh(&mut weights, vectors, scale, per_lane, lanes);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for index in 0..per_lane {
        let vector = UNIT_POS_X as usize + index * comptime!(lanes.width);
        if vector < vectors {
            sum += weights[index] * slopes[index];
        }
    }
    let inner = Vector::new(sum_over_lanes(sum.vector_sum(), lanes));
    let scores_start = row * scores_stride;
    let grad_start = row * grad_stride;
    #[unroll]
    for index in 0..per_lane {
        let vector = UNIT_POS_X as usize + index * comptime!(lanes.width);
        if vector < vectors && row < rows {
            let own = weights[index] * (slopes[index] - inner) * Vector::new(scale);
            scores[scores_start + vector] = Vector::cast_from(weights[index]);
            grad[grad_start + vector] = Vector::cast_from(own);
        }
    }
}

/// How the kernels go over the rows of some matrices.
struct Plan {
    lanes: Lanes,
    size: usize,
    vectors: usize,
    rows: usize,
    /// A power of two, so that lengths of tokens share kernels.
    per_lane: usize,
}

impl Plan {
    fn new(matrices: &[&CubeTensor]) -> Self {
        let lanes = Lanes::of(&matrices[0].client);
        let size = vector_size(matrices);
        let vectors = matrices[0].meta.shape()[1] / size;
        Self {
            lanes,
            size,
            vectors,
            rows: matrices[0].meta.shape()[0],
            per_lane: vectors.div_ceil(lanes.width).next_power_of_two(),
        }
    }
}

/// Whether rows of `keys` scores fit the lanes, however they are aligned.
pub(super) fn fits(like: &CubeTensor, keys: usize) -> bool {
    Lanes::of(&like.client).per_lane(keys).is_some()
}

/// `softmax(scores * scale)` over the last dimension, in the memory of `scores`.
pub(super) fn softmax(scores: CubeTensor, scale: f64) -> CubeTensor {
    let matrix = as_rows(scores.clone());
    let plan = Plan::new(&[&matrix]);
    let (client, kind) = (matrix.client.clone(), elem(&matrix));
    // SAFETY: every index is below the rows and vectors of the tensor, which the plan counted.
    unsafe {
        softmax_kernel::launch_unchecked(
            &client,
            plan.lanes.cube_count(&client, plan.rows),
            plan.lanes.cube_dim(),
            address_type(&[&matrix]),
            plan.size,
            matrix.into_tensor_arg(),
            plan.rows,
            plan.vectors,
            scale as f32,
            plan.per_lane,
            plan.lanes,
            kind,
        );
    }
    scores
}

/// The weights of `scores` and the gradient of `scores`, given the gradient of the weights; each
/// in the memory of what it is computed from.
pub(super) fn softmax_backward(
    scores: CubeTensor,
    grad: CubeTensor,
    scale: f64,
) -> [CubeTensor; 2] {
    let matrices = [&scores, &grad].map(|tensor| as_rows(tensor.clone()));
    let plan = Plan::new(&matrices.each_ref());
    let (client, kind) = (scores.client.clone(), elem(&scores));
    let address = address_type(&matrices.each_ref());
    let [scores_rows, grad_rows] = matrices;
    // SAFETY: every index is below the rows and vectors of the tensors, which have one shape.
    unsafe {
        softmax_backward_kernel::launch_unchecked(
            &client,
            plan.lanes.cube_count(&client, plan.rows),
            plan.lanes.cube_dim(),
            address,
            plan.size,
            scores_rows.into_tensor_arg(),
            grad_rows.into_tensor_arg(),
            plan.rows,
            plan.vectors,
            scale as f32,
            plan.per_lane,
            plan.lanes,
            kind,
        );
    }
    [scores, grad]
}
