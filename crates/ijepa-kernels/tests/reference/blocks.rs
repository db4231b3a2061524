//! Transformer blocks as one operation, with every option.

use burn::tensor::{DType, FloatDType, Tensor};
use ijepa_kernels::{BlockOptions, BlockParameters, LinearParameters, NormParameters, reference};
use ijepa_testkit::device;

use crate::{
    matrix,
    support::{Case, Noise, TOLERANCE, compare, device_tolerance},
    vector,
};

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

/// bfloat16 keeps 8 bits and half precision 11, so that orders of rounding show.
#[test]
fn a_block_in_16_bits_agrees_within_its_rounding() {
    for (dtype, tolerance) in [(FloatDType::BF16, 3e-2), (FloatDType::F16, 4e-3)] {
        if !device().supports_dtype(DType::from(dtype)) {
            continue;
        }
        let inputs = block_case(&mut Noise::new(6), 2, 17, 48);
        let options = BlockOptions {
            compute_dtype: Some(dtype),
            ..options(2)
        };
        let name = format!("block in {dtype:?}");
        block_agrees(&name, inputs, &options, tolerance);
    }
}

#[test]
#[should_panic(expected = "0 heads do not divide")]
fn a_block_without_heads_is_refused() {
    let inputs = block_case(&mut Noise::new(10), 1, 2, 8).map(Case::tensor);
    let (x, parameters) = block_inputs(inputs);
    ijepa_kernels::transformer_block(x, parameters, options(0));
}
