//! Convolutions and group norms: only inputs are kept.

use burn::backend::{
    Autodiff, autodiff::checkpoint::strategy::CheckpointStrategy, tensor::FloatTensor,
};

use super::node::node;
use crate::{
    maps::{GroupNormOptions, MapPrimitives},
    primitives::{LinearTensors, Primitives},
};

impl<B, C> MapPrimitives for Autodiff<B, C>
where
    B: MapPrimitives + Primitives,
    C: CheckpointStrategy,
{
    fn conv3x3(x: FloatTensor<Self>, filter: LinearTensors<Self>) -> FloatTensor<Self> {
        node::<_, B, C, _>(
            [x, filter.weight, filter.bias],
            |[x, weight, bias], keep| {
                let kept = keep.then(|| (x.clone(), weight.clone()));
                (B::conv3x3(x, LinearTensors { weight, bias }), kept)
            },
            |(x, weight), grad, [by_x, by_weight, by_bias]| {
                let bias = by_bias.then(|| B::column_sums(grad.clone()));
                let d_weight = by_weight.then(|| B::conv3x3_weight_backward(x, grad.clone()));
                let d_x = by_x.then(|| B::conv3x3_x_backward(grad, weight));
                [d_x, d_weight, bias]
            },
        )
    }

    fn group_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        options: GroupNormOptions,
    ) -> FloatTensor<Self> {
        node::<_, B, C, _>(
            [x, scale, shift],
            |[x, scale, shift], keep| {
                let kept = keep.then(|| (x.clone(), scale.clone(), shift.clone(), options));
                (B::group_norm(x, scale, shift, options), kept)
            },
            |(x, scale, shift, options), grad, _| {
                let gradients = B::group_norm_backward(x, scale, shift, options, grad);
                [gradients.x, gradients.scale, gradients.shift].map(Some)
            },
        )
    }
}
