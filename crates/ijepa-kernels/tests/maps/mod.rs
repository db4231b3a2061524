//! Convolutions and group norms against Burn's, with all gradients, at odd sizes.

use crate::support::{Noise, TOLERANCE, compare, device_tolerance};
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn convolution_agrees(
        seed: u64,
        batch in 1usize..7,
        rows in 1usize..10,
        cols in 1usize..10,
        inputs in 1usize..20,
        outputs in 1usize..20,
    ) {
        let mut noise = Noise::new(seed);
        let inputs_of = [
            noise.case([batch, rows * cols, inputs]),
            noise.case([9, inputs, outputs]),
            noise.case([1, 1, outputs]),
        ];
        type Convolution = fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>;
        let run = |convolution: Convolution| {
            move |[x, weight, bias]: [Tensor<3>; 3]| {
                let weight = weight.reshape([3, 3, inputs, outputs]);
                pixels(convolution(map(x, rows), weight, bias.reshape([outputs])))
            }
        };
        let tolerance = device_tolerance(TOLERANCE);
        compare("convolution", inputs_of, run(conv3x3), run(reference::conv3x3), tolerance);
    }

    #[test]
    fn group_norm_agrees(
        seed: u64,
        batch in 1usize..5,
        rows in 1usize..8,
        cols in 2usize..8,
        groups in 1usize..5,
        size in 1usize..9,
        silu: bool,
    ) {
        let channels = groups * size;
        let mut noise = Noise::new(seed);
        let inputs = [
            noise.case([batch, rows * cols, channels]),
            noise.case([batch, 1, channels]),
            noise.case([batch, 1, channels]),
        ];
        let options = GroupNormOptions {
            groups,
            epsilon: 1e-2,
            activation: if silu { Activation::Silu } else { Activation::Identity },
        };
        type Norm = fn(Tensor<4>, Tensor<2>, Tensor<2>, GroupNormOptions) -> Tensor<4>;
        let run = |norm: Norm| {
            move |[x, scale, shift]: [Tensor<3>; 3]| {
                let [scale, shift] = [scale, shift].map(|x| x.squeeze_dim(1));
                pixels(norm(map(x, rows), scale, shift, options))
            }
        };
        let tolerance = device_tolerance(TOLERANCE);
        compare("group norm", inputs, run(group_norm), run(reference::group_norm), tolerance);
    }
}
