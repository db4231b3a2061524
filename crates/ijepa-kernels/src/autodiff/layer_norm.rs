//! Layer norm: only the input is kept; mean and variance are computed again.

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
struct LayerNorm;

impl<B: Primitives> Backward<B, 3> for LayerNorm {
    /// Input, gamma, beta and epsilon.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, f64);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, gamma_node, beta_node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (x, gamma, beta, epsilon) = ops.state;
        let gradients = B::norm_backward(x, gamma, beta, epsilon, grad, None);
        if let Some(node) = x_node {
            grads.register::<B>(node.id, gradients.x);
        }
        if let Some(node) = gamma_node {
            grads.register::<B>(node.id, gradients.gamma);
        }
        if let Some(node) = beta_node {
            grads.register::<B>(node.id, gradients.beta);
        }
    }
}

pub(super) fn layer_norm<B: Primitives, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    gamma: FloatTensor<Autodiff<B, C>>,
    beta: FloatTensor<Autodiff<B, C>>,
    epsilon: f64,
) -> FloatTensor<Autodiff<B, C>> {
    node::<_, B, C, _>(
        LayerNorm,
        [x, gamma, beta],
        |[x, gamma, beta]| (x, gamma, beta, epsilon),
        |[x, gamma, beta]| B::norm(x, gamma, beta, epsilon),
    )
}
