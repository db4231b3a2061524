//! Encoder, targets, predictor, losses and gradients.

use burn::tensor::Tensor;
use ijepa_masking::PatchIndices;
use ijepa_model::{
    Compute, IJepa, Loss, MaskTensors, Objective, TokenIndices, VisionTransformerConfig,
};
use ijepa_testkit::{Golden, assert_close, device, skip, tolerance, values};

use crate::support::{
    COMPUTE, TOLERANCE, check_gradients, golden, gradients, masks, tiny_model, with_weights,
};

struct Case {
    golden: Golden,
    images: Tensor<4>,
    masks: MaskTensors,
}

impl Case {
    fn load(name: &str, autodiff: bool) -> Self {
        let device = if autodiff {
            device().autodiff()
        } else {
            device()
        };
        let golden = golden(name);
        let masks = masks(&golden, &device);
        let images = crate::support::golden("tiny").tensor("images", &device);
        Self {
            golden,
            images,
            masks,
        }
    }

    fn check<const D: usize>(&self, name: &str, found: Tensor<D>) {
        assert_close(
            name,
            &values(found),
            &self.golden.f32s(name),
            tolerance(TOLERANCE),
        );
    }
}

/// Every case, computed in every way.
fn cases() -> impl Iterator<Item = (&'static str, Compute)> {
    ["tiny", "tiny_multi"]
        .into_iter()
        .flat_map(|name| COMPUTE.map(|compute| (name, compute)))
}

#[test]
fn the_encoder_sees_what_the_reference_sees_after_every_block() {
    let case = Case::load("tiny", false);
    for compute in COMPUTE {
        let (IJepa { encoder, .. }, _) = tiny_model(&device(), compute);
        let blocks = encoder.forward_intermediates(case.images.clone(), None, &[-3, -2, -1], false);
        for (number, block) in blocks.into_iter().enumerate() {
            case.check(&format!("enc_full.block{number}"), block);
        }
        let features = encoder.forward_features(case.images.clone());
        case.check("enc_full.out", features);
    }
}

#[test]
fn the_masked_encoder_and_the_predictor_match() {
    for (name, compute) in cases() {
        let case = Case::load(name, false);
        let (model, _) = tiny_model(&device(), compute);
        let context = model
            .encoder
            .forward_masked(case.images.clone(), &case.masks.contexts, None);
        case.check("enc_masked.out", context);
        case.check(
            "pred.out",
            model.predict(case.images.clone(), &case.masks, None),
        );
    }
}

#[test]
fn targets_match() {
    for (name, compute) in cases() {
        let case = Case::load(name, false);
        let (_, target) = tiny_model(&device(), compute);
        let objective = Objective::default();
        case.check(
            "target.gathered",
            objective.targets(&target, case.images.clone(), &case.masks),
        );
    }
}

#[test]
fn every_loss_matches() {
    let losses = [
        (Loss::SmoothL1, "loss.smooth_l1"),
        (Loss::L2, "loss.l2_paper"),
        (Loss::Mse, "loss.mse_mean"),
        (Loss::L1, "loss.l1_mean"),
    ];
    for (name, compute) in cases() {
        let case = Case::load(name, false);
        let (model, target) = tiny_model(&device(), compute);
        for (loss, key) in losses {
            let objective = Objective {
                loss,
                ..Default::default()
            };
            let found = model
                .forward(case.images.clone(), &case.masks, &target, &objective, None)
                .loss;
            case.check(key, found);
        }
    }
}

#[test]
fn every_gradient_matches_and_targets_have_none() {
    for (name, compute) in cases() {
        let case = Case::load(name, true);
        let (model, target) = tiny_model(&device().autodiff(), compute);
        let objective = Objective::default();
        let loss = model
            .forward(case.images.clone(), &case.masks, &target, &objective, None)
            .loss;
        let backward = loss.backward();
        let found = [
            ("grad.encoder.", gradients(&model.encoder, &backward)),
            ("grad.predictor.", gradients(&model.predictor, &backward)),
        ];
        for (prefix, found) in found {
            check_gradients(&case.golden, prefix, &found);
        }
        assert!(gradients(target.encoder(), &backward).is_empty());
    }
}

/// The weights take 23 MB, so this case is read from `IJEPA_GOLDEN_DIR` and cannot run without.
#[test]
fn vit_ti_16_matches_at_224_pixels() {
    let Some(folder) = std::env::var_os("IJEPA_GOLDEN_DIR") else {
        skip("vit_tiny16_224, as IJEPA_GOLDEN_DIR is not set");
        return;
    };
    let golden = Golden::load(folder, "vit_tiny16_224");
    let device = device();
    let encoder = VisionTransformerConfig::variant("vit_ti16")
        .unwrap()
        .init(&device);
    let encoder = with_weights(encoder, &golden, "encoder.");
    let images: Tensor<4> = golden.tensor("images", &device);
    let check = |name: &str, found: Tensor<3>| {
        assert_close(
            name,
            &values(found),
            &golden.f32s(name),
            tolerance(TOLERANCE),
        );
    };
    check("out", encoder.forward_features(images.clone()));
    let context = golden
        .i64s("masks_enc.0")
        .into_iter()
        .map(|patch| patch as u32)
        .collect();
    let context = PatchIndices::new(golden.shape("masks_enc.0")[1], context);
    let context = TokenIndices::new(&[context], 196, &device);
    check("out_masked", encoder.forward_masked(images, &context, None));
}
