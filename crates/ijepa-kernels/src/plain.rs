//! The formulas in Burn's operations, for backends without kernels of their own.

#[cfg(feature = "heads")]
mod heads;
#[cfg(feature = "maps")]
mod maps;
mod update;

/// Leaves an operation to Burn's unless a backend's own kernel fits its tensors.
#[cfg(any(feature = "flex", feature = "cube"))]
macro_rules! or_plain {
    ($fits:expr, $operation:ident($($argument:expr),*)) => {
        if !$fits {
            return crate::plain::$operation::<Self>($($argument),*);
        }
    };
}
#[cfg(any(feature = "flex", feature = "cube"))]
pub(crate) use or_plain;

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::{DType, FloatDType, Shape},
};

use crate::{
    list::Tensors,
    primitives::{
        BiasGeluGradients, LinearTensors, NormGradients, NormTensors, NormedSum, Optional,
        Primitives, Projected, SummedNormGradients,
    },
};

#[cfg(feature = "heads")]
pub(crate) use heads::{add_product, cross_entropy, fold, step_heads};
#[cfg(feature = "maps")]
pub(crate) use maps::{conv3x3, conv3x3_weight_backward, group_norm, group_norm_backward};
pub(crate) use update::{
    adamw, adamw_one, blend, blend_one, scale, squared_norm, squared_norm_one, total,
};

/// `[.., features]` as `[rows, features]`.
fn rows<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let shape = x.shape();
    let features = shape[shape.num_dims() - 1];
    let rows = shape.num_elements() / features.max(1);
    B::float_reshape(x, Shape::new([rows, features]))
}

/// `[rows, features]` with the leading dimensions of `shape`.
fn unrows<B: Backend>(x: FloatTensor<B>, shape: &Shape) -> FloatTensor<B> {
    let mut shape = shape.clone();
    let last = shape.num_dims() - 1;
    shape[last] = x.shape()[1];
    B::float_reshape(x, shape)
}

/// `[features]` as one row.
fn one_row<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let features = x.shape().num_elements();
    B::float_reshape(x, Shape::new([1, features]))
}

/// The sum of all rows, `[features]`.
fn sum_of_rows<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    let features = x.shape()[1];
    B::float_reshape(B::float_sum_dim(x, 0), Shape::new([features]))
}

/// `x` in f32 if it is narrower.
fn widen<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    match x.dtype() {
        DType::F16 | DType::BF16 => B::float_cast(x, FloatDType::F32),
        _ => x,
    }
}

/// `x` in `dtype`.
pub(crate) fn cast<B: Backend>(x: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if x.dtype() == dtype {
        return x;
    }
    B::float_cast(x, dtype.into())
}

/// `x` in `dtype`, if there is one.
pub(crate) fn narrow<B: Backend>(x: FloatTensor<B>, dtype: Option<FloatDType>) -> FloatTensor<B> {
    match dtype {
        Some(dtype) => cast::<B>(x, dtype.into()),
        None => x,
    }
}

pub(crate) fn narrow_all<B: Primitives>(x: Tensors<B>, dtype: FloatDType) -> Tensors<B> {
    let narrow = x.0.into_iter().map(|x| B::narrow(x, Some(dtype)));
    Tensors(narrow.collect())
}

pub(crate) fn product<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    let shape = x.shape();
    unrows::<B>(B::float_matmul(rows::<B>(x), weight), &shape)
}

/// Gradient of `x W` with respect to `x`.
pub(crate) fn product_x_backward<B: Primitives>(
    grad: FloatTensor<B>,
    weight: FloatTensor<B>,
    dtype: Option<FloatDType>,
) -> FloatTensor<B> {
    B::product(grad, B::float_transpose(weight), dtype)
}

pub(crate) fn product_weight_backward<B: Backend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_matmul(B::float_transpose(rows::<B>(x)), rows::<B>(grad))
}

pub(crate) fn affine<B: Backend>(x: FloatTensor<B>, linear: LinearTensors<B>) -> FloatTensor<B> {
    let shape = x.shape();
    let product = B::float_matmul(rows::<B>(x), linear.weight);
    unrows::<B>(add_to_rows::<B>(product, linear.bias), &shape)
}

/// `bias`, in the type of `rows`, added to each of them.
fn add_to_rows<B: Backend>(rows: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    let dtype = rows.dtype();
    B::float_add(rows, one_row::<B>(cast::<B>(bias, dtype)))
}

pub(crate) fn add_onto<B: Backend>(
    residual: FloatTensor<B>,
    x: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> FloatTensor<B> {
    let (shape, dtype) = (x.shape(), residual.dtype());
    let biased = unrows::<B>(add_to_rows::<B>(rows::<B>(x), bias), &shape);
    B::float_add(residual, cast::<B>(biased, dtype))
}

pub(crate) fn add_onto_and_norm<B: Primitives>(
    residual: FloatTensor<B>,
    x: FloatTensor<B>,
    bias: FloatTensor<B>,
    norm: NormTensors<B>,
    epsilon: f64,
    dtype: Option<FloatDType>,
) -> NormedSum<B> {
    let sum = B::add_onto(residual, x, bias);
    let normed = B::norm(sum.clone(), norm, epsilon, dtype);
    NormedSum { sum, normed }
}

pub(crate) fn column_sums<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    sum_of_rows::<B>(rows::<B>(x))
}

/// `(x - mean) / sqrt(variance + epsilon)` of every row, and the reciprocal of that root.
fn standardize<B: Backend>(x: FloatTensor<B>, epsilon: f64) -> (FloatTensor<B>, FloatTensor<B>) {
    let centered = B::float_sub(x.clone(), B::float_mean_dim(x, 1));
    let variance = B::float_mean_dim(B::float_mul(centered.clone(), centered.clone()), 1);
    let scale = B::float_recip(B::float_sqrt(B::float_add_scalar(variance, epsilon.into())));
    (B::float_mul(centered, scale.clone()), scale)
}

pub(crate) fn norm<B: Primitives>(
    x: FloatTensor<B>,
    norm: NormTensors<B>,
    epsilon: f64,
    dtype: Option<FloatDType>,
) -> FloatTensor<B> {
    let shape = x.shape();
    let (standard, _) = standardize::<B>(rows::<B>(x), epsilon);
    let scaled = B::float_mul(standard, one_row::<B>(norm.gamma));
    let output = unrows::<B>(B::float_add(scaled, one_row::<B>(norm.beta)), &shape);
    B::narrow(output, dtype)
}

pub(crate) fn norm_backward<B: Primitives>(
    x: FloatTensor<B>,
    norm: NormTensors<B>,
    epsilon: f64,
    grad: FloatTensor<B>,
    residual: Optional<B>,
    dtype: Option<FloatDType>,
) -> NormGradients<B> {
    let (shape, wide) = (x.shape(), x.dtype());
    let (standard, scale) = standardize::<B>(rows::<B>(x), epsilon);
    let grad = cast::<B>(rows::<B>(grad), wide);
    let gamma = one_row::<B>(norm.gamma);
    let weighted = B::float_mul(grad.clone(), gamma.clone());
    let mean = B::float_mean_dim(weighted.clone(), 1);
    let slope = B::float_mean_dim(B::float_mul(weighted.clone(), standard.clone()), 1);
    let inner = B::float_sub(weighted, mean);
    let inner = B::float_sub(inner, B::float_mul(standard.clone(), slope));
    let x = unrows::<B>(B::float_mul(inner, scale), &shape);
    let output = B::float_add(
        B::float_mul(standard.clone(), gamma),
        one_row::<B>(norm.beta),
    );
    NormGradients {
        x: match residual {
            Optional::Some(residual) => B::float_add(residual, x),
            Optional::None => x,
        },
        norm: NormTensors {
            gamma: sum_of_rows::<B>(B::float_mul(grad.clone(), standard)),
            beta: sum_of_rows::<B>(grad),
        },
        output: B::narrow(unrows::<B>(output, &shape), dtype),
    }
}

pub(crate) fn norm_backward_and_sums<B: Primitives>(
    x: FloatTensor<B>,
    norm: NormTensors<B>,
    epsilon: f64,
    grad: FloatTensor<B>,
    residual: FloatTensor<B>,
    dtype: Option<FloatDType>,
) -> SummedNormGradients<B> {
    let sums = |x: &FloatTensor<B>, dtype| cast::<B>(B::column_sums(x.clone()), dtype);
    let parameters = norm.gamma.dtype();
    let residual_sums = sums(&residual, parameters);
    let residual = Optional::Some(residual);
    let gradients = B::norm_backward(x, norm, epsilon, grad, residual, dtype);
    SummedNormGradients {
        residual_sums,
        x_sums: sums(&gradients.x, parameters),
        gradients,
    }
}

/// `x + bias` in f32, as rows, and the normal distribution function of it.
fn biased_cdf<B: Backend>(
    x: FloatTensor<B>,
    bias: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let biased = B::float_add(widen::<B>(rows::<B>(x)), widen::<B>(one_row::<B>(bias)));
    let scaled = B::float_mul_scalar(biased.clone(), std::f64::consts::FRAC_1_SQRT_2.into());
    let cdf = B::float_add_scalar(B::float_erf(scaled), 1.0.into());
    (biased, B::float_mul_scalar(cdf, 0.5.into()))
}

pub(crate) fn biased_gelu<B: Backend>(x: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
    let (shape, dtype) = (x.shape(), x.dtype());
    let (biased, cdf) = biased_cdf::<B>(x, bias);
    unrows::<B>(cast::<B>(B::float_mul(biased, cdf), dtype), &shape)
}

pub(crate) fn biased_gelu_backward<B: Backend>(
    x: FloatTensor<B>,
    bias: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> BiasGeluGradients<B> {
    let (shape, dtype, bias_dtype) = (x.shape(), x.dtype(), bias.dtype());
    let (biased, cdf) = biased_cdf::<B>(x, bias);
    let square = B::float_mul(biased.clone(), biased.clone());
    let density = B::float_mul_scalar(
        B::float_exp(B::float_mul_scalar(square, (-0.5).into())),
        (std::f64::consts::TAU.sqrt().recip()).into(),
    );
    let output = B::float_mul(biased.clone(), cdf.clone());
    let slope = B::float_add(cdf, B::float_mul(biased, density));
    let x = B::float_mul(widen::<B>(rows::<B>(grad)), slope);
    BiasGeluGradients {
        bias: cast::<B>(sum_of_rows::<B>(x.clone()), bias_dtype),
        x: unrows::<B>(cast::<B>(x, dtype), &shape),
        output: unrows::<B>(cast::<B>(output, dtype), &shape),
    }
}

/// `[batch, tokens, parts * dim]` as `parts` tensors `[batch, heads, tokens, head_dim]`.
fn split_heads<B: Backend, const PARTS: usize>(
    x: FloatTensor<B>,
    num_heads: usize,
) -> [FloatTensor<B>; PARTS] {
    let [batch, tokens, features] = x.shape().dims::<3>();
    let head_dim = features / PARTS / num_heads;
    let shape = Shape::new([batch, tokens, PARTS, num_heads, head_dim]);
    let parts = B::float_permute(B::float_reshape(x, shape), &[2, 0, 3, 1, 4]);
    std::array::from_fn(|part| {
        let part = B::float_slice(parts.clone(), &[(part..part + 1).into()]);
        B::float_reshape(part, Shape::new([batch, num_heads, tokens, head_dim]))
    })
}

/// The inverse of [`split_heads`].
fn join_heads<B: Backend, const PARTS: usize>(parts: [FloatTensor<B>; PARTS]) -> FloatTensor<B> {
    let [batch, num_heads, tokens, head_dim] = parts[0].shape().dims::<4>();
    let shape = Shape::new([1, batch, num_heads, tokens, head_dim]);
    let parts = parts.map(|part| B::float_reshape(part, shape.clone()));
    let joined = B::float_permute(B::float_cat(parts.into(), 0), &[1, 3, 0, 2, 4]);
    let features = PARTS * num_heads * head_dim;
    B::float_reshape(joined, Shape::new([batch, tokens, features]))
}

/// `[batch, heads, tokens, head_dim]` from token `first` on.
fn from_token<B: Backend>(x: FloatTensor<B>, first: usize) -> FloatTensor<B> {
    if first == 0 {
        return x;
    }
    let [batch, num_heads, tokens, _] = x.shape().dims::<4>();
    let slices = [0..batch, 0..num_heads, first..tokens].map(Into::into);
    B::float_slice(x, &slices)
}

/// `1 / sqrt(head_dim)`.
fn attention_scale<B: Backend>(q: &FloatTensor<B>) -> f64 {
    (q.shape()[3] as f64).sqrt().recip()
}

/// `softmax(q k^T * scale)` in the type of `q`, the softmax in f32.
fn attention_weights<B: Backend>(q: FloatTensor<B>, k: FloatTensor<B>) -> FloatTensor<B> {
    let dtype = q.dtype();
    let scale = attention_scale::<B>(&q);
    let scores = B::float_matmul(B::float_mul_scalar(q, scale.into()), B::float_transpose(k));
    cast::<B>(B::softmax(widen::<B>(scores), 3), dtype)
}

/// Queries, keys and values with their bias.
pub(crate) fn whole<B: Backend>(qkv: Projected<B>) -> FloatTensor<B> {
    let Projected { product, bias } = qkv;
    match bias {
        Optional::Some(bias) => {
            let shape = product.shape();
            unrows::<B>(add_to_rows::<B>(rows::<B>(product), bias), &shape)
        }
        Optional::None => product,
    }
}

pub(crate) fn mix<B: Backend>(
    qkv: FloatTensor<B>,
    num_heads: usize,
    first: usize,
) -> FloatTensor<B> {
    let [q, k, v] = split_heads::<B, 3>(qkv, num_heads);
    let weights = attention_weights::<B>(from_token::<B>(q, first), k);
    join_heads::<B, 1>([B::float_matmul(weights, v)])
}

pub(crate) fn mix_backward<B: Backend>(
    qkv: FloatTensor<B>,
    mixed: FloatTensor<B>,
    grad: FloatTensor<B>,
    num_heads: usize,
    first: usize,
) -> FloatTensor<B> {
    let (dtype, device) = (qkv.dtype(), qkv.device());
    let [q, k, v] = split_heads::<B, 3>(qkv, num_heads);
    let q = from_token::<B>(q, first);
    let [mixed] = split_heads::<B, 1>(mixed, num_heads);
    let [grad] = split_heads::<B, 1>(grad, num_heads);
    let scale = attention_scale::<B>(&q);
    let weights = attention_weights::<B>(q.clone(), k.clone());
    let d_v = B::float_matmul(B::float_transpose(weights.clone()), grad.clone());
    let inner = B::float_mul(widen::<B>(grad.clone()), widen::<B>(mixed));
    let inner = B::float_sum_dim(inner, 3);
    let d_weights = widen::<B>(B::float_matmul(grad, B::float_transpose(v)));
    let d_scores = B::float_mul(widen::<B>(weights), B::float_sub(d_weights, inner));
    let d_scores = cast::<B>(B::float_mul_scalar(d_scores, scale.into()), dtype);
    let mut d_q = B::float_matmul(d_scores.clone(), k);
    let d_k = B::float_matmul(B::float_transpose(d_scores), q);
    if first > 0 {
        let [batch, num_heads, _, head_dim] = d_q.shape().dims::<4>();
        let shape = Shape::new([batch, num_heads, first, head_dim]);
        let unused = B::float_zeros(shape, &device, dtype.into());
        d_q = B::float_cat(vec![unused, d_q], 2);
    }
    join_heads::<B, 3>([d_q, d_k, d_v])
}
