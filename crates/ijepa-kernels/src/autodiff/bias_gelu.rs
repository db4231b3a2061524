//! `gelu(x + bias)`: the sum is computed again, not kept.

use burn::backend::{
    Autodiff,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops},
    },
    tensor::FloatTensor,
};

use super::node::node;
use crate::primitives::Primitives;

#[derive(Debug)]
struct BiasGelu;

impl<B: Primitives> Backward<B, 2> for BiasGelu {
    /// Input and bias.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, bias_node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (x, bias) = ops.state;
        let gradients = B::biased_gelu_backward(x, bias, grad);
        if let Some(node) = x_node {
            grads.register::<B>(node.id, gradients.x);
        }
        if let Some(node) = bias_node {
            grads.register::<B>(node.id, gradients.bias);
        }
    }
}

pub(super) fn bias_gelu<B: Primitives, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    node::<_, B, C, _>(
        BiasGelu,
        [x, bias],
        |[x, bias]| (x, bias),
        |[x, bias]| B::biased_gelu(x, bias),
    )
}
