//! The transformer block.

use burn::backend::{
    Autodiff,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

use crate::{
    block::{self, Activations, BLOCK_TENSORS, BlockOptions, BlockTensors},
    primitives::Primitives,
};

/// The input and the parameters.
const PARENTS: usize = 1 + BLOCK_TENSORS;

#[derive(Debug)]
struct Block;

#[derive(Debug, Clone)]
struct State<B: Primitives> {
    x: FloatTensor<B>,
    kept: Option<Activations<B>>,
    tensors: BlockTensors<B>,
    options: BlockOptions,
}

impl<B: Primitives> Backward<B, PARENTS> for Block {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, PARENTS>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let State {
            x,
            kept,
            tensors,
            options,
        } = ops.state;
        let (d_x, gradients) = block::backward::<B>(x, kept, &tensors, &options, grad);
        let gradients = std::iter::once(d_x).chain(gradients.into_array());
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

pub(super) fn block<B: Primitives, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    tensors: BlockTensors<Autodiff<B, C>>,
    options: BlockOptions,
) -> FloatTensor<Autodiff<B, C>> {
    let tensors = tensors.into_array();
    let nodes = std::array::from_fn(|parent| match parent {
        0 => x.node(),
        _ => tensors[parent - 1].node(),
    });
    let prepared = Block.prepare::<C>(nodes);
    let x = x.into_primitive();
    let tensors = BlockTensors::<B>::from_array(tensors.map(|tensor| tensor.into_primitive()));
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (output, kept) = block::forward::<B>(x.clone(), &tensors, &options);
            let state = State {
                x,
                kept,
                tensors,
                options,
            };
            prepared.finish(state, output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(block::infer::<B>(x, &tensors, &options)),
    }
}
