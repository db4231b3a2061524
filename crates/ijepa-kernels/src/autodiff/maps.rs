//! Convolutions and group norms: only inputs are kept.

use burn::backend::{
    Autodiff, Backend,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops},
    },
    tensor::FloatTensor,
};

use super::{
    node::node,
    product::{self, Convolution},
};
use crate::{
    maps::{GroupNormOptions, MapOps},
    primitives::Primitives,
};

impl<B, C> MapOps for Autodiff<B, C>
where
    B: Backend + Primitives,
    C: CheckpointStrategy,
{
    fn fused_conv3x3(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        product::biased::<Convolution, B, C>(x, weight, bias)
    }

    fn fused_group_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        options: GroupNormOptions,
    ) -> FloatTensor<Self> {
        node::<_, B, C, _>(
            GroupNorm,
            [x, scale, shift],
            |[x, scale, shift]| (x, scale, shift, options),
            |[x, scale, shift]| B::group_norm(x, scale, shift, options),
        )
    }
}

#[derive(Debug)]
struct GroupNorm;

impl<B: Primitives> Backward<B, 3> for GroupNorm {
    /// Input, scale, shift and options.
    type State = (
        FloatTensor<B>,
        FloatTensor<B>,
        FloatTensor<B>,
        GroupNormOptions,
    );

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, scale_node, shift_node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (x, scale, shift, options) = ops.state;
        let gradients = B::group_norm_backward(x, scale, shift, options, grad);
        if let Some(node) = x_node {
            grads.register::<B>(node.id, gradients.x);
        }
        if let Some(node) = scale_node {
            grads.register::<B>(node.id, gradients.scale);
        }
        if let Some(node) = shift_node {
            grads.register::<B>(node.id, gradients.shift);
        }
    }
}
