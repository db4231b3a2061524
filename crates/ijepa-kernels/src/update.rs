//! What an optimizer step computes on weights: nothing here is differentiated.

use burn::{
    backend::{Backend, Dispatch, ExtensionType, tensor::FloatTensor},
    tensor::Tensor,
};

use crate::{
    list::{TensorList, Tensors},
    primitives::Primitives,
    tensors::constant,
};

/// Constants of one AdamW update (Loshchilov and Hutter 2019), as PyTorch computes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWRule {
    /// Factor of the parameter before the update, `1 - lr * weight_decay`.
    pub decay: f64,
    /// Decay rates of the two moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// `lr / (1 - beta_1^t)` for update `t`, counted from 1.
    pub step_size: f64,
    /// `sqrt(1 - beta_2^t)`.
    pub second_correction: f64,
}

impl AdamWRule {
    /// The rule of update `step`, counted from 1.
    pub fn new(lr: f64, weight_decay: f64, betas: [f64; 2], eps: f64, step: u64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            decay: 1.0 - lr * weight_decay,
            betas,
            eps,
            step_size: lr / correction(betas[0]),
            second_correction: correction(betas[1]).sqrt(),
        }
    }
}

/// Parameters and their moments.
#[derive(Debug, Clone, ExtensionType)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub(crate) struct AdamWTensors<B: Backend> {
    #[extension_type]
    pub(crate) parameters: Tensors<B>,
    #[extension_type]
    pub(crate) firsts: Tensors<B>,
    #[extension_type]
    pub(crate) seconds: Tensors<B>,
}

impl<B: Backend> AdamWTensors<B> {
    /// Every parameter and its moments as `update` changes them.
    pub(crate) fn map(
        self,
        gradients: Tensors<B>,
        rules: &[AdamWRule],
        update: impl Fn([FloatTensor<B>; 3], FloatTensor<B>, AdamWRule) -> [FloatTensor<B>; 3],
    ) -> Self {
        let moments = self.firsts.0.into_iter().zip(self.seconds.0);
        let tensors = self.parameters.0.into_iter().zip(moments);
        let changes = gradients.0.into_iter().zip(rules);
        let [mut parameters, mut firsts, mut seconds] = [(); 3].map(|()| Vec::new());
        for ((parameter, (first, second)), (gradient, rule)) in tensors.zip(changes) {
            let [parameter, first, second] = update([parameter, first, second], gradient, *rule);
            parameters.push(parameter);
            firsts.push(first);
            seconds.push(second);
        }
        Self {
            parameters: Tensors(parameters),
            firsts: Tensors(firsts),
            seconds: Tensors(seconds),
        }
    }
}

/// One AdamW update of every parameter by its own rule: the new parameters and their new moments.
///
/// # Panics
///
/// Panics if the lists differ in length or the tensors of a place in shape.
pub fn adamw(
    parameters: TensorList,
    moments: [TensorList; 2],
    gradients: TensorList,
    rules: Vec<AdamWRule>,
) -> (TensorList, [TensorList; 2]) {
    let shapes = parameters.shapes();
    for other in [&moments[0], &moments[1], &gradients] {
        assert_eq!(other.shapes(), shapes, "shapes of an update");
    }
    assert_eq!(rules.len(), shapes.len(), "rules of an update");
    if parameters.is_empty() {
        return (parameters, moments);
    }
    let [firsts, seconds] = moments.map(Tensors::from);
    let tensors = AdamWTensors {
        parameters: parameters.into(),
        firsts,
        seconds,
    };
    let updated = Dispatch::adamw(tensors, gradients.into(), rules);
    let moments = [updated.firsts, updated.seconds].map(TensorList::from);
    (updated.parameters.into(), moments)
}

/// `x + weight * (towards - x)` of every tensor, a step of an exponential moving average.
///
/// # Panics
///
/// Panics if the lists differ in length or the tensors of a place in shape.
pub fn lerp(x: TensorList, towards: TensorList, weight: f64) -> TensorList {
    blend(x, towards, [1.0 - weight, weight])
}

/// `x + y` of every tensor.
///
/// # Panics
///
/// Panics if the lists differ in length or the tensors of a place in shape.
pub fn add(x: TensorList, y: TensorList) -> TensorList {
    blend(x, y, [1.0; 2])
}

fn blend(x: TensorList, y: TensorList, weights: [f64; 2]) -> TensorList {
    assert_eq!(x.shapes(), y.shapes(), "shapes of a sum");
    if x.is_empty() {
        return x;
    }
    Dispatch::blend(x.into(), y.into(), weights).into()
}

/// Every tensor times `factor`, `[1]`.
///
/// # Panics
///
/// Panics on a factor that records gradients.
pub fn scale(x: TensorList, factor: Tensor<1>) -> TensorList {
    assert_eq!(factor.dims(), [1], "shape of a factor");
    if x.is_empty() {
        return x;
    }
    Dispatch::scale(x.into(), constant(factor)).into()
}

/// The sum of the squares of all elements of all tensors, `[1]`.
///
/// # Panics
///
/// Panics on a list without tensors.
pub fn squared_norm(x: TensorList) -> Tensor<1> {
    assert!(!x.is_empty(), "the norm of no tensor");
    Tensor::from_dispatch(Dispatch::squared_norm(x.into()))
}
