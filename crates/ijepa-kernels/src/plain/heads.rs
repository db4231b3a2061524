//! Linear classifiers side by side in Burn's operations.

use burn::{
    backend::{Backend, TensorMetadata, tensor::FloatTensor},
    tensor::{IndexingUpdateOp, Shape, TensorData},
};

use super::product_weight_backward;
use crate::{
    heads::{CrossEntropyTensors, HeadRule, HeadStepTensors, SteppedTensors},
    primitives::LinearTensors,
};

fn reshape<B: Backend, const D: usize>(x: FloatTensor<B>, shape: [usize; D]) -> FloatTensor<B> {
    B::float_reshape(x, Shape::new(shape))
}

pub(crate) fn fold<B: Backend>(
    weight: FloatTensor<B>,
    scale: FloatTensor<B>,
    offset: FloatTensor<B>,
) -> LinearTensors<B> {
    let [dim, columns] = weight.shape().dims::<2>();
    let heads = scale.shape()[1];
    let weight = reshape::<B, 3>(weight, [dim, heads, columns / heads]);
    let shift = B::float_mul(weight.clone(), reshape::<B, 3>(offset, [dim, heads, 1]));
    let weight = B::float_mul(weight, reshape::<B, 3>(scale, [dim, heads, 1]));
    LinearTensors {
        weight: reshape::<B, 2>(weight, [dim, columns]),
        bias: reshape::<B, 1>(B::float_sum_dim(shift, 0), [columns]),
    }
}

pub(crate) fn cross_entropy<B: Backend>(
    logits: FloatTensor<B>,
    targets: &[u32],
    heads: usize,
) -> CrossEntropyTensors<B> {
    let [rows, columns] = logits.shape().dims::<2>();
    let (all, classes, device) = (rows * heads, columns / heads, logits.device());
    let logits = reshape::<B, 2>(logits, [all, classes]);
    let indices = targets
        .iter()
        .flat_map(|&target| vec![target as i32; heads]);
    let indices = TensorData::new(indices.collect::<Vec<i32>>(), [all, 1]);
    let indices = B::int_from_data(indices, &device);
    let own = B::float_gather(1, logits.clone(), indices.clone());
    let most = B::float_max_dim(logits.clone(), 1);
    let powers = B::float_exp(B::float_sub(logits, most.clone()));
    let sum = B::float_sum_dim(powers.clone(), 1);
    let losses = B::float_sub(B::float_add(B::float_log(sum.clone()), most), own.clone());
    let minus_one = B::float_add_scalar(B::float_mul_scalar(own, 0.0.into()), (-1.0).into());
    let probabilities = B::float_div(powers, sum);
    let update = IndexingUpdateOp::Add;
    let gradient = B::float_scatter(1, probabilities, indices, minus_one, update);
    CrossEntropyTensors {
        gradient: reshape::<B, 2>(gradient, [rows, columns]),
        losses: reshape::<B, 2>(losses, [rows, heads]),
    }
}

pub(crate) fn add_product<B: Backend>(
    sum: FloatTensor<B>,
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> FloatTensor<B> {
    B::float_add(sum, product_weight_backward::<B>(x, grad))
}

pub(crate) fn step_heads<B: Backend>(
    tensors: HeadStepTensors<B>,
    rule: HeadRule,
) -> SteppedTensors<B> {
    let [dim, columns] = tensors.weight.shape().dims::<2>();
    let heads = tensors.scale.shape()[1];
    let classes = columns / heads;
    let full = |x| reshape::<B, 3>(x, [dim, heads, classes]);
    let per_head = |x| reshape::<B, 3>(x, [1, heads, 1]);
    let over_classes = |x| reshape::<B, 2>(B::float_sum_dim(x, 2), [dim, heads]);

    let (weight, product) = (full(tensors.weight), full(tensors.product));
    let sums = reshape::<B, 3>(tensors.sums, [1, heads, classes]);
    let scale = reshape::<B, 3>(tensors.scale, [dim, heads, 1]);
    let offset = reshape::<B, 3>(tensors.offset, [dim, heads, 1]);
    let scale_gradient = over_classes(B::float_mul(weight.clone(), product.clone()));
    let offset_gradient = over_classes(B::float_mul(weight.clone(), sums.clone()));
    let scaled = B::float_mul(product, scale);
    let shifted = B::float_mul(offset, sums);
    let decayed = B::float_mul(weight.clone(), per_head(tensors.decays));
    let mut gradient = B::float_add(B::float_add(scaled, shifted), decayed);
    if let Some(trust) = rule.trust {
        gradient = B::float_mul(
            gradient.clone(),
            trust_ratio::<B>(weight.clone(), gradient, trust),
        );
    }
    let kept = |x| B::float_mul_scalar(x, rule.momentum.into());
    let momentum = B::float_add(kept(full(tensors.momentum)), gradient.clone());
    let update = if rule.nesterov {
        B::float_add(gradient, kept(momentum.clone()))
    } else {
        momentum.clone()
    };
    let weight = B::float_sub(weight, B::float_mul(update, per_head(tensors.rates)));
    SteppedTensors {
        weight: reshape::<B, 2>(weight, [dim, columns]),
        momentum: reshape::<B, 2>(momentum, [dim, columns]),
        scale_gradient,
        offset_gradient,
    }
}

/// `trust * |weight| / |gradient|` of each head, 1 where either is 0: `[1, heads, 1]`.
fn trust_ratio<B: Backend>(
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    trust: f64,
) -> FloatTensor<B> {
    let norm = |x: FloatTensor<B>| {
        let squares = B::float_mul(x.clone(), x);
        B::float_sqrt(B::float_sum_dim(B::float_sum_dim(squares, 2), 0))
    };
    let (weight, gradient) = (norm(weight), norm(gradient));
    let both = B::float_sign(B::float_mul(weight.clone(), gradient.clone()));
    let neither = B::float_add_scalar(B::float_neg(both.clone()), 1.0.into());
    let ratio = B::float_div(weight, B::float_add(gradient, neither.clone()));
    let ratio = B::float_mul(B::float_mul_scalar(ratio, trust.into()), both);
    B::float_add(ratio, neither)
}
