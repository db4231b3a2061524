//! Convolutions and group norms.

mod conv;
mod group_norm;

use burn::backend::{Flex, flex::FlexTensor};

use super::all_f32;
use crate::{
    maps::{GroupNormGradients, GroupNormOptions, MapPrimitives},
    plain::or_plain,
    primitives::LinearTensors,
};

impl MapPrimitives for Flex {
    fn conv3x3(x: FlexTensor, filter: LinearTensors<Self>) -> FlexTensor {
        let fits = all_f32([&x, &filter.weight, &filter.bias]);
        or_plain!(fits, conv3x3(x, filter));
        conv::conv3x3(&x, &filter)
    }

    fn conv3x3_weight_backward(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        or_plain!(all_f32([&x, &grad]), conv3x3_weight_backward(x, grad));
        conv::conv3x3_weight_backward(&x, &grad)
    }

    fn group_norm(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        options: GroupNormOptions,
    ) -> FlexTensor {
        let fits = all_f32([&x, &scale, &shift]);
        or_plain!(fits, group_norm(x, scale, shift, options));
        group_norm::group_norm(&x, &scale, &shift, options)
    }

    fn group_norm_backward(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        options: GroupNormOptions,
        grad: FlexTensor,
    ) -> GroupNormGradients<Self> {
        let fits = all_f32([&x, &scale, &shift, &grad]);
        or_plain!(fits, group_norm_backward(x, scale, shift, options, grad));
        group_norm::group_norm_backward(&x, &scale, &shift, options, grad)
    }
}
