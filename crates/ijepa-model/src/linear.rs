//! The affine map of every layer, in the chosen precision.

use burn::{nn::Linear, tensor::Tensor};

use crate::precision::Precision;

/// `x W + b` with the product in `precision`; the result stays in that type.
///
/// # Shapes
///
/// - `x`: `[batch, tokens, inputs]`
/// - output: `[batch, tokens, outputs]`
pub(crate) fn linear(layer: &Linear, x: Tensor<3>, precision: Precision) -> Tensor<3> {
    let product = precision
        .narrow(x)
        .matmul(precision.narrow(layer.weight.val()).unsqueeze());
    match &layer.bias {
        Some(bias) => add_bias(product, precision.narrow(bias.val())),
        None => product,
    }
}

/// Adds `bias`, `[dim]`, to every token of `x`, `[batch, tokens, dim]`.
pub(crate) fn add_bias(x: Tensor<3>, bias: Tensor<1>) -> Tensor<3> {
    x + bias.unsqueeze()
}
