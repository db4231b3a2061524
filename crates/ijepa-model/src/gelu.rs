//! The exact GELU with an exact gradient.

use burn::tensor::{Tensor, activation};

/// `0.5 x (1 + erf(x / sqrt(2)))`, the activation of both networks.
///
/// Burn's own operation differentiates the tanh approximation on every backend but flex, which is
/// off by up to 2e-4 of a gradient; composed of elementary operations the gradient is exact.
pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !x.is_autodiff() {
        return activation::gelu(x);
    }
    let cdf = x
        .clone()
        .mul_scalar(std::f64::consts::FRAC_1_SQRT_2)
        .erf()
        .add_scalar(1.0);
    x * cdf.mul_scalar(0.5)
}
