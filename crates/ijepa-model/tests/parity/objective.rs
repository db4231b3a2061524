//! Variants of the objective that the golden cases do not cover.

use burn::tensor::Tensor;
use ijepa_model::{Compute, Objective, TargetMasking};
use ijepa_testkit::{assert_close, device, tolerance, values};

use crate::support::{TOLERANCE, golden, masks, tiny_model};

/// Each target block alone through the target encoder, one call a block.
#[test]
fn input_masking_shows_the_target_encoder_one_block_at_a_time() {
    let device = device();
    for name in ["tiny", "tiny_multi"] {
        let case = golden(name);
        let group = crate::support::mask_group(&case, "");
        let masks = masks(&case, &device);
        let images: Tensor<4> = golden("tiny").tensor("images", &device);
        let (_, target) = tiny_model(&device, Compute::default());
        let objective = Objective {
            target_masking: TargetMasking::Input,
            target_norm: false,
            ..Default::default()
        };
        let found = objective.targets(&target, images.clone(), &masks);

        let one_by_one = group.targets.iter().flat_map(|block| {
            let block = ijepa_model::TokenIndices::new(std::slice::from_ref(block), 16, &device);
            let features = target
                .encoder()
                .forward_masked(images.clone(), &block, None);
            vec![features; group.contexts.len()]
        });
        let expected = Tensor::cat(one_by_one.collect(), 0);
        assert_close(
            name,
            &values(found.clone()),
            &values(expected),
            tolerance(TOLERANCE),
        );

        let output = Objective {
            target_norm: false,
            ..Default::default()
        };
        let output = output.targets(&target, images, &masks);
        assert!(ijepa_testkit::relative_difference(&values(found), &values(output)) > 1e-2);
    }
}

#[test]
fn without_target_norm_targets_are_the_encoder_features() {
    let device = device();
    let case = golden("tiny");
    let (_, target) = tiny_model(&device, Compute::default());
    let objective = Objective {
        target_norm: false,
        ..Default::default()
    };
    let found = objective.targets(
        &target,
        case.tensor("images", &device),
        &masks(&case, &device),
    );
    let raw = case.f32s("target.raw");
    let mask: Vec<i64> = (0..4)
        .flat_map(|m| case.i64s(&format!("masks_pred.{m}")))
        .collect();
    let (batch, kept, dim) = (4, 4, 48);
    let expected: Vec<f32> = mask
        .iter()
        .enumerate()
        .flat_map(|(i, &patch)| {
            let image = i / kept % batch;
            let start = (image * 16 + patch as usize) * dim;
            raw[start..start + dim].to_vec()
        })
        .collect();
    assert_close("targets", &values(found), &expected, tolerance(TOLERANCE));
}
