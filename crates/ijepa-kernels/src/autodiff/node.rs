//! An operation as one node of the graph.

use std::fmt::Debug;

use burn::backend::{
    Autodiff, Backend,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind},
    },
    tensor::FloatTensor,
};

/// Gradients of `N` inputs, given what was kept, the gradient of the output, and which inputs
/// want theirs; those of the others may be left out.
type Gradient<S, B, const N: usize> =
    fn(S, FloatTensor<B>, [bool; N]) -> [Option<FloatTensor<B>>; N];

#[derive(Debug)]
struct Node<S, B: Backend, const N: usize>(Gradient<S, B, N>);

impl<S, B, const N: usize> Backward<B, N> for Node<S, B, N>
where
    S: Clone + Debug + Send + 'static,
    B: Backend,
{
    type State = S;

    fn backward(self, ops: Ops<S, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let gradients = (self.0)(ops.state, grad, wanted);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (node, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// The output of `forward`, which also gives what `gradient` needs if it is told to keep it.
pub(super) fn node<S, B, C, const N: usize>(
    inputs: [FloatTensor<Autodiff<B, C>>; N],
    forward: impl FnOnce([FloatTensor<B>; N], bool) -> (FloatTensor<B>, Option<S>),
    gradient: Gradient<S, B, N>,
) -> FloatTensor<Autodiff<B, C>>
where
    S: Clone + Debug + Send + 'static,
    B: Backend,
    C: CheckpointStrategy,
{
    let prepared = Node(gradient).prepare::<C>(inputs.each_ref().map(|input| input.node()));
    let inputs = inputs.map(|input| input.into_primitive());
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (output, kept) = forward(inputs, true);
            prepared.finish(kept.expect("told to keep what gradients need"), output)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(forward(inputs, false).0),
    }
}
