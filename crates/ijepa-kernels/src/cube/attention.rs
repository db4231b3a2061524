//! Self-attention: batched products of Burn, and one kernel between them.

use burn::{backend::ops::FloatTensorOps, tensor::Shape};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};

use super::{fit, heads, softmax};
use crate::primitives::{Optional, Projected};

type Ops = CubeBackend;

/// `a b^T` for every head.
fn times_transposed(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    Ops::float_matmul(a, Ops::float_transpose(b))
}

/// `1 / sqrt(head_dim)`.
fn scale_of(q: &CubeTensor) -> f64 {
    (q.meta.shape()[3] as f64).sqrt().recip()
}

/// `[batch, heads, tokens, head_dim]` as `[batch, tokens, dim]`, in that order in memory.
fn join_one(x: CubeTensor) -> CubeTensor {
    let [batch, heads, tokens, head_dim] = x.meta.shape().dims::<4>();
    let joined = into_contiguous(Ops::float_permute(x, &[0, 2, 1, 3]));
    Ops::float_reshape(joined, Shape::new([batch, tokens, heads * head_dim]))
}

/// Whether the kernels take `qkv`.
pub(super) fn fits(qkv: &Projected<Ops>) -> bool {
    let Projected { product, bias } = qkv;
    let bias_fits = match bias {
        Optional::Some(bias) => fit([bias]),
        Optional::None => true,
    };
    bias_fits && fit([product]) && softmax::fits(product, product.meta.shape()[1])
}

/// See [`Primitives::mix`](crate::primitives::Primitives::mix).
pub(super) fn mix(qkv: &Projected<Ops>, num_heads: usize, first: usize) -> CubeTensor {
    let [q, k, v] = heads::split(qkv, num_heads, first);
    let scale = scale_of(&q);
    let weights = softmax::softmax(times_transposed(q, k), scale);
    join_one(Ops::float_matmul(weights, v))
}

/// See [`Primitives::mix_backward`](crate::primitives::Primitives::mix_backward).
pub(super) fn mix_backward(
    qkv: &Projected<Ops>,
    grad: &CubeTensor,
    num_heads: usize,
    first: usize,
) -> CubeTensor {
    let [q, k, v, grad] = heads::split_with(qkv, grad, num_heads, first);
    let scale = scale_of(&q);
    let scores = times_transposed(q.clone(), k.clone());
    let d_weights = times_transposed(grad.clone(), v);
    let [weights, d_scores] = softmax::softmax_backward(scores, d_weights, scale);
    let d_v = Ops::float_matmul(Ops::float_transpose(weights), grad);
    let d_k = Ops::float_matmul(Ops::float_transpose(d_scores.clone()), q);
    let d_q = Ops::float_matmul(d_scores, k);
    heads::join([d_q, d_k, d_v], first)
}
