//! Every fused operation against its plain reference: values and all gradients, at odd sizes.

mod attention;
mod blocks;
mod heads;
mod inputs;
mod layers;
mod maps;
mod support;
mod updates;

use burn::tensor::Tensor;
use support::{Case, TOLERANCE, compare, device_tolerance};

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
