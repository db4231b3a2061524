//! Predictors of pixels: a masked autoencoder, and I-JEPA with pixels as targets.

use burn::tensor::{Device, Tensor};
use ijepa_model::{
    Compute, EmaTarget, IJepa, IJepaConfig, Initialization, Loss, MaskTensors, Objective,
    PredictorConfig, Target, VisionTransformerConfig,
};
use ijepa_testkit::{Golden, assert_close, device, tolerance, values};

use crate::support::{
    COMPUTE, TOLERANCE, check_gradients, golden, gradients, mask_group, with_weights,
};

pub(crate) fn config() -> IJepaConfig {
    IJepaConfig {
        encoder: VisionTransformerConfig::new([16, 16], 4, 16, 2, 2),
        predictor: PredictorConfig::new(12, 2).with_target(Target::Pixels),
    }
}

fn model(golden: &Golden, device: &Device, compute: Compute) -> IJepa {
    let model = config().init(Initialization::default(), device);
    with_weights(model, golden, "init.").with_compute(compute)
}

const CASES: [(&str, Loss); 2] = [("mae", Loss::Mse), ("jepa", Loss::SmoothL1)];

fn objective(loss: Loss) -> Objective {
    Objective {
        target: Target::Pixels,
        loss,
        ..Objective::default()
    }
}

#[test]
fn features_targets_predictions_loss_and_every_gradient_match() {
    let golden = golden("pixels");
    let device = device().autodiff();
    let images: Tensor<4> = golden.tensor("images", &device);
    for (case, loss) in CASES {
        let check = |name: &str, found: Vec<f32>| {
            let name = format!("{case}.{name}");
            assert_close(&name, &found, &golden.f32s(&name), tolerance(TOLERANCE));
        };
        let group = mask_group(&golden, &format!("{case}."));
        let masks = MaskTensors::new(&group, &device);
        let objective = objective(loss);
        for compute in COMPUTE {
            let model = model(&golden, &device, compute);
            let target = EmaTarget::new(&model.encoder);
            let context = model
                .encoder
                .forward_masked(images.clone(), &masks.contexts, None);
            check("context", values(context));
            check(
                "predicted",
                values(model.predict(images.clone(), &masks, None)),
            );
            let targets = objective.targets(&target, images.clone(), &masks);
            check("targets", values(targets));
            let loss = model
                .forward(images.clone(), &masks, &target, &objective, None)
                .loss;
            check("loss", values(loss.clone()));
            let found = gradients(&model, &loss.backward());
            check_gradients(&golden, &format!("{case}.grad."), &found);
        }
    }
}

#[test]
fn pixels_that_are_not_normed_are_those_of_the_image() {
    let golden = golden("pixels");
    let device = device();
    let group = mask_group(&golden, "mae.");
    let masks = MaskTensors::new(&group, &device);
    let target = EmaTarget::new(&model(&golden, &device, Compute::default()).encoder);
    let objective = Objective {
        norm_pixels: false,
        ..objective(Loss::Mse)
    };
    let images: Tensor<4> = golden.tensor("images", &device);
    let found = objective.targets(&target, images.clone(), &masks);
    let first = group.targets[0].row(1)[0] as usize;
    let (top, left) = (4 * (first / 4), 4 * (first % 4));
    let patch = images.slice([1..2, 0..3, top..top + 4, left..left + 4]);
    assert_eq!(values(found.slice([1..2, 0..1, 0..48])), values(patch));
}

#[test]
#[should_panic(expected = "predictor and objective differ in their target")]
fn features_are_not_asked_of_a_predictor_of_pixels() {
    let golden = golden("pixels");
    let device = device();
    let model = model(&golden, &device, Compute::default());
    let target = EmaTarget::new(&model.encoder);
    let masks = MaskTensors::new(&mask_group(&golden, "mae."), &device);
    let images: Tensor<4> = golden.tensor("images", &device);
    model.forward(images, &masks, &target, &Objective::default(), None);
}
