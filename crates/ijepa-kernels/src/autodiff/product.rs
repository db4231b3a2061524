//! Products with a weight, plus a bias: their gradients need no more than the two factors.

use std::{fmt::Debug, marker::PhantomData};

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

/// What is linear in `x` and in its weight.
pub(super) trait Product: Debug + Send + 'static {
    /// The product plus `bias`.
    fn forward<B: Primitives>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: FloatTensor<B>,
    ) -> FloatTensor<B>;

    /// Gradient with respect to `x`.
    fn x_backward<B: Primitives>(grad: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B>;

    /// Gradient with respect to the weight.
    fn weight_backward<B: Primitives>(x: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B>;
}

/// `x W`.
#[derive(Debug)]
pub(super) struct Linear;

impl Product for Linear {
    fn forward<B: Primitives>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: FloatTensor<B>,
    ) -> FloatTensor<B> {
        B::affine(x, weight, Some(bias))
    }

    fn x_backward<B: Primitives>(grad: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
        B::affine_x_backward(grad, weight)
    }

    fn weight_backward<B: Primitives>(x: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
        B::affine_weight_backward(x, grad)
    }
}

/// A convolution of 3 by 3.
#[derive(Debug)]
pub(super) struct Convolution;

impl Product for Convolution {
    fn forward<B: Primitives>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: FloatTensor<B>,
    ) -> FloatTensor<B> {
        B::conv3x3(x, weight, Some(bias))
    }

    fn x_backward<B: Primitives>(grad: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
        B::conv3x3_x_backward(grad, weight)
    }

    fn weight_backward<B: Primitives>(x: FloatTensor<B>, grad: FloatTensor<B>) -> FloatTensor<B> {
        B::conv3x3_weight_backward(x, grad)
    }
}

#[derive(Debug)]
struct Biased<P>(PhantomData<P>);

impl<B: Primitives, P: Product> Backward<B, 3> for Biased<P> {
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
            grads.register::<B>(node.id, P::weight_backward::<B>(x, grad.clone()));
        }
        if let Some(node) = x_node {
            grads.register::<B>(node.id, P::x_backward::<B>(grad, weight));
        }
    }
}

/// A product plus `bias`, as one node.
pub(super) fn biased<P: Product, B: Primitives, C: CheckpointStrategy>(
    x: FloatTensor<Autodiff<B, C>>,
    weight: FloatTensor<Autodiff<B, C>>,
    bias: FloatTensor<Autodiff<B, C>>,
) -> FloatTensor<Autodiff<B, C>> {
    node::<_, B, C, _>(
        Biased::<P>(PhantomData),
        [x, weight, bias],
        |[x, weight, _]| (x, weight),
        |[x, weight, bias]| P::forward::<B>(x, weight, bias),
    )
}
