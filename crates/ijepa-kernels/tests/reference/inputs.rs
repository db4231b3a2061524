//! Inputs that lie anyhow in memory, are still held, have a narrow type or do not fit.

use burn::tensor::{DType, FloatDType, Tensor};
use ijepa_kernels::reference;
use ijepa_testkit::device;

use crate::{
    agree, matrix,
    support::{Noise, compare},
    vector,
};

#[test]
fn inputs_may_lie_anyhow_in_memory() {
    let mut noise = Noise::new(2);
    // Transposed, narrowed from the middle, and repeated tensors.
    let view = |x: Tensor<3>| x.swap_dims(1, 2).narrow(1, 3, 17).narrow(0, 1, 2);
    let gamma = noise.case([1, 1, 5]);
    let beta = noise.case([1, 1, 5]);
    agree(
        "layer norm of a view",
        [noise.case([3, 5, 24]), gamma, beta.clone()],
        |[x, gamma, beta]| ijepa_kernels::layer_norm(view(x), vector(gamma), vector(beta), 1e-6),
        |[x, gamma, beta]| reference::layer_norm(view(x), vector(gamma), vector(beta), 1e-6),
    );
    agree(
        "gelu of a view",
        [noise.case([3, 5, 24]), beta],
        |[x, bias]| ijepa_kernels::bias_gelu(view(x), vector(bias)),
        |[x, bias]| reference::bias_gelu(view(x), vector(bias)),
    );
    let weight = |x: Tensor<3>| matrix(x).transpose();
    agree(
        "product with a transposed weight",
        [
            noise.case([3, 5, 24]),
            noise.case([1, 7, 5]),
            noise.case([1, 1, 7]),
        ],
        |[x, w, bias]| ijepa_kernels::linear(view(x), weight(w), vector(bias), None),
        |[x, w, bias]| reference::linear(view(x), weight(w), vector(bias), None),
    );
    agree(
        "attention of a view",
        [noise.case([3, 24, 24])],
        |[qkv]| ijepa_kernels::attention(qkv.swap_dims(1, 2), 2, None),
        |[qkv]| reference::attention(qkv.swap_dims(1, 2), 2, None, None),
    );
}

#[test]
fn inputs_are_left_alone() {
    let device = device();
    let x = Tensor::<3>::from_data([[[1.0, -2.0, 3.0]]], &device);
    let bias = Tensor::<1>::from_data([0.5, 0.5, 0.5], &device);
    let before = x.clone().into_data();
    let kept = x.clone();
    let _ = ijepa_kernels::bias_gelu(x, bias);
    kept.into_data().assert_eq(&before, true);
}

/// Where flex has no such products it computes in f32, which is no further away.
#[test]
fn maps_and_attention_in_bf16_are_close_to_those_in_f32() {
    if !device().supports_dtype(DType::BF16) {
        return;
    }
    let (mut noise, narrow) = (Noise::new(11), Some(FloatDType::BF16));
    compare(
        "linear in bf16",
        [[2, 41, 72], [1, 72, 50], [1, 1, 50]].map(|shape| noise.case(shape)),
        |[x, weight, bias]| ijepa_kernels::linear(x, matrix(weight), vector(bias), narrow),
        |[x, weight, bias]| reference::linear(x, matrix(weight), vector(bias), None),
        1e-2,
    );
    compare(
        "attention in bf16",
        [noise.case([2, 41, 3 * 2 * 24])],
        |[qkv]| ijepa_kernels::attention(qkv, 2, narrow),
        |[qkv]| reference::attention(qkv, 2, None, None),
        1e-2,
    );
}

#[test]
#[should_panic(expected = "nothing to compute on a tensor of shape [0, 3, 5]")]
fn an_empty_batch_is_refused() {
    let device = device();
    let x = Tensor::<3>::zeros([0, 3, 5], &device);
    ijepa_kernels::linear(
        x,
        Tensor::zeros([5, 2], &device),
        Tensor::zeros([2], &device),
        None,
    );
}

#[test]
#[should_panic(expected = "nothing to compute on a tensor of shape [5, 0]")]
fn no_outputs_are_refused() {
    let device = device();
    let x = Tensor::<3>::zeros([1, 3, 5], &device);
    ijepa_kernels::linear(
        x,
        Tensor::zeros([5, 0], &device),
        Tensor::zeros([0], &device),
        None,
    );
}

#[test]
#[should_panic(expected = "bias of a linear map")]
fn a_bias_of_another_length_is_refused() {
    let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &device());
    let bias = Tensor::<1>::zeros([4], &device());
    ijepa_kernels::linear(zeros([2, 3]), zeros([3, 5]), bias, None);
}
