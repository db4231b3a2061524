//! The operations on tensors.

use burn::{
    backend::{Dispatch, DispatchTensor},
    tensor::{FloatDType, Tensor},
};

use crate::{
    block::{BlockOptions, BlockTensors},
    primitives::{LinearTensors, NormTensors, Primitives, Projected},
    tensors::operand,
};

/// Parameters of a layer norm.
#[derive(Debug, Clone)]
pub struct NormParameters {
    /// Scale, `[dim]`.
    pub gamma: Tensor<1>,
    /// Offset, `[dim]`.
    pub beta: Tensor<1>,
}

impl NormParameters {
    fn check(&self, name: &str, dim: usize) {
        let found = [self.gamma.dims(), self.beta.dims()];
        assert_eq!(found, [[dim]; 2], "gamma and beta of {name}");
    }

    fn into_dispatch(self) -> NormTensors<Dispatch> {
        NormTensors {
            gamma: operand(self.gamma),
            beta: operand(self.beta),
        }
    }
}

/// Parameters of a linear map.
#[derive(Debug, Clone)]
pub struct LinearParameters {
    /// `[inputs, outputs]`.
    pub weight: Tensor<2>,
    /// `[outputs]`.
    pub bias: Tensor<1>,
}

impl LinearParameters {
    fn check(&self, name: &str, [inputs, outputs]: [usize; 2]) {
        assert_eq!(self.weight.dims(), [inputs, outputs], "weight of {name}");
        assert_eq!(self.bias.dims(), [outputs], "bias of {name}");
    }

    fn into_dispatch(self) -> LinearTensors<Dispatch> {
        LinearTensors {
            weight: operand(self.weight),
            bias: operand(self.bias),
        }
    }
}

/// Parameters of a transformer block.
#[derive(Debug, Clone)]
pub struct BlockParameters {
    /// First norm, `dim` wide.
    pub norm1: NormParameters,
    /// Queries, keys and values in this order, each by head: `dim` to `3 * dim`.
    pub qkv: LinearParameters,
    /// Output projection of the attention, `dim` to `dim`.
    pub proj: LinearParameters,
    /// Second norm, `dim` wide.
    pub norm2: NormParameters,
    /// First layer of the MLP, `dim` to `hidden`.
    pub fc1: LinearParameters,
    /// Second layer of the MLP, `hidden` to `dim`.
    pub fc2: LinearParameters,
}

impl BlockParameters {
    /// Panics unless all shapes belong to a block of width `dim`.
    fn check(&self, dim: usize) {
        let [hidden] = self.fc1.bias.dims();
        self.norm1.check("norm1", dim);
        self.qkv.check("qkv", [dim, 3 * dim]);
        self.proj.check("proj", [dim, dim]);
        self.norm2.check("norm2", dim);
        self.fc1.check("fc1", [dim, hidden]);
        self.fc2.check("fc2", [hidden, dim]);
    }

    fn into_dispatch(self) -> BlockTensors<Dispatch> {
        BlockTensors {
            norm1: self.norm1.into_dispatch(),
            qkv: self.qkv.into_dispatch(),
            proj: self.proj.into_dispatch(),
            norm2: self.norm2.into_dispatch(),
            fc1: self.fc1.into_dispatch(),
            fc2: self.fc2.into_dispatch(),
        }
    }
}

/// `x` as products in `dtype` take it.
fn narrow(x: DispatchTensor, dtype: Option<FloatDType>) -> DispatchTensor {
    match dtype {
        Some(_) => Dispatch::narrow(x, dtype),
        None => x,
    }
}

/// The result of products in `dtype`, in f32.
fn widen<const D: usize>(x: DispatchTensor, dtype: Option<FloatDType>) -> Tensor<D> {
    let x = Tensor::<D>::from_dispatch(x);
    match dtype {
        Some(_) => x.cast(FloatDType::F32),
        None => x,
    }
}

/// `x W + bias`, the operands of the product in `dtype` if there is one and the result in f32.
///
/// # Shapes
///
/// - `x`: `[.., inputs]`
/// - `weight`: `[inputs, outputs]`
/// - `bias`: `[outputs]`
/// - output: `[.., outputs]`
///
/// # Panics
///
/// Panics if the shapes do not fit or one is empty.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    dtype: Option<FloatDType>,
) -> Tensor<D> {
    let parameters = LinearParameters { weight, bias };
    let [_, outputs] = parameters.weight.dims();
    parameters.check("a linear map", [x.dims()[D - 1], outputs]);
    let LinearTensors { weight, bias } = parameters.into_dispatch();
    let [x, weight, bias] = [operand(x), weight, bias].map(|it| narrow(it, dtype));
    let linear = LinearTensors { weight, bias };
    widen(Dispatch::affine(x, linear, dtype), dtype)
}

/// Layer norm over the last dimension, with the biased variance.
///
/// # Shapes
///
/// - `x` and output: `[.., dim]`
/// - `gamma`, `beta`: `[dim]`
///
/// # Panics
///
/// Panics if the shapes do not fit or one is empty.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let parameters = NormParameters { gamma, beta };
    parameters.check("a layer norm", x.dims()[D - 1]);
    let norm = parameters.into_dispatch();
    Tensor::from_dispatch(Dispatch::norm(operand(x), norm, epsilon, None))
}

/// `gelu(x + bias)` with `gelu(x) = x (1 + erf(x / sqrt(2))) / 2` and its exact gradient.
///
/// # Shapes
///
/// - `x` and output: `[.., dim]`
/// - `bias`: `[dim]`
///
/// # Panics
///
/// Panics if the shapes do not fit or one is empty.
pub fn bias_gelu<const D: usize>(x: Tensor<D>, bias: Tensor<1>) -> Tensor<D> {
    assert_eq!(bias.dims(), [x.dims()[D - 1]], "bias of a GELU");
    Tensor::from_dispatch(Dispatch::biased_gelu(operand(x), operand(bias)))
}

/// Multi-head self-attention, `softmax(q k^T / sqrt(head_dim)) v`, without a mask; the operands of
/// products in `dtype` if there is one, and the result in f32.
///
/// # Shapes
///
/// - `qkv`: `[batch, tokens, 3 * dim]`: queries, keys and values in this order, each by head
/// - output: `[batch, tokens, dim]`
///
/// # Panics
///
/// Panics if `num_heads` does not divide `dim` or `qkv` is empty.
pub fn attention(qkv: Tensor<3>, num_heads: usize, dtype: Option<FloatDType>) -> Tensor<3> {
    attention_from(0, qkv, num_heads, dtype)
}

/// As [`attention`], for the queries from token `first` on only; all keys and values are seen.
///
/// # Shapes
///
/// - `qkv`: `[batch, tokens, 3 * dim]`
/// - output: `[batch, tokens - first, dim]`
///
/// # Panics
///
/// As [`attention`], and if there is no token `first`.
pub fn attention_from(
    first: usize,
    qkv: Tensor<3>,
    num_heads: usize,
    dtype: Option<FloatDType>,
) -> Tensor<3> {
    let [_, tokens, triple] = qkv.dims();
    assert!(
        num_heads > 0 && triple.is_multiple_of(3 * num_heads),
        "{triple} features are not queries, keys and values of {num_heads} heads"
    );
    assert!(first < tokens, "queries from token {first} of {tokens}");
    let qkv = Projected::whole(narrow(operand(qkv), dtype));
    widen(Dispatch::mix(qkv, num_heads, first, dtype), dtype)
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))` (Dosovitskiy et al. 2021).
///
/// # Shapes
///
/// - `x`: `[batch, tokens, dim]`
/// - output: `[batch, tokens - outputs_from, dim]`
///
/// # Panics
///
/// Panics if the shapes do not fit or one is empty, `num_heads` does not divide `dim`, there are
/// factors of another number of samples or no output is wanted.
pub fn transformer_block(
    x: Tensor<3>,
    parameters: BlockParameters,
    options: BlockOptions,
) -> Tensor<3> {
    let [batch, tokens, dim] = x.dims();
    assert!(
        options.outputs_from < tokens,
        "outputs from token {} of {tokens}",
        options.outputs_from
    );
    assert!(
        options.num_heads > 0 && dim.is_multiple_of(options.num_heads),
        "{} heads do not divide {dim} features",
        options.num_heads
    );
    let factors = options.branch_factors.iter().flatten();
    factors.for_each(|factors| assert_eq!(factors.len(), batch, "one factor for each sample"));
    parameters.check(dim);
    let tensors = parameters.into_dispatch();
    Tensor::from_dispatch(Dispatch::block(operand(x), tensors, options))
}
