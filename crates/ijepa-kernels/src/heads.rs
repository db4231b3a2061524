//! What many linear classifiers on the same features compute when they are trained side by side:
//! nothing here is differentiated, the gradients are written out.

use burn::{
    backend::{Backend, Dispatch, ExtensionType, backend_extension, tensor::FloatTensor},
    tensor::Tensor,
};

use crate::{
    plain,
    primitives::{LinearTensors, Primitives},
    tensors::constant,
};

/// How weights follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadRule {
    /// Share of the last update that is kept.
    pub momentum: f64,
    /// Whether the momentum looks ahead (PyTorch's `nesterov`).
    pub nesterov: bool,
    /// Length of an update relative to the weight of its head (LARS, You et al. 2017); the
    /// gradient's own length if there is none.
    pub trust: Option<f64>,
}

/// Weights and everything that one update of them needs; see [`step_heads`].
#[derive(Debug, Clone)]
pub struct HeadStep {
    /// `[dim, heads * classes]`.
    pub weight: Tensor<2>,
    /// Past updates, of the same shape.
    pub momentum: Tensor<2>,
    /// `x^T g`, of the same shape, for features `x` and gradients `g` of the logits.
    pub product: Tensor<2>,
    /// Sum of the gradients of the logits, `[heads * classes]`.
    pub sums: Tensor<1>,
    /// `[dim, heads]`: what each head multiplies the features by.
    pub scale: Tensor<2>,
    /// `[dim, heads]`: what each head adds then.
    pub offset: Tensor<2>,
    /// Learning rates, `[heads]`.
    pub rates: Tensor<1>,
    /// Weight decays, `[heads]`.
    pub decays: Tensor<1>,
}

/// Updated weights, and gradients of the scales and offsets before them; see [`step_heads`].
#[derive(Debug, Clone)]
pub struct SteppedHeads {
    /// `[dim, heads * classes]`.
    pub weight: Tensor<2>,
    /// Past updates with this one, of the same shape.
    pub momentum: Tensor<2>,
    /// `[dim, heads]`.
    pub scale_gradient: Tensor<2>,
    /// `[dim, heads]`.
    pub offset_gradient: Tensor<2>,
}

/// [`HeadStep`] on one backend.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct HeadStepTensors<B: Backend> {
    pub(crate) weight: FloatTensor<B>,
    pub(crate) momentum: FloatTensor<B>,
    pub(crate) product: FloatTensor<B>,
    pub(crate) sums: FloatTensor<B>,
    pub(crate) scale: FloatTensor<B>,
    pub(crate) offset: FloatTensor<B>,
    pub(crate) rates: FloatTensor<B>,
    pub(crate) decays: FloatTensor<B>,
}

/// [`SteppedHeads`] on one backend.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct SteppedTensors<B: Backend> {
    pub(crate) weight: FloatTensor<B>,
    pub(crate) momentum: FloatTensor<B>,
    pub(crate) scale_gradient: FloatTensor<B>,
    pub(crate) offset_gradient: FloatTensor<B>,
}

/// Losses and their gradient with respect to the logits.
#[derive(Debug, Clone, ExtensionType)]
pub(crate) struct CrossEntropyTensors<B: Backend> {
    pub(crate) gradient: FloatTensor<B>,
    pub(crate) losses: FloatTensor<B>,
}

/// The formulas, declared as in [`Primitives`].
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(feature = "cube"),
)]
pub(crate) trait HeadPrimitives: Backend {
    /// See [`fold_heads`].
    fn fold(
        weight: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        offset: FloatTensor<Self>,
    ) -> LinearTensors<Self> {
        plain::fold::<Self>(weight, scale, offset)
    }

    /// See [`cross_entropy`].
    fn cross_entropy(
        logits: FloatTensor<Self>,
        targets: &[u32],
        heads: usize,
    ) -> CrossEntropyTensors<Self> {
        plain::cross_entropy::<Self>(logits, targets, heads)
    }

    /// `sum + x^T grad`.
    fn add_product(
        sum: FloatTensor<Self>,
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        plain::add_product::<Self>(sum, x, grad)
    }

    /// See [`step_heads`].
    fn step_heads(
        #[extension_type] tensors: HeadStepTensors<Self>,
        rule: HeadRule,
    ) -> SteppedTensors<Self> {
        plain::step_heads::<Self>(tensors, rule)
    }
}

#[cfg(feature = "ndarray")]
impl HeadPrimitives for burn::backend::NdArray {}
#[cfg(feature = "cube")]
impl HeadPrimitives for burn::backend::Cube {}

/// One linear map that does what each head does after scaling and shifting the features:
/// `(x * scale + offset) W = x (scale * W) + offset W`.
///
/// # Shapes
///
/// - `weight` and the first output: `[dim, heads * classes]`
/// - `scale`, `offset`: `[dim, heads]`
/// - second output: `[heads * classes]`
///
/// # Panics
///
/// Panics on tensors that record gradients or are empty, or whose shapes do not fit.
pub fn fold_heads(
    weight: Tensor<2>,
    scale: Tensor<2>,
    offset: Tensor<2>,
) -> (Tensor<2>, Tensor<1>) {
    let heads = check_heads(weight.dims(), scale.dims());
    assert_eq!(scale.dims(), offset.dims(), "offsets of {heads} heads");
    let [weight, scale, offset] = [weight, scale, offset].map(constant);
    let folded = Dispatch::fold(weight, scale, offset);
    let weight = Tensor::from_dispatch(folded.weight);
    (weight, Tensor::from_dispatch(folded.bias))
}

/// Cross-entropy of every row for every head: the losses' gradient `softmax(logits) - one_hot`
/// and the losses themselves.
///
/// # Shapes
///
/// - `logits` and the first output: `[rows, heads * classes]`
/// - `targets`: `[rows]`, each below `classes`
/// - second output: `[rows, heads]`
///
/// # Panics
///
/// Panics on a tensor that records gradients or is empty, shapes that do not fit and targets out
/// of range.
pub fn cross_entropy(logits: Tensor<2>, targets: Vec<u32>, heads: usize) -> (Tensor<2>, Tensor<2>) {
    let [rows, columns] = logits.dims();
    assert!(
        heads > 0 && columns.is_multiple_of(heads),
        "{columns} logits are not those of {heads} heads"
    );
    assert_eq!(targets.len(), rows, "targets of {rows} rows");
    let classes = columns / heads;
    let valid = targets.iter().all(|&target| (target as usize) < classes);
    assert!(valid, "a target is none of {classes} classes");
    let output = Dispatch::cross_entropy(constant(logits), &targets, heads);
    let gradient = Tensor::from_dispatch(output.gradient);
    (gradient, Tensor::from_dispatch(output.losses))
}

/// `sum + x^T grad`, in the memory of `sum` where nothing else refers to it.
///
/// # Shapes
///
/// - `sum` and output: `[inputs, outputs]`
/// - `x`: `[rows, inputs]`
/// - `grad`: `[rows, outputs]`
///
/// # Panics
///
/// Panics on tensors that record gradients or are empty, or whose shapes do not fit.
pub fn add_product(sum: Tensor<2>, x: Tensor<2>, grad: Tensor<2>) -> Tensor<2> {
    let ([rows, inputs], [grad_rows, outputs]) = (x.dims(), grad.dims());
    assert_eq!(rows, grad_rows, "rows of a product");
    assert_eq!(sum.dims(), [inputs, outputs], "shape of a product");
    let [sum, x, grad] = [sum, x, grad].map(constant);
    Tensor::from_dispatch(Dispatch::add_product(sum, x, grad))
}

/// The sum of all rows: `[rows, columns]` to `[columns]`.
///
/// # Panics
///
/// Panics on a tensor that records gradients or is empty.
pub fn column_sums(x: Tensor<2>) -> Tensor<1> {
    Tensor::from_dispatch(Dispatch::column_sums(constant(x)))
}

/// One update of the weights of all heads.
///
/// With features scaled and shifted as by [`fold_heads`], the gradient of the weight is
/// `d = scale * product + offset (x) sums + decay * W`, that of the scales is
/// `sum_c(W * product)` and that of the offsets `sum_c(W * sums)`, over the classes of a head.
/// With a trust coefficient `d` becomes `d * trust * |W| / |d|` with the norms of each head,
/// unless one of them is 0. Then `m = momentum * m + d` and `W = W - rate * m`, or
/// `W - rate * (d + momentum * m)` by Nesterov.
///
/// # Panics
///
/// Panics on tensors that record gradients or are empty, or whose shapes do not fit.
pub fn step_heads(step: HeadStep, rule: HeadRule) -> SteppedHeads {
    let shape = step.weight.dims();
    let heads = check_heads(shape, step.scale.dims());
    let matrices = [step.momentum.dims(), step.product.dims()];
    assert_eq!(matrices, [shape; 2], "shapes of an update");
    assert_eq!(
        step.offset.dims(),
        step.scale.dims(),
        "offsets of an update"
    );
    let vectors = [step.sums.dims(), step.rates.dims(), step.decays.dims()];
    assert_eq!(
        vectors,
        [[shape[1]], [heads], [heads]],
        "vectors of an update"
    );
    let tensors = HeadStepTensors {
        weight: constant(step.weight),
        momentum: constant(step.momentum),
        product: constant(step.product),
        sums: constant(step.sums),
        scale: constant(step.scale),
        offset: constant(step.offset),
        rates: constant(step.rates),
        decays: constant(step.decays),
    };
    let stepped = Dispatch::step_heads(tensors, rule);
    SteppedHeads {
        weight: Tensor::from_dispatch(stepped.weight),
        momentum: Tensor::from_dispatch(stepped.momentum),
        scale_gradient: Tensor::from_dispatch(stepped.scale_gradient),
        offset_gradient: Tensor::from_dispatch(stepped.offset_gradient),
    }
}

/// The number of heads, if the shapes of weights and scales go together.
fn check_heads([dim, columns]: [usize; 2], [scale_dim, heads]: [usize; 2]) -> usize {
    assert_eq!(dim, scale_dim, "features of heads and of their scales");
    assert!(
        heads > 0 && columns.is_multiple_of(heads),
        "{columns} columns are not those of {heads} heads"
    );
    heads
}
