//! bfloat16 matrix products against f32.

use burn::tensor::Tensor;
use ijepa_model::{Objective, Precision};
use ijepa_testkit::{assert_close, device, device_name, skip, values};

use crate::support::{golden, gradients, masks, tiny_model};

/// Eight bits of mantissa leave 0.4 % a product; a network of ten layers stays within 3 %.
const TOLERANCE: f64 = 3e-2;

#[test]
fn bf16_stays_close_to_f32_where_the_backend_has_it() {
    let device = device().autodiff();
    if !Precision::Bf16.is_supported(&device) {
        skip(format!("bf16, which {} does not have", device_name()));
        return;
    }
    let case = golden("tiny");
    let images: Tensor<4> = case.tensor("images", &device);
    let masks = masks(&case, &device);
    let run = |precision: Precision| {
        let (model, target) = tiny_model(&device, precision.into());
        let features = model.encoder.forward_features(images.clone());
        let objective = Objective::default();
        let loss = model
            .forward(images.clone(), &masks, &target, &objective, None)
            .loss;
        let gradient = gradients(&model.encoder, &loss.backward());
        let gradient = gradient["blocks.0.attn.qkv.weight"].read().unwrap();
        (values(features), values(loss), gradient)
    };
    let (features, loss, gradient) = run(Precision::F32);
    let (narrow_features, narrow_loss, narrow_gradient) = run(Precision::Bf16);
    assert_close("features", &narrow_features, &features, TOLERANCE);
    assert_close("loss", &narrow_loss, &loss, TOLERANCE);
    assert_close("gradient", &narrow_gradient, &gradient, TOLERANCE);
    assert_ne!(narrow_features, features, "bf16 must change the result");
}
