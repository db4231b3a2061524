//! Convolutions and group norms against Burn's, with all gradients, at odd sizes.

use crate::support::{Noise, TOLERANCE, cases, compare, device_tolerance, one_in};
use burn::tensor::Tensor;
use ijepa_kernels::{Activation, GroupNormOptions, conv3x3, group_norm, reference};
use proptest::prelude::*;

/// `[batch, pixels, channels]` of a square or narrow map as a map, and back.
fn map(x: Tensor<3>, rows: usize) -> Tensor<4> {
    let [batch, pixels, channels] = x.dims();
    x.reshape([batch, rows, pixels / rows, channels])
}

fn pixels(x: Tensor<4>) -> Tensor<3> {
    let [batch, rows, cols, channels] = x.dims();
    x.reshape([batch, rows * cols, channels])
}

/// Channels from which on random sums do not all cancel to nearly nothing, as single ones may.
const WIDE: usize = 8;

fn convolutions_agree(
    noise: &mut Noise,
    [batch, rows, cols]: [usize; 3],
    inputs: usize,
    outputs: usize,
) {
    let shapes = [
        [batch, rows * cols, inputs],
        [9, inputs, outputs],
        [1, 1, outputs],
    ];
    type Convolution = fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>;
    let run = |convolution: Convolution| {
        move |[x, weight, bias]: [Tensor<3>; 3]| {
            let weight = weight.reshape([3, 3, inputs, outputs]);
            pixels(convolution(map(x, rows), weight, bias.reshape([outputs])))
        }
    };
    let cases = shapes.map(|shape| noise.case(shape));
    let tolerance = device_tolerance(TOLERANCE);
    compare(
        "convolution",
        cases,
        run(conv3x3),
        run(reference::conv3x3),
        tolerance,
    );
}

fn group_norms_agree(
    noise: &mut Noise,
    [batch, rows, cols]: [usize; 3],
    [groups, size]: [usize; 2],
    activation: Activation,
) {
    let channels = groups * size;
    let shapes = [
        [batch, rows * cols, channels],
        [batch, 1, channels],
        [batch, 1, channels],
    ];
    let options = GroupNormOptions {
        groups,
        epsilon: 1e-2,
        activation,
    };
    type Norm = fn(Tensor<4>, Tensor<2>, Tensor<2>, GroupNormOptions) -> Tensor<4>;
    let run = |norm: Norm| {
        move |[x, scale, shift]: [Tensor<3>; 3]| {
            let [scale, shift] = [scale, shift].map(|x| x.squeeze_dim(1));
            pixels(norm(map(x, rows), scale, shift, options))
        }
    };
    let cases = shapes.map(|shape| noise.case(shape));
    let tolerance = device_tolerance(TOLERANCE);
    compare(
        "group norm",
        cases,
        run(group_norm),
        run(reference::group_norm),
        tolerance,
    );
}

#[test]
fn maps_of_few_channels_agree() {
    let mut noise = Noise::new(1);
    for few in (1..WIDE).step_by(one_in()) {
        for side in [1, 5] {
            convolutions_agree(&mut noise, [3, side, side], few, 5);
            convolutions_agree(&mut noise, [3, side, side], 5, few);
        }
        for groups in 1..4 {
            for activation in [Activation::Silu, Activation::Identity] {
                group_norms_agree(&mut noise, [3, 3, 5], [groups, few], activation);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn convolution_agrees(
        seed: u64,
        batch in 1usize..7,
        rows in 1usize..10,
        cols in 1usize..10,
        inputs in WIDE..24,
        outputs in WIDE..24,
    ) {
        convolutions_agree(&mut Noise::new(seed), [batch, rows, cols], inputs, outputs);
    }

    #[test]
    fn group_norm_agrees(
        seed: u64,
        batch in 1usize..5,
        rows in 1usize..8,
        cols in 2usize..8,
        groups in 1usize..5,
        size in WIDE..18,
        silu: bool,
    ) {
        let activation = if silu { Activation::Silu } else { Activation::Identity };
        let noise = &mut Noise::new(seed);
        group_norms_agree(noise, [batch, rows, cols], [groups, size], activation);
    }
}
