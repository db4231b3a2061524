//! The softmax of scaled attention scores and its gradient, in place and in f32.

use burn_cubecl::{
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    elem,
    lanes::{
        Lanes, Plan, address_type, as_rows, load_row, max_over_lanes, sum_over_lanes, with_rows,
    },
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

/// Whether rows of `keys` scores fit the lanes, however they are aligned.
pub(super) fn fits(like: &CubeTensor, keys: usize) -> bool {
    Lanes::of(&like.client).per_lane(keys).is_some()
}

/// How to go over rows that [`fits`] allows: by powers of two, so that lengths of tokens share
/// kernels.
fn plan(matrices: &[&CubeTensor]) -> Plan {
    let plan = Plan::new(matrices).expect("rows that fit the lanes");
    Plan {
        per_lane: plan.per_lane.next_power_of_two(),
        ..plan
    }
}

/// `softmax(scores * scale)` over the last dimension, in the memory of `scores` if its rows lie
/// equally far apart.
pub(super) fn softmax(scores: CubeTensor, scale: f64) -> CubeTensor {
    let scores = with_rows(scores);
    let matrix = as_rows(scores.clone());
    let plan = plan(&[&matrix]);
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
/// in the memory of what it is computed from if its rows lie equally far apart.
pub(super) fn softmax_backward(
    scores: CubeTensor,
    grad: CubeTensor,
    scale: f64,
) -> [CubeTensor; 2] {
    let outputs = [scores, grad].map(with_rows);
    let matrices = outputs.clone().map(as_rows);
    let plan = plan(&matrices.each_ref());
    let address = address_type(&matrices.each_ref());
    let [scores, grad] = matrices;
    let (client, kind) = (scores.client.clone(), elem(&scores));
    // SAFETY: every index is below the rows and vectors of the tensors, which have one shape.
    unsafe {
        softmax_backward_kernel::launch_unchecked(
            &client,
            plan.lanes.cube_count(&client, plan.rows),
            plan.lanes.cube_dim(),
            address,
            plan.size,
            scores.into_tensor_arg(),
            grad.into_tensor_arg(),
            plan.rows,
            plan.vectors,
            scale as f32,
            plan.per_lane,
            plan.lanes,
            kind,
        );
    }
    outputs
}

#[cfg(test)]
mod tests {
    use burn_cubecl::cubecl::zspace::metadata::Metadata;

    use super::*;
    use crate::cube::testing::{cube_device, elements, read, tensor};

    /// `exp(x * scale)` of every row over its sum.
    fn by_hand(rows: &[f32], columns: usize, scale: f32) -> Vec<f32> {
        let weigh = |row: &[f32]| -> Vec<f32> {
            let powers: Vec<f32> = row.iter().map(|x| (x * scale).exp()).collect();
            let sum: f32 = powers.iter().sum();
            powers.iter().map(|power| power / sum).collect()
        };
        rows.chunks(columns).flat_map(weigh).collect()
    }

    /// Scores whose rows are columns in memory, which no kernel reads where they lie.
    #[test]
    fn scores_may_lie_anyhow() {
        let Some(device) = cube_device() else {
            return;
        };
        let values: Vec<f32> = (0..24).map(|i| (i * 7 % 24) as f32 / 8.0 - 1.0).collect();
        let transposed = || {
            let mut scores = tensor(&device, &values, [24]);
            scores.meta = Box::new(Metadata::new([2, 4, 3], [12, 1, 4]));
            scores
        };
        let scores = elements(&values, &[2, 4, 3], &[12, 1, 4]);
        let expected = by_hand(&scores, 3, 0.5);
        let read = |found: CubeTensor| {
            let strides: Vec<usize> = found.meta.strides().to_vec();
            elements(&read(found), &[2, 4, 3], &strides)
        };
        let close = |found: Vec<f32>, expected: &[f32]| {
            ijepa_testkit::assert_close("softmax", &found, expected, 1e-5);
        };
        close(read(softmax(transposed(), 0.5)), &expected);

        let [weights, d_scores] = softmax_backward(transposed(), transposed(), 0.5);
        close(read(weights), &expected);
        let rows = expected.chunks(3).zip(scores.chunks(3));
        let gradients = rows.flat_map(|(weights, grad)| {
            let inner: f32 = weights.iter().zip(grad).map(|(w, g)| w * g).sum();
            let of = |(w, g): (&f32, &f32)| w * (g - inner) * 0.5;
            weights.iter().zip(grad).map(of).collect::<Vec<f32>>()
        });
        close(read(d_scores), &gradients.collect::<Vec<f32>>());
    }
}
