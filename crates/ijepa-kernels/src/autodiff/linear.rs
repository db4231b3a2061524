//! `x W + bias`.

use burn::backend::{
    Autodiff,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use crate::primitives::Primitives;

#[derive(Debug)]
struct Linear;

impl<B: Primitives> Backward<B, 3> for Linear {
    /// Input and weight.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node, bias_node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (x, weight) = ops.state;
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, B::bias_backward(grad.clone()));
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::affine_weight_backward(x, grad.clone()));
        }
        if let Some(node) = x_node {
            grads.register::<B>(node.id, B::affine_x_backward(grad, weight));
        }
    }
}

pub(super) fn linear<B: Primitives, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    let prepared = Linear.prepare::<C>([x.node(), weight.node(), bias.node()]);
    let (x, weight, bias) = (
        x.into_primitive(),
        weight.into_primitive(),
        bias.into_primitive(),
    );
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let state = (x.clone(), weight.clone());
            prepared.finish(state, B::affine(x, weight, Some(bias)))
        }
        OpsKind::UnTracked(prepared) => prepared.finish(B::affine(x, weight, Some(bias))),
    }
}
