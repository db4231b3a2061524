//! Optimizer steps.

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::Shape,
};

use crate::{
    list::Tensors,
    update::{AdamWRule, AdamWTensors},
};

pub(crate) fn adamw<B: Backend>(
    tensors: AdamWTensors<B>,
    gradients: Tensors<B>,
    rules: &[AdamWRule],
) -> AdamWTensors<B> {
    tensors.map(gradients, rules, adamw_one::<B>)
}

/// The new parameter and its new moments.
pub(crate) fn adamw_one<B: Backend>(
    [parameter, first, second]: [FloatTensor<B>; 3],
    gradient: FloatTensor<B>,
    rule: AdamWRule,
) -> [FloatTensor<B>; 3] {
    let [beta_1, beta_2] = rule.betas;
    let mix = |old, new, beta: f64| {
        let old = B::float_mul_scalar(old, beta.into());
        B::float_add(old, B::float_mul_scalar(new, (1.0 - beta).into()))
    };
    let square = B::float_mul(gradient.clone(), gradient.clone());
    let first = mix(first, gradient, beta_1);
    let second = mix(second, square, beta_2);
    let root = B::float_sqrt(second.clone());
    let root = B::float_mul_scalar(root, rule.second_correction.recip().into());
    let direction = B::float_div(first.clone(), B::float_add_scalar(root, rule.eps.into()));
    let decayed = B::float_mul_scalar(parameter, rule.decay.into());
    let step = B::float_mul_scalar(direction, rule.step_size.into());
    [B::float_sub(decayed, step), first, second]
}

pub(crate) fn blend<B: Backend>(x: Tensors<B>, y: Tensors<B>, weights: [f64; 2]) -> Tensors<B> {
    x.zip_map(y, |x, y| blend_one::<B>(x, y, weights))
}

pub(crate) fn blend_one<B: Backend>(
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    [a, b]: [f64; 2],
) -> FloatTensor<B> {
    let own = B::float_mul_scalar(x, a.into());
    B::float_add(own, B::float_mul_scalar(y, b.into()))
}

pub(crate) fn scale<B: Backend>(x: Tensors<B>, factor: FloatTensor<B>) -> Tensors<B> {
    let scaled = x.0.into_iter().map(|x| {
        let ones = Shape::from(vec![1; x.shape().num_dims()]);
        B::float_mul(x, B::float_reshape(factor.clone(), ones))
    });
    Tensors(scaled.collect())
}

pub(crate) fn squared_norm<B: Backend>(x: Tensors<B>) -> FloatTensor<B> {
    total::<B>(x, squared_norm_one::<B>)
}

pub(crate) fn squared_norm_one<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_sum(B::float_mul(x.clone(), x))
}

/// The sum of what `measure` gives for every tensor, in order.
pub(crate) fn total<B: Backend>(
    x: Tensors<B>,
    measure: impl Fn(FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    let sum = x.0.into_iter().map(measure).reduce(B::float_add);
    sum.expect("at least one tensor")
}
