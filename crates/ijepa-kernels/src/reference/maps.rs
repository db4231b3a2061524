//! Convolutions and group norms.

use burn::tensor::{Tensor, activation::sigmoid, module::conv2d, ops::ConvOptions};

use crate::{Activation, GroupNormOptions};

/// See [`crate::conv3x3`].
pub fn conv3x3(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
    let (x, weight) = (x.permute([0, 3, 1, 2]), weight.permute([3, 2, 0, 1]));
    conv2d(x, weight, Some(bias), options).permute([0, 2, 3, 1])
}

/// See [`crate::group_norm`].
pub fn group_norm(
    x: Tensor<4>,
    scale: Tensor<2>,
    shift: Tensor<2>,
    options: GroupNormOptions,
) -> Tensor<4> {
    let [batch, rows, cols, channels] = x.dims();
    let groups = options.groups;
    let grouped = x.reshape([batch, rows * cols, groups, channels / groups]);
    let mean = |x: Tensor<4>| x.mean_dim(1).mean_dim(3);
    let centered = grouped.clone() - mean(grouped);
    let variance = mean(centered.clone().square());
    let standard = centered / variance.add_scalar(options.epsilon).sqrt();
    let of_image = |x: Tensor<2>| -> Tensor<4> { x.reshape([batch, 1, 1, channels]) };
    let standard = standard.reshape([batch, rows, cols, channels]);
    let output = standard * of_image(scale) + of_image(shift);
    match options.activation {
        Activation::Identity => output,
        Activation::Silu => output.clone() * sigmoid(output),
    }
}
