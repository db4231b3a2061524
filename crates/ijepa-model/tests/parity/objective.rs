//! Variants of the objective that the golden cases do not cover.

use burn::tensor::Tensor;
use ijepa_model::{
    Compute, Objective, TargetMasking,
    regularize::{Sketch, sigreg, variance_and_covariance},
};
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

/// A term of `features`, which is given as a function, and its gradient.
fn differentiated(
    features: &Tensor<3>,
    term: impl Fn(Tensor<3>) -> Tensor<1>,
) -> (Vec<f32>, Vec<f32>) {
    let features = features.clone().autodiff().require_grad();
    let term = term(features.clone());
    let gradient = features.grad(&term.backward()).unwrap();
    (values(term.inner()), values(gradient))
}

#[test]
fn variance_covariance_and_sigreg_are_those_of_their_papers() {
    let device = device();
    let text = std::fs::read_to_string(crate::support::golden_folder().join("terms.json"));
    let case: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
    let floats = |value: &serde_json::Value| -> Vec<f32> {
        let values = value.as_array().unwrap().iter();
        values.map(|value| value.as_f64().unwrap() as f32).collect()
    };
    let shape: Vec<f32> = floats(&case["shape"]);
    let [rows, tokens, width] = [0, 1, 2].map(|axis| shape[axis] as usize);
    let tensor = |name: &str| Tensor::<1>::from_floats(floats(&case[name]).as_slice(), &device);
    let features = tensor("features").reshape([rows, tokens, width]);
    let directions = tensor("directions").reshape([width as i32, -1]);
    let terms: [(&str, &dyn Fn(Tensor<3>) -> Tensor<1>); 3] = [
        ("variance", &|x| variance_and_covariance(x)[0].clone()),
        ("covariance", &|x| variance_and_covariance(x)[1].clone()),
        ("sigreg", &|x| sigreg(x, directions.clone().autodiff())),
    ];
    for (name, term) in terms {
        let (value, gradient) = differentiated(&features, term);
        let expected = [case[name]["value"].as_f64().unwrap() as f32];
        assert_close(name, &value, &expected, tolerance(TOLERANCE));
        let expected = floats(&case[name]["gradient"]);
        assert_close(name, &gradient, &expected, tolerance(TOLERANCE));
    }
}

/// The mean of the last blocks, each normed, computed by hand from all blocks.
#[test]
fn several_target_blocks_are_averaged() {
    let device = device();
    let case = golden("tiny");
    let (_, target) = tiny_model(&device, Compute::default());
    let (images, masks): (Tensor<4>, _) = (case.tensor("images", &device), masks(&case, &device));
    let normed = |x: Tensor<3>| {
        let centered = x.clone() - x.mean_dim(2);
        let variance = centered.clone().square().mean_dim(2);
        centered / variance.add_scalar(1e-5).sqrt()
    };
    let blocks = target
        .encoder()
        .forward_intermediates(images.clone(), None, &[1, 2], false);
    let mean = (normed(blocks[0].clone()) + normed(blocks[1].clone())).mul_scalar(0.5);
    for target_norm in [false, true] {
        let objective = Objective {
            target_blocks: 2,
            target_norm,
            ..Default::default()
        };
        let found = objective.targets(&target, images.clone(), &masks);
        let expected = masks.pairs.gather(mean.clone());
        let expected = if target_norm {
            normed(expected)
        } else {
            expected
        };
        assert_close(
            "blocks",
            &values(found),
            &values(expected),
            tolerance(TOLERANCE),
        );
    }
}

/// Also that the directions of a sketch have length 1, which SIGReg asks for.
#[test]
fn terms_are_weighted_added_and_scaled() {
    let device = device();
    let context: Tensor<3> = golden("tiny").tensor("target.raw", &device);
    let sketch = Sketch::for_group(7, 1, 0);
    let directions = sketch.directions(context.dims()[2], &device);
    let lengths = values(directions.clone().square().sum_dim(0));
    let ones = vec![1.0; lengths.len()];
    assert_close("lengths", &lengths, &ones, tolerance(TOLERANCE));

    let [variance, covariance] = variance_and_covariance(context.clone());
    let along = sigreg(context.clone(), directions);
    let expected = variance * 0.3 + covariance * 0.2 + along * 0.1;
    let objective = Objective {
        variance: 0.3,
        covariance: 0.2,
        sigreg: 0.1,
        ..Default::default()
    };
    let of = |objective: Objective| objective.terms(&context, Some(&sketch));
    let found = values(of(objective).unwrap());
    let expected = values(expected);
    assert_close("sum", &found, &expected, tolerance(TOLERANCE));
    let half = values(of(objective.with_terms_scaled(0.5)).unwrap() * 2.0);
    assert_close("half", &half, &expected, tolerance(TOLERANCE));
    assert!(of(Objective::default()).is_none());
}
