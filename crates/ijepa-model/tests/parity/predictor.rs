//! Variants of the predictor: a context that all target blocks share, places that are uncertain, and
//! targets less their running mean.

use burn::{
    module::Param,
    tensor::{Device, Tensor},
};
use ijepa_masking::{MaskRng, MaskSampler, MultiBlockConfig, PatchGrid};
use ijepa_model::{
    Compute, EmaTarget, GroupSeed, IJepa, IJepaConfig, Initialization, MaskTensors, Objective,
    Predictor, PredictorConfig, PredictorContext, Target,
};
use ijepa_testkit::{assert_close, device, tolerance, values};

use crate::{
    pixels::config,
    support::{COMPUTE, TOLERANCE, check_gradients, golden, gradients, mask_group, with_weights},
};

const CASES: [&str; 3] = ["shared", "noise", "centered"];

/// The networks of the case, with the weights of the pixel cases.
fn model(case: &str, device: &Device, compute: Compute) -> IJepa {
    let context = match case {
        "shared" => PredictorContext::Shared,
        _ => PredictorContext::Separate,
    };
    let predictor = PredictorConfig {
        context,
        ..config().predictor
    };
    let config = IJepaConfig {
        predictor,
        ..config()
    };
    let model = config.init(Initialization::default(), device);
    let mut model = with_weights(model, &golden("pixels"), "init.").with_compute(compute);
    if case == "centered" {
        let mean: Tensor<3> = golden("predictor").tensor("mean", device);
        model.predictor.target_mean = Some(Param::from_tensor(mean).set_require_grad(false));
    }
    model
}

#[test]
fn predictions_loss_and_gradients_of_the_predictor_match() {
    let (golden, networks) = (golden("predictor"), golden("pixels"));
    let device = device().autodiff();
    let images: Tensor<4> = networks.tensor("images", &device);
    let objective = Objective {
        target: Target::Pixels,
        ..Objective::default()
    };
    for case in CASES {
        let check = |name: &str, found: Vec<f32>| {
            let name = format!("{case}.{name}");
            assert_close(&name, &found, &golden.f32s(&name), tolerance(TOLERANCE));
        };
        let mut masks = MaskTensors::new(&mask_group(&networks, "jepa."), &device);
        masks.noise = (case == "noise").then(|| golden.tensor("noise", &device));
        for compute in COMPUTE {
            let model = model(case, &device, compute);
            let predicted = model.predict(images.clone(), &masks, None);
            // A mean is added to what is predicted instead of taken off the targets.
            let predicted = match model.predictor.target_mean() {
                Some(mean) => predicted - masks.pairs.gather_shared(mean.val()),
                None => predicted,
            };
            check("predicted", values(predicted));
            let target = EmaTarget::new(&model.encoder);
            let targets = objective.targets(&target, images.clone(), &masks);
            let predicted = model.predict(images.clone(), &masks, None);
            let loss = objective.loss.forward(predicted, targets.autodiff());
            check("loss", values(loss.clone()));
            let mut found = gradients(&model, &loss.backward());
            // The file has those of what the variants change, and those right below it.
            let below = |name: &str| name.starts_with("encoder.norm");
            found.retain(|name, _| name.starts_with("predictor.") || below(name));
            check_gradients(&golden, &format!("{case}.grad."), &found);
        }
    }
}

/// Before anything was seen, keys and values of the context are the same for all target blocks.
#[test]
fn one_block_deep_a_shared_context_changes_nothing() {
    let device = device();
    let networks = golden("pixels");
    let masks = MaskTensors::new(&mask_group(&networks, "jepa."), &device);
    let images: Tensor<4> = networks.tensor("images", &device);
    let predicted = |context| {
        let predictor = PredictorConfig {
            context,
            depth: 1,
            ..config().predictor
        };
        let config = IJepaConfig {
            predictor,
            ..config()
        };
        let model = config.init(Initialization::default(), &device);
        values(model.predict(images.clone(), &masks, None))
    };
    let [separate, shared] = [PredictorContext::Separate, PredictorContext::Shared].map(predicted);
    assert_close("predicted", &shared, &separate, tolerance(TOLERANCE));
}

#[test]
fn noise_has_the_variance_asked_for_and_is_a_function_of_the_group() {
    let device = device();
    let sampler = MultiBlockConfig {
        min_keep: 2,
        ..Default::default()
    };
    let grid = PatchGrid::new(6, 6).unwrap();
    let sampler = sampler.build(grid).unwrap();
    let group = sampler.sample(16, &mut MaskRng::for_group(0, 0, 0));
    let noise = |step| {
        let seed = GroupSeed {
            seed: 3,
            step,
            group: 1,
        };
        let masks = MaskTensors::new(&group, &device);
        let masks = masks.with_position_noise(0.25, 32, seed, &device);
        let noise = masks.noise.unwrap();
        let kept = group.targets[0].kept();
        assert_eq!(noise.dims(), [group.targets.len() * 16, kept, 32]);
        values(noise)
    };
    let drawn = noise(5);
    assert_eq!(drawn, noise(5));
    assert_ne!(drawn, noise(6));
    let squares: f32 = drawn.iter().map(|value| value * value).sum();
    let variance = squares / drawn.len() as f32;
    // At least 8,192 values: a standard deviation of 0.004.
    assert!(
        drawn.len() >= 8192 && (variance - 0.25).abs() < 0.03,
        "{variance}"
    );
}
