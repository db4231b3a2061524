//! Attention for all numbers of tokens, heads and widths of heads.

use burn::tensor::Tensor;
use ijepa_kernels::reference;
use ijepa_testkit::device;
use proptest::prelude::*;

use crate::{
    agree,
    support::{Noise, cases, one_in},
};

/// Token counts: single, odd, and those of 224 px patch 16, 14 and 448 px patch 16.
const TOKENS: [usize; 5] = [1, 17, 196, 256, 784];
/// Head widths of the paper's encoders and predictors.
const HEAD_DIMS: [usize; 5] = [24, 32, 64, 80, 88];

#[test]
fn attention_agrees_for_all_token_counts_and_head_widths() {
    let mut noise = Noise::new(1);
    let all = TOKENS.map(|tokens| HEAD_DIMS.map(|head_dim| (tokens, head_dim)));
    // Of each number of tokens and each width there is one also among one in three.
    for &(tokens, head_dim) in all.as_flattened().iter().step_by(one_in()) {
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

proptest! {
    #![proptest_config(cases(24))]

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
