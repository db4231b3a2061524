//! Layer norms, GELU with a bias, and linear maps, from one feature on.

use ijepa_kernels::reference;
use proptest::prelude::*;

use crate::{
    agree, matrix,
    support::{Noise, cases, one_in},
    vector,
};

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
    for dim in (1..WIDE).step_by(one_in()) {
        layer_norms_agree(&mut noise, [3, 23, dim]);
        bias_gelus_agree(&mut noise, [3, 23, dim]);
        linears_agree(&mut noise, [3, 23, dim], 5);
        linears_agree(&mut noise, [3, 23, 5], dim);
    }
}

proptest! {
    #![proptest_config(cases(24))]

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
}
