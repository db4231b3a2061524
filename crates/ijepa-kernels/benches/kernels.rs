//! Each fused operation beside its plain reference: forward and backward at the sizes of ViT-S/16.
//!
//! ```sh
//! cargo bench --workspace --bench kernels
//! ```

use std::time::Duration;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use ijepa_kernels::{
    BlockOptions, BlockParameters, LinearParameters, NormParameters, on_workers, reference,
};

const BATCH: usize = 8;
const TOKENS: usize = 196;
const DIM: usize = 384;
const HIDDEN: usize = 4 * DIM;
const HEADS: usize = 6;

fn noise<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let device = Device::flex().autodiff();
    Tensor::random(shape, Distribution::Normal(0.0, 0.1), &device).require_grad()
}

/// Measures forward and backward pass of both implementations.
fn pair(
    criterion: &mut Criterion,
    name: &str,
    fused: impl Fn() -> Tensor<3> + Sync,
    plain: impl Fn() -> Tensor<3> + Sync,
) {
    let device = Device::flex();
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    group.bench_function("fused", |bencher| {
        bencher.iter(|| on_workers(&device, || drop(fused().sum().backward())));
    });
    group.bench_function("reference", |bencher| {
        bencher.iter(|| drop(plain().sum().backward()));
    });
    group.finish();
}

fn operations(criterion: &mut Criterion) {
    let x = noise([BATCH, TOKENS, DIM]);
    let (gamma, beta) = (noise([DIM]), noise([DIM]));
    pair(
        criterion,
        "layer_norm",
        || ijepa_kernels::layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-6),
        || reference::layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-6),
    );
    let (weight, bias) = (noise([DIM, HIDDEN]), noise([HIDDEN]));
    pair(
        criterion,
        "linear",
        || ijepa_kernels::linear(x.clone(), weight.clone(), bias.clone(), None),
        || reference::linear(x.clone(), weight.clone(), bias.clone(), None),
    );
    let hidden = noise([BATCH, TOKENS, HIDDEN]);
    pair(
        criterion,
        "bias_gelu",
        || ijepa_kernels::bias_gelu(hidden.clone(), bias.clone()),
        || reference::bias_gelu(hidden.clone(), bias.clone()),
    );
    let qkv = noise([BATCH, TOKENS, 3 * DIM]);
    pair(
        criterion,
        "attention",
        || ijepa_kernels::attention(qkv.clone(), HEADS, None),
        || reference::attention(qkv.clone(), HEADS, None, None),
    );
}

fn block(criterion: &mut Criterion) {
    let x = noise([BATCH, TOKENS, DIM]);
    let norm = || NormParameters {
        gamma: noise([DIM]),
        beta: noise([DIM]),
    };
    let linear = |inputs, outputs| LinearParameters {
        weight: noise([inputs, outputs]),
        bias: noise([outputs]),
    };
    let parameters = BlockParameters {
        norm1: norm(),
        qkv: linear(DIM, 3 * DIM),
        proj: linear(DIM, DIM),
        norm2: norm(),
        fc1: linear(DIM, HIDDEN),
        fc2: linear(HIDDEN, DIM),
    };
    let options = BlockOptions {
        num_heads: HEADS,
        epsilon: 1e-6,
        compute_dtype: None,
        int8: false,
        recompute: false,
        branch_factors: None,
        outputs_from: 0,
    };
    pair(
        criterion,
        "transformer_block",
        || ijepa_kernels::transformer_block(x.clone(), parameters.clone(), options.clone()),
        || reference::transformer_block(x.clone(), parameters.clone(), options.clone(), None),
    );
}

criterion_group!(benches, operations, block);
criterion_main!(benches);
