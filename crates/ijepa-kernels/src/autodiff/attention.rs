//! Self-attention: the weights are computed again, not kept.

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
struct Attention;

impl<B: Primitives> Backward<B, 1> for Attention {
    /// Input, output and number of heads.
    type State = (FloatTensor<B>, FloatTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let (qkv, mixed, num_heads) = ops.state;
        if let Some(node) = node {
            grads.register::<B>(node.id, B::mix_backward(qkv, mixed, grad, num_heads, 0));
        }
    }
}

pub(super) fn attention<B: Primitives, C: CheckpointStrategy>(
    qkv: FloatTensor<Autodiff<B, C>>,
    num_heads: usize,
) -> FloatTensor<Autodiff<B, C>> {
    let prepared = Attention.prepare::<C>([qkv.node()]);
    let qkv = qkv.into_primitive();
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let mixed = B::mix(qkv.clone(), num_heads, 0);
            prepared.finish((qkv, mixed.clone(), num_heads), mixed)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(B::mix(qkv, num_heads, 0)),
    }
}
