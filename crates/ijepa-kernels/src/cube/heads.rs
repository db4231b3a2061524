//! Queries, keys and values from one tensor to one matrix a head, and back, in one pass.

use burn_cubecl::{
    CubeBackend,
    cubecl::{self, prelude::*},
    tensor::CubeTensor,
};

use super::{
    elem,
    lanes::{address_type, as_rows, elementwise, empty, longest_vector},
};
use crate::primitives::{Optional, Projected};

/// Where a vector of `[batch, tokens, 3 * dim]` lies.
#[derive(CubeType)]
struct Place {
    batch: usize,
    token: usize,
    part: usize,
    head: usize,
    vector: usize,
}

#[cube]
fn place(position: usize, tokens: usize, heads: usize, vectors: usize) -> Place {
    let column = position / vectors;
    let part = column / heads;
    let row = part / 3;
    Place {
        batch: row / tokens,
        token: row % tokens,
        part: part % 3,
        head: column % heads,
        vector: position % vectors,
    }
}

/// Index of a vector of `[batch, heads, tokens, head_dim]`, given the steps of its dimensions.
#[cube]
fn index_of(at: &Place, token: usize, strides: (usize, usize, usize), size: usize) -> usize {
    (at.batch * strides.0 + at.head * strides.1 + token * strides.2) / size + at.vector
}

/// The vector of a place in `[batch, heads, tokens, head_dim]`, where it is `token`.
#[cube]
fn read<X: Float, N: Size>(
    tensor: &Tensor<Vector<X, N>>,
    at: &Place,
    token: usize,
) -> Vector<X, N> {
    let strides = (tensor.stride(0), tensor.stride(1), tensor.stride(2));
    tensor[index_of(at, token, strides, N::value())]
}

/// Writes what [`read`] reads.
#[cube]
fn write<X: Float, N: Size>(
    tensor: &mut Tensor<Vector<X, N>>,
    at: &Place,
    token: usize,
    value: Vector<X, N>,
) {
    let strides = (tensor.stride(0), tensor.stride(1), tensor.stride(2));
    tensor[index_of(at, token, strides, N::value())] = value;
}

/// `value` with the bias of its column, if there is one.
#[cube]
fn biased<X: Float, P: Float, N: Size>(
    value: Vector<X, N>,
    bias: &Tensor<Vector<P, N>>,
    column: usize,
    #[comptime] has_bias: bool,
) -> Vector<X, N> {
    if comptime!(has_bias) {
        let sum = Vector::<f32, N>::cast_from(value) + Vector::cast_from(bias[column]);
        Vector::cast_from(sum)
    } else {
        value
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn split_kernel<X: Float, P: Float, N: Size>(
    qkv: &Tensor<Vector<X, N>>,
    bias: &Tensor<Vector<P, N>>,
    grad: &Tensor<Vector<X, N>>,
    q: &mut Tensor<Vector<X, N>>,
    k: &mut Tensor<Vector<X, N>>,
    v: &mut Tensor<Vector<X, N>>,
    d: &mut Tensor<Vector<X, N>>,
    total: usize,
    tokens: usize,
    heads: usize,
    vectors: usize,
    first: usize,
    #[comptime] has_bias: bool,
    #[comptime] has_grad: bool,
    #[define(X)] _x: ElemType,
    #[define(P)] _p: ElemType,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    let at = place(ABSOLUTE_POS, tokens, heads, vectors);
    let row = at.batch * tokens + at.token;
    let column = ABSOLUTE_POS - row * 3 * heads * vectors;
    let value = qkv[row * (qkv.stride(0) / N::value()) + column];
    let value = biased(value, bias, column, has_bias);
    if at.part == 0 {
        if at.token >= first {
            write(q, &at, at.token - first, value);
            if comptime!(has_grad) {
                let row = at.batch * (tokens - first) + at.token - first;
                let value = grad[row * (grad.stride(0) / N::value()) + column];
                write(d, &at, at.token - first, value);
            }
        }
    } else if at.part == 1 {
        write(k, &at, at.token, value);
    } else {
        write(v, &at, at.token, value);
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn join_kernel<X: Float, N: Size>(
    q: &Tensor<Vector<X, N>>,
    k: &Tensor<Vector<X, N>>,
    v: &Tensor<Vector<X, N>>,
    qkv: &mut Tensor<Vector<X, N>>,
    total: usize,
    tokens: usize,
    heads: usize,
    vectors: usize,
    first: usize,
    #[define(X)] _x: ElemType,
) {
    if ABSOLUTE_POS >= total {
        terminate!();
    }
    let at = place(ABSOLUTE_POS, tokens, heads, vectors);
    let mut value = Vector::<X, N>::new(X::new(0.0f32));
    if at.part == 0 {
        if at.token >= first {
            value = read(q, &at, at.token - first);
        }
    } else if at.part == 1 {
        value = read(k, &at, at.token);
    } else {
        value = read(v, &at, at.token);
    }
    qkv[ABSOLUTE_POS] = value;
}

/// The longest vectors that divide the heads and the steps between them.
fn vector_size(head_dim: usize, tensors: &[&CubeTensor]) -> usize {
    let widest = tensors.iter().map(|tensor| tensor.dtype.size()).max();
    longest_vector(tensors[0], widest.unwrap_or(4), |size| {
        let steps = tensors.iter().flat_map(|tensor| {
            let strides = tensor.meta.strides();
            &strides[..strides.len() - 1]
        });
        head_dim.is_multiple_of(size) && steps.copied().all(|step| step.is_multiple_of(size))
    })
}

/// `[batch, tokens, 3 * dim]` as queries from token `first` on, keys and values, each
/// `[batch, heads, tokens, head_dim]`.
pub(super) fn split(qkv: &Projected<CubeBackend>, heads: usize, first: usize) -> [CubeTensor; 3] {
    let [q, k, v, _] = split_all(qkv, None, heads, first);
    [q, k, v]
}

/// As [`split`], and so the gradient of what attention gives, `[batch, tokens - first, dim]`.
pub(super) fn split_with(
    qkv: &Projected<CubeBackend>,
    grad: &CubeTensor,
    heads: usize,
    first: usize,
) -> [CubeTensor; 4] {
    split_all(qkv, Some(grad), heads, first)
}

/// Place of the queries among the arguments of the kernel.
const QUERIES: usize = 3;

fn split_all(
    qkv: &Projected<CubeBackend>,
    grad: Option<&CubeTensor>,
    heads: usize,
    first: usize,
) -> [CubeTensor; 4] {
    let (qkv, bias) = match &qkv.bias {
        Optional::Some(bias) => (&qkv.product, Some(bias)),
        Optional::None => (&qkv.product, None),
    };
    let [batch, tokens, features] = qkv.meta.shape().dims::<3>();
    let head_dim = features / 3 / heads;
    let part = |tokens: usize| empty(qkv, [batch, heads, tokens, head_dim], qkv.dtype);
    let [q, k, v] = [part(tokens - first), part(tokens), part(tokens)];
    let (d, d_arg) = match grad {
        Some(_) => {
            let d = part(tokens - first);
            (d.clone(), d.into_tensor_arg())
        }
        None => (q.clone(), q.as_tensor_alias(QUERIES)),
    };
    let (has_bias, has_grad) = (bias.is_some(), grad.is_some());
    let inputs = [qkv, bias.unwrap_or(qkv), grad.unwrap_or(qkv)];
    let [qkv, bias, grad] = inputs.map(|tensor| as_rows(tensor.clone()));
    let size = vector_size(head_dim, &[&qkv, &bias, &grad]);
    let (client, kind, bias_kind) = (qkv.client.clone(), elem(&qkv), elem(&bias));
    let total = batch * tokens * features / size;
    let (count, dim) = elementwise(&client, total);
    // SAFETY: units past the last vector return; the others copy between tensors of one size.
    unsafe {
        split_kernel::launch_unchecked(
            &client,
            count,
            dim,
            address_type(&[&qkv, &grad]),
            size,
            qkv.into_tensor_arg(),
            bias.into_tensor_arg(),
            grad.into_tensor_arg(),
            q.clone().into_tensor_arg(),
            k.clone().into_tensor_arg(),
            v.clone().into_tensor_arg(),
            d_arg,
            total,
            tokens,
            heads,
            head_dim / size,
            first,
            has_bias,
            has_grad,
            kind,
            bias_kind,
        );
    }
    [q, k, v, d]
}

/// The inverse of [`split`], zero for queries before `first`.
pub(super) fn join([q, k, v]: [CubeTensor; 3], first: usize) -> CubeTensor {
    let [batch, heads, tokens, head_dim] = k.meta.shape().dims::<4>();
    let qkv = empty(&k, [batch, tokens, 3 * heads * head_dim], k.dtype);
    let size = vector_size(head_dim, &[&q, &k, &v]);
    let (client, kind) = (k.client.clone(), elem(&k));
    let total = qkv.meta.shape().num_elements() / size;
    let (count, dim) = elementwise(&client, total);
    // SAFETY: units past the last vector return; the others copy between tensors of one size.
    unsafe {
        join_kernel::launch_unchecked(
            &client,
            count,
            dim,
            address_type(&[&q, &k, &v, &qkv]),
            size,
            q.into_tensor_arg(),
            k.into_tensor_arg(),
            v.into_tensor_arg(),
            qkv.clone().into_tensor_arg(),
            total,
            tokens,
            heads,
            head_dim / size,
            first,
            kind,
        );
    }
    qkv
}
