//! Steps in several passes.

use ijepa_masking::MaskRng;
use ijepa_model::{MaskTensors, Normalization};
use ijepa_testkit::{device, max_abs_difference};
use ijepa_train::{GroupBatch, Learner, PretrainPlan, StepSettings};

use crate::support::{recipe, source};

/// Four groups of three in one, two and four passes, and as one big graph.
#[test]
fn accumulation_equals_the_one_large_batch() {
    let recipe = recipe(&["mask.group_size=3", "mask.length_multiple=1"]);
    let plan = PretrainPlan::new(recipe.clone(), 48).unwrap();
    let device = device().autodiff();
    let sampler = recipe.mask_sampler().unwrap();
    let source = source();
    let group = |group: u64| {
        let pixels: Vec<u8> = (0..3)
            .flat_map(|i| {
                let image = source.read(group as usize * 3 + i).unwrap();
                ijepa_data::resize(&image, 24, 24, ijepa_data::Filter::Bilinear, None)
                    .unwrap()
                    .into_pixels()
            })
            .collect();
        let masks = sampler.sample(3, &mut MaskRng::for_group(0, 0, group));
        GroupBatch {
            images: Normalization::IMAGENET.images(&pixels, [3, 24, 24], &device),
            masks: MaskTensors::new(&masks, &device),
            seed: None,
        }
    };
    let learner = || {
        Learner::new(
            plan.model(),
            recipe.initialization(),
            recipe.compute(),
            recipe.objective_config(),
            Default::default(),
            &ijepa_testkit::device(),
        )
    };
    let stepped = |groups_per_pass| {
        let settings = StepSettings {
            lr: 1e-3,
            weight_decay: 0.1,
            ema: 0.9,
            clip_grad: 0.0,
            groups_per_pass,
        };
        let mut learner = learner();
        let output = learner.step((0..4).map(group), settings);
        let encoder = learner.parts().encoder;
        let weights: Vec<f32> = encoder.iter().flat_map(|t| t.read().unwrap()).collect();
        (weights, output.loss.into_scalar::<f32>())
    };
    let (large, loss) = stepped(4);
    for groups_per_pass in [1, 2] {
        let (weights, split_loss) = stepped(groups_per_pass);
        assert!(
            max_abs_difference(&weights, &large) <= 2e-6,
            "{groups_per_pass}"
        );
        assert!((loss - split_loss).abs() <= 1e-6);
    }
    // The loss is the mean over groups, each of which counts the same.
    let learner = learner();
    let mean: f32 = (0..4)
        .map(|number| {
            let GroupBatch { images, masks, .. } = group(number);
            let (model, target) = (&learner.model, &learner.target);
            let output = model.forward(images, &masks, target, &learner.objective, None);
            output.loss.into_scalar::<f32>() / 4.0
        })
        .sum();
    assert!((loss - mean).abs() <= 1e-6, "{loss} {mean}");
}
