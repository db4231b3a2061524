//! An operation as one node of the graph.

use burn::backend::{
    Autodiff, Backend,
    autodiff::{
        checkpoint::strategy::CheckpointStrategy,
        ops::{Backward, OpsKind},
    },
    tensor::FloatTensor,
};

/// `forward(inputs)`; `state` is what the gradients need of the inputs, if any are asked for.
pub(super) fn node<Op, B, C, const N: usize>(
    op: Op,
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    state: impl FnOnce([FloatTensor<B>; N]) -> Op::State,
    forward: impl FnOnce([FloatTensor<B>; N]) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>>
where
    Op: Backward<B, N>,
    B: Backend,
    C: CheckpointStrategy,
{
    let prepared = op.prepare::<C>(inputs.each_ref().map(|input| input.node()));
    let inputs = inputs.map(|input| input.into_primitive());
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state(inputs.clone()), forward(inputs)),
        OpsKind::UnTracked(prepared) => prepared.finish(forward(inputs)),
    }
}
