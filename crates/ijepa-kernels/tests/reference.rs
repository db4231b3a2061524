//! Every fused operation against its plain reference: values and all gradients, at odd sizes.

mod heads;
mod maps;
mod support;

use burn::tensor::{DType, FloatDType, Tensor};
use ijepa_kernels::{
    AdamWRule, BlockOptions, BlockParameters, LinearParameters, NormParameters, TensorList,
    reference,
};
use ijepa_testkit::{assert_close, device};
use proptest::prelude::*;
use support::{Case, Noise, TOLERANCE, compare, device_tolerance};

/// Token counts: single, odd, and those of 224 px patch 16, 14 and 448 px patch 16.
const TOKENS: [usize; 5] = [1, 17, 196, 256, 784];
/// Head widths of the paper's encoders and predictors.
const HEAD_DIMS: [usize; 5] = [24, 32, 64, 80, 88];

/// Runs `fused` and `plain` on the same inputs and compares outputs and gradients.
fn agree<const N: usize>(
    name: &str,
    inputs: [Case; N],
    fused: impl Fn([Tensor<3>; N]) -> Tensor<3>,
    plain: impl Fn([Tensor<3>; N]) -> Tensor<3>,
) {
    compare(name, inputs, fused, plain, device_tolerance(TOLERANCE));
}

fn vector(x: Tensor<3>) -> Tensor<1> {
    let features = x.dims()[2];
    x.reshape([features])
}

fn matrix(x: Tensor<3>) -> Tensor<2> {
    x.squeeze_dim(0)
}

#[test]
fn attention_agrees_for_all_token_counts_and_head_widths() {
    let mut noise = Noise::new(1);
    for tokens in TOKENS {
        for head_dim in HEAD_DIMS {
            let heads = 2;
            let qkv = noise.case([1, tokens, 3 * heads * head_dim]);
            agree(
                &format!("{tokens} tokens, head_dim {head_dim}"),
                [qkv],
                |[qkv]| ijepa_kernels::attention(qkv, heads, None),
                |[qkv]| reference::attention(qkv, heads, None, None),
            );
        }
    }
}

#[test]
fn attention_from_a_token_on_agrees() {
    let mut noise = Noise::new(6);
    for (tokens, first) in [(5, 1), (17, 16), (33, 12)] {
        agree(
            &format!("{tokens} tokens from {first}"),
            [noise.case([3, tokens, 3 * 2 * 5])],
            |[qkv]| ijepa_kernels::attention_from(first, qkv, 2, None),
            |[qkv]| reference::attention(qkv, 2, None, None).narrow(1, first, tokens - first),
        );
    }
}

#[test]
fn attention_of_large_scores_is_finite() {
    let device = device();
    let qkv = Tensor::<3>::from_data([[[300.0, 300.0, 1.0], [-300.0, 300.0, 2.0]]], &device);
    let mixed = ijepa_kernels::attention(qkv, 1, None).into_data();
    let mixed: Vec<f32> = mixed.iter::<f32>().collect();
    assert!(
        mixed.iter().all(|value| (1.0..=2.0).contains(value)),
        "{mixed:?}"
    );
}

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

#[test]
fn updates_are_those_of_the_formulas() {
    let device = device();
    let tensor = |values: [f32; 3]| TensorList::of(Tensor::<1>::from_data(values, &device));
    let (parameter, gradient) = ([1.0, -2.0, 0.5], [0.1, -0.2, 0.0]);
    let moments = [[0.05, 0.1, -0.02], [0.01, 0.04, 0.09]];
    let rule = AdamWRule::new(1e-2, 0.1, [0.9, 0.99], 1e-8, 3);
    let (found, found_moments) = ijepa_kernels::adamw(
        tensor(parameter),
        moments.map(tensor),
        tensor(gradient),
        vec![rule],
    );
    let mut expected = [Vec::new(), Vec::new(), Vec::new()];
    for index in 0..3 {
        let gradient = f64::from(gradient[index]);
        let first = 0.9 * f64::from(moments[0][index]) + 0.1 * gradient;
        let second = 0.99 * f64::from(moments[1][index]) + 0.01 * gradient * gradient;
        let corrected = [
            first / (1.0 - 0.9f64.powi(3)),
            second / (1.0 - 0.99f64.powi(3)),
        ];
        let decayed = f64::from(parameter[index]) * (1.0 - 1e-2 * 0.1);
        let updated = decayed - 1e-2 * corrected[0] / (corrected[1].sqrt() + 1e-8);
        for (list, value) in expected.iter_mut().zip([updated, first, second]) {
            list.push(value as f32);
        }
    }
    let [first, second] = found_moments;
    for (found, expected) in [found, first, second].into_iter().zip(&expected) {
        assert_close(
            "AdamW",
            &first_of::<1>(found),
            expected,
            device_tolerance(1e-6),
        );
    }
    let moved = ijepa_kernels::lerp(tensor(parameter), tensor(gradient), 0.25);
    assert_close(
        "lerp",
        &first_of::<1>(moved),
        &[0.775, -1.55, 0.375],
        device_tolerance(1e-6),
    );
    let norm: f32 = ijepa_kernels::squared_norm(tensor(parameter)).into_scalar();
    assert_close("squared norm", &[norm], &[5.25], device_tolerance(1e-6));
}

/// The elements of the first tensor, taken from the list.
fn take<const D: usize>(list: &mut TensorList) -> Vec<f32> {
    let first = list.take::<D>().expect("a tensor");
    first.into_data().iter::<f32>().collect()
}

fn first_of<const D: usize>(mut list: TensorList) -> Vec<f32> {
    take::<D>(&mut list)
}

/// Tensors of all kinds of sizes and more than one launch holds, some of them held by others.
#[test]
fn many_tensors_are_updated_as_each_alone() {
    let mut noise = Noise::new(11);
    let sizes = (0..37).map(|index| [1, 1 + index % 5, 1 + (index * 7) % 24]);
    let sizes: Vec<[usize; 3]> = sizes.chain([[3, 65, 173]]).collect();
    let rules: Vec<AdamWRule> = (0..sizes.len())
        .map(|index| AdamWRule::new(1e-2 / (1 + index) as f64, 0.1, [0.9, 0.99], 1e-8, 3))
        .collect();
    let cases: Vec<[Case; 4]> = sizes
        .iter()
        .map(|&size| [(); 4].map(|()| noise.case(size)))
        .collect();
    // Second moments are not negative.
    let tensors = |index: usize| {
        let [parameter, first, second, gradient] = cases[index].clone().map(Case::tensor);
        [parameter, first, second.abs(), gradient]
    };
    let mut lists = [(); 4].map(|()| TensorList::new());
    let mut held = Vec::new();
    for index in 0..sizes.len() {
        let tensors = tensors(index);
        if index % 3 == 0 {
            held.push((index, tensors.clone()));
        }
        for (list, tensor) in lists.iter_mut().zip(tensors) {
            list.push(tensor);
        }
    }
    let [parameters, firsts, seconds, gradients] = lists;
    let norm: f32 = ijepa_kernels::squared_norm(gradients.clone()).into_scalar();
    let mut moved = ijepa_kernels::lerp(parameters.clone(), gradients.clone(), 0.25);
    let mut sums = ijepa_kernels::add(parameters.clone(), gradients.clone());
    let factor = Tensor::from_data([0.75], &device());
    let mut scaled = ijepa_kernels::scale(gradients.clone(), factor);
    let (mut parameters, [mut firsts, mut seconds]) =
        ijepa_kernels::adamw(parameters, [firsts, seconds], gradients, rules.clone());
    let mut squares = 0.0;
    for (index, rule) in rules.into_iter().enumerate() {
        let [parameter, first, second, gradient] = tensors(index).map(TensorList::of);
        let alone: f32 = ijepa_kernels::squared_norm(gradient.clone()).into_scalar();
        squares += f64::from(alone);
        let [a, b] = [&parameter, &gradient].map(|x| first_of::<3>(x.clone()));
        let expected: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        assert_eq!(take::<3>(&mut sums), expected, "{index}");
        let expected: Vec<f32> = b.iter().map(|b| b * 0.75).collect();
        assert_eq!(take::<3>(&mut scaled), expected, "{index}");
        let expected = ijepa_kernels::lerp(parameter.clone(), gradient.clone(), 0.25);
        assert_eq!(take::<3>(&mut moved), first_of::<3>(expected), "{index}");
        let (parameter, [first, second]) =
            ijepa_kernels::adamw(parameter, [first, second], gradient, vec![rule]);
        assert_eq!(
            take::<3>(&mut parameters),
            first_of::<3>(parameter),
            "{index}"
        );
        assert_eq!(take::<3>(&mut firsts), first_of::<3>(first), "{index}");
        assert_eq!(take::<3>(&mut seconds), first_of::<3>(second), "{index}");
    }
    assert_close("norm", &[norm], &[squares as f32], device_tolerance(1e-6));
    for (index, tensors_then) in held {
        let [now, then] = [tensors(index), tensors_then]
            .map(|all| all.map(|tensor| tensor.into_data().iter::<f32>().collect::<Vec<_>>()));
        assert_eq!(now, then, "what others hold of {index}");
    }
}

/// `1 - beta` of a second moment has four digits less in f32.
#[test]
fn updates_take_their_exact_share_of_a_gradient() {
    let device = device();
    let tensor = |value: f32| TensorList::of(Tensor::<1>::from_data([value, -value], &device));
    let rule = AdamWRule::new(1e-3, 0.0, [0.9, 0.999], 1e-8, 1);
    let moments = [tensor(0.0), tensor(0.0)];
    let (_, moments) = ijepa_kernels::adamw(tensor(1.0), moments, tensor(3.0), vec![rule]);
    let [first, second] = moments.map(first_of::<1>);
    assert_close("first moment", &first, &[0.3, -0.3], 1e-6);
    assert_close("second moment", &second, &[0.009, 0.009], 1e-6);
}

#[test]
#[should_panic(expected = "the operation has no gradient")]
fn an_update_of_what_records_gradients_is_refused() {
    let x = Tensor::<1>::zeros([2], &device().autodiff());
    ijepa_kernels::squared_norm(TensorList::of(x));
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
#[should_panic(expected = "0 heads do not divide")]
fn a_block_without_heads_is_refused() {
    let inputs = block_case(&mut Noise::new(10), 1, 2, 8).map(Case::tensor);
    let (x, parameters) = block_inputs(inputs);
    ijepa_kernels::transformer_block(x, parameters, options(0));
}

#[test]
#[should_panic(expected = "bias of a linear map")]
fn a_bias_of_another_length_is_refused() {
    let zeros = |shape: [usize; 2]| Tensor::<2>::zeros(shape, &device());
    let bias = Tensor::<1>::zeros([4], &device());
    ijepa_kernels::linear(zeros([2, 3]), zeros([3, 5]), bias, None);
}

fn options(num_heads: usize) -> BlockOptions {
    BlockOptions {
        num_heads,
        epsilon: 1e-6,
        compute_dtype: None,
        int8: false,
        recompute: false,
        branch_factors: None,
        outputs_from: 0,
    }
}

/// Input and parameters of a block.
fn block_case(noise: &mut Noise, batch: usize, tokens: usize, dim: usize) -> [Case; 13] {
    let hidden = 4 * dim;
    let scale = (dim as f32).sqrt().recip();
    [
        noise.case([batch, tokens, dim]),
        noise.case([1, 1, dim]),
        noise.case([1, 1, dim]),
        noise.case([1, dim, 3 * dim]).scaled(scale),
        noise.case([1, 1, 3 * dim]),
        noise.case([1, dim, dim]).scaled(scale),
        noise.case([1, 1, dim]),
        noise.case([1, 1, dim]),
        noise.case([1, 1, dim]),
        noise.case([1, dim, hidden]).scaled(scale),
        noise.case([1, 1, hidden]),
        noise.case([1, hidden, dim]).scaled(scale),
        noise.case([1, 1, dim]),
    ]
}

fn block_inputs(tensors: [Tensor<3>; 13]) -> (Tensor<3>, BlockParameters) {
    let [x, g1, b1, wq, bq, wp, bp, g2, b2, w1, c1, w2, c2] = tensors;
    let norm = |gamma, beta| NormParameters {
        gamma: vector(gamma),
        beta: vector(beta),
    };
    let linear = |weight, bias| LinearParameters {
        weight: matrix(weight),
        bias: vector(bias),
    };
    let parameters = BlockParameters {
        norm1: norm(g1, b1),
        qkv: linear(wq, bq),
        proj: linear(wp, bp),
        norm2: norm(g2, b2),
        fc1: linear(w1, c1),
        fc2: linear(w2, c2),
    };
    (x, parameters)
}

fn block_agrees(name: &str, inputs: [Case; 13], options: &BlockOptions, tolerance: f64) {
    let fused = |tensors| {
        let (x, parameters) = block_inputs(tensors);
        ijepa_kernels::transformer_block(x, parameters, options.clone())
    };
    let plain = |tensors| {
        let (x, parameters) = block_inputs(tensors);
        reference::transformer_block(x, parameters, options.clone(), None)
    };
    compare(name, inputs, fused, plain, device_tolerance(tolerance));
}

#[test]
fn a_block_agrees() {
    let inputs = block_case(&mut Noise::new(3), 3, 17, 48);
    block_agrees("block", inputs, &options(2), TOLERANCE);
}

#[test]
fn a_block_that_recomputes_agrees() {
    let inputs = block_case(&mut Noise::new(4), 2, 9, 48);
    let options = BlockOptions {
        recompute: true,
        ..options(3)
    };
    block_agrees("block with recomputation", inputs, &options, TOLERANCE);
}

#[test]
fn a_block_with_branch_factors_agrees() {
    let inputs = block_case(&mut Noise::new(5), 3, 5, 24);
    let options = BlockOptions {
        branch_factors: Some([vec![0.0, 1.25, 1.25], vec![1.25, 0.0, 1.25]]),
        ..options(3)
    };
    block_agrees("block with branch factors", inputs, &options, TOLERANCE);
}

#[test]
fn a_block_for_some_tokens_agrees() {
    let mut noise = Noise::new(8);
    for (tokens, outputs_from) in [(9, 1), (17, 16), (300, 7)] {
        let inputs = block_case(&mut noise, 2, tokens, 24);
        let options = BlockOptions {
            outputs_from,
            ..options(3)
        };
        let name = format!("block from token {outputs_from} of {tokens}");
        block_agrees(&name, inputs, &options, TOLERANCE);
    }
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

/// bfloat16 keeps 8 bits, so that orders of rounding show.
#[test]
fn a_block_in_bf16_agrees_within_its_rounding() {
    if !device().supports_dtype(DType::BF16) {
        return;
    }
    let inputs = block_case(&mut Noise::new(6), 2, 17, 48);
    let options = BlockOptions {
        compute_dtype: Some(FloatDType::BF16),
        ..options(2)
    };
    block_agrees("block in bf16", inputs, &options, 3e-2);
}

/// Widths from which on random sums do not all cancel to nearly nothing, as single ones may.
const WIDE: usize = 8;

fn layer_norms_agree(noise: &mut Noise, shape: [usize; 3]) {
    let of_features = [1, 1, shape[2]];
    agree(
        "layer norm",
        [shape, of_features, of_features].map(|shape| noise.case(shape)),
        |[x, gamma, beta]| ijepa_kernels::layer_norm(x, vector(gamma), vector(beta), 1e-3),
        |[x, gamma, beta]| reference::layer_norm(x, vector(gamma), vector(beta), 1e-3),
    );
}

fn bias_gelus_agree(noise: &mut Noise, shape: [usize; 3]) {
    agree(
        "gelu",
        [noise.case(shape).scaled(3.0), noise.case([1, 1, shape[2]])],
        |[x, bias]| ijepa_kernels::bias_gelu(x, vector(bias)),
        |[x, bias]| reference::bias_gelu(x, vector(bias)),
    );
}

fn linears_agree(noise: &mut Noise, shape: [usize; 3], outputs: usize) {
    agree(
        "linear",
        [shape, [1, shape[2], outputs], [1, 1, outputs]].map(|shape| noise.case(shape)),
        |[x, weight, bias]| ijepa_kernels::linear(x, matrix(weight), vector(bias), None),
        |[x, weight, bias]| reference::linear(x, matrix(weight), vector(bias), None),
    );
}

#[test]
fn narrow_layers_agree() {
    let mut noise = Noise::new(9);
    for dim in 1..WIDE {
        layer_norms_agree(&mut noise, [3, 23, dim]);
        bias_gelus_agree(&mut noise, [3, 23, dim]);
        linears_agree(&mut noise, [3, 23, dim], 5);
        linears_agree(&mut noise, [3, 23, 5], dim);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn layer_norm_agrees(
        seed: u64,
        batch in 1usize..4,
        tokens in 1usize..70,
        dim in WIDE..300,
    ) {
        layer_norms_agree(&mut Noise::new(seed), [batch, tokens, dim]);
    }

    #[test]
    fn bias_gelu_agrees(
        seed: u64,
        batch in 1usize..4,
        tokens in 1usize..70,
        dim in WIDE..300,
    ) {
        bias_gelus_agree(&mut Noise::new(seed), [batch, tokens, dim]);
    }

    #[test]
    fn linear_agrees(
        seed: u64,
        batch in 1usize..4,
        tokens in 1usize..70,
        inputs in WIDE..130,
        outputs in WIDE..130,
    ) {
        linears_agree(&mut Noise::new(seed), [batch, tokens, inputs], outputs);
    }

    #[test]
    fn attention_agrees(
        seed: u64,
        batch in 1usize..4,
        tokens in 1usize..80,
        heads in 1usize..5,
        head_dim in 1usize..40,
    ) {
        let mut noise = Noise::new(seed);
        agree(
            "attention",
            [noise.case([batch, tokens, 3 * heads * head_dim])],
            |[qkv]| ijepa_kernels::attention(qkv, heads, None),
            |[qkv]| reference::attention(qkv, heads, None, None),
        );
    }
}
