//! The same operations composed of Burn's, differentiated by Burn's autodiff: what the fused ones
//! are tested against, and what runs where they are switched off.

#[cfg(feature = "maps")]
mod maps;

use burn::tensor::{Bool, DType, FloatDType, Tensor, TensorData, activation::softmax};

#[cfg(feature = "maps")]
pub use maps::{conv3x3, group_norm};

use crate::{BlockOptions, BlockParameters};

/// See [`crate::linear`].
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    dtype: Option<FloatDType>,
) -> Tensor<D> {
    let narrow = Narrow(dtype);
    narrow.widen(narrow.linear(x, weight, bias))
}

/// See [`crate::layer_norm`].
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let centered = x.clone() - x.mean_dim(D - 1);
    let variance = centered.clone().square().mean_dim(D - 1);
    centered / variance.add_scalar(epsilon).sqrt() * gamma.unsqueeze() + beta.unsqueeze()
}

/// See [`crate::bias_gelu`].
///
/// Composed of elementary operations: Burn's own GELU differentiates the tanh approximation on
/// every backend but flex, which is off by up to 2e-4 of a gradient.
pub fn bias_gelu<const D: usize>(x: Tensor<D>, bias: Tensor<1>) -> Tensor<D> {
    let x = x + bias.unsqueeze();
    let cdf = x
        .clone()
        .mul_scalar(std::f64::consts::FRAC_1_SQRT_2)
        .erf()
        .add_scalar(1.0);
    x * cdf.mul_scalar(0.5)
}

/// See [`crate::attention`]; `mask` is that of [`attention_weights`].
pub fn attention(
    qkv: Tensor<3>,
    num_heads: usize,
    mask: Option<Tensor<4, Bool>>,
    dtype: Option<FloatDType>,
) -> Tensor<3> {
    let narrow = Narrow(dtype);
    narrow.widen(mix(narrow.cast(qkv), num_heads, mask))
}

/// Attention in the type of `qkv`.
fn mix(qkv: Tensor<3>, num_heads: usize, mask: Option<Tensor<4, Bool>>) -> Tensor<3> {
    let [batch, tokens, triple] = qkv.dims();
    let dim = triple / 3;
    let [q, k, v] = split_heads(qkv, num_heads);
    let dtype = v.dtype();
    let weights = attention_weights(q, k, mask);
    let weights = if weights.dtype() == dtype {
        weights
    } else {
        weights.cast(dtype)
    };
    weights
        .matmul(v)
        .swap_dims(1, 2)
        .reshape([batch, tokens, dim])
}

/// Splits `[batch, tokens, 3 * dim]` into queries, keys and values of every head.
///
/// # Shapes
///
/// - each: `[batch, num_heads, tokens, head_dim]`
pub fn split_heads(qkv: Tensor<3>, num_heads: usize) -> [Tensor<4>; 3] {
    let [batch, tokens, triple] = qkv.dims();
    let head_dim = triple / 3 / num_heads;
    let split = qkv
        .reshape([batch, tokens, 3, num_heads, head_dim])
        .permute([2, 0, 3, 1, 4]);
    [0, 1, 2].map(|part| split.clone().narrow(0, part, 1).squeeze_dim(0))
}

/// `softmax(q k^T / sqrt(head_dim))`, the softmax and the result in f32 at least.
///
/// `mask` is true where a query may attend to a key; the weights of a query that may attend to
/// none are zero.
///
/// # Shapes
///
/// - `q`, `k`: `[batch, num_heads, tokens, head_dim]`
/// - `mask`: `[batch or 1, num_heads or 1, tokens, tokens]`
/// - output: `[batch, num_heads, tokens, tokens]`, rows sum to 1
///
/// # Panics
///
/// Panics if shapes do not fit.
pub fn attention_weights(q: Tensor<4>, k: Tensor<4>, mask: Option<Tensor<4, Bool>>) -> Tensor<4> {
    let scale = (q.dims()[3] as f64).sqrt().recip();
    let scores = q.mul_scalar(scale).matmul(k.transpose());
    let scores = match scores.dtype() {
        DType::F16 | DType::BF16 => scores.cast(FloatDType::F32),
        _ => scores,
    };
    let Some(mask) = mask else {
        return softmax(scores, 3);
    };
    let hidden = hidden(mask, &scores);
    let weights = softmax(scores.mask_fill(hidden.clone(), f32::MIN), 3);
    // A row that is hidden as a whole is even up to here.
    weights.mask_fill(hidden, 0.0)
}

/// Where `mask` is false, in the shape of `scores`.
fn hidden(mask: Tensor<4, Bool>, scores: &Tensor<4>) -> Tensor<4, Bool> {
    let (found, expected) = (mask.dims(), scores.dims());
    let fits = |axis: usize| found[axis] == expected[axis] || (axis < 2 && found[axis] == 1);
    assert!(
        (0..4).all(fits),
        "a mask of shape {found:?} for attention weights of shape {expected:?}"
    );
    let mask = match scores.is_autodiff() {
        true => mask.autodiff(),
        false => mask.without_autodiff(),
    };
    mask.expand(expected).bool_not()
}

/// See [`crate::transformer_block`]; `mask` is that of [`attention_weights`], `recompute` changes
/// nothing here.
pub fn transformer_block(
    x: Tensor<3>,
    parameters: BlockParameters,
    options: BlockOptions,
    mask: Option<Tensor<4, Bool>>,
) -> Tensor<3> {
    let p = parameters;
    let [attention_factors, mlp_factors] = options
        .branch_factors
        .map_or([None, None], |factors| factors.map(Some));
    let narrow = Narrow(options.compute_dtype);
    let normed = layer_norm(x.clone(), p.norm1.gamma, p.norm1.beta, options.epsilon);
    let qkv = narrow.linear(normed, p.qkv.weight, p.qkv.bias);
    let tokens = x.dims()[1] - options.outputs_from;
    let wanted = |x: Tensor<3>| x.narrow(1, options.outputs_from, tokens);
    let mixed = wanted(mix(qkv, options.num_heads, mask));
    let x = wanted(x);
    let branch = narrow.widen(narrow.linear(mixed, p.proj.weight, p.proj.bias));
    let x = x + scale(branch, attention_factors);
    let normed = layer_norm(x.clone(), p.norm2.gamma, p.norm2.beta, options.epsilon);
    let hidden = narrow
        .cast(normed)
        .matmul(narrow.cast(p.fc1.weight).unsqueeze());
    let activated = bias_gelu(hidden, narrow.cast(p.fc1.bias));
    let branch = narrow.widen(narrow.linear(activated, p.fc2.weight, p.fc2.bias));
    x + scale(branch, mlp_factors)
}

/// Scales every sample of `branch` by its factor.
fn scale(branch: Tensor<3>, factors: Option<Vec<f32>>) -> Tensor<3> {
    let Some(factors) = factors else {
        return branch;
    };
    let factors = TensorData::new(factors.clone(), [factors.len(), 1, 1]);
    let device = branch.device();
    branch * Tensor::from_data(factors, &device)
}

/// The number type of matrix products.
struct Narrow(Option<FloatDType>);

impl Narrow {
    fn cast<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.0 {
            Some(dtype) => x.cast(dtype),
            None => x,
        }
    }

    fn widen<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        match self.0 {
            Some(_) => x.cast(FloatDType::F32),
            None => x,
        }
    }

    fn linear<const D: usize>(
        &self,
        x: Tensor<D>,
        weight: Tensor<2>,
        bias: Tensor<1>,
    ) -> Tensor<D> {
        self.cast(x).matmul(self.cast(weight).unsqueeze()) + self.cast(bias).unsqueeze()
    }
}
