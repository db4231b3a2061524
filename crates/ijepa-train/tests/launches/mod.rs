//! How many kernels a step launches on wgpu.

use std::collections::BTreeMap;

use ijepa_masking::{MaskGroup, PatchGrid, PatchIndices};
use ijepa_model::{
    Compute, IJepaConfig, Initialization, MaskTensors, Objective, PredictorConfig,
    VisionTransformerConfig,
};
use ijepa_testkit::{device, device_name, is_software, launches, noise_tensor, skip};
use ijepa_train::{AdamWConfig, GroupBatch, Learner, StepSettings};

/// As deep as ViT-S/16 and its published predictor, of which it has all tensors, and narrow: how
/// many kernels are launched does not depend on sizes.
fn learner() -> Learner {
    let encoder = VisionTransformerConfig {
        image_size: [32, 32],
        patch_size: 8,
        embed_dim: 48,
        num_heads: 6,
        ..VisionTransformerConfig::variant("vit_s16").unwrap()
    };
    let predictor = PredictorConfig::new(24, 6);
    let config = IJepaConfig { encoder, predictor };
    let (init, compute) = (Initialization::default(), Compute::default());
    let (objective, adamw) = (Objective::default(), AdamWConfig::default());
    Learner::new(&config, init, compute, objective, adamw, &device())
}

/// Two images with a context and four targets.
fn group() -> GroupBatch {
    let device = device().autodiff();
    let mask = |patches: [u32; 4]| PatchIndices::new(4, [patches, patches].concat());
    let masks = MaskGroup {
        grid: PatchGrid::new(4, 4).unwrap(),
        contexts: vec![mask([0, 5, 10, 15])],
        targets: [[1, 2, 3, 4], [2, 3, 6, 7], [8, 9, 12, 13], [7, 11, 13, 14]]
            .map(mask)
            .into(),
        relaxations: 0,
    };
    GroupBatch {
        images: noise_tensor(1, [2, 3, 32, 32], &device),
        masks: MaskTensors::new(&masks, &device),
        seed: None,
    }
}

/// The launches of a step on as many groups.
fn launches_of_a_step(
    learner: &mut Learner,
    groups: usize,
    clip_grad: f64,
) -> BTreeMap<String, usize> {
    let settings = StepSettings {
        lr: 1e-3,
        weight_decay: 0.05,
        ema: 0.996,
        clip_grad,
        groups_per_pass: 1,
    };
    let groups: Vec<GroupBatch> = (0..groups).map(|_| group()).collect();
    launches(|| {
        learner.step(groups, settings);
    })
}

/// A new kernel in every block, or one for each parameter, costs time on every GPU: whoever adds
/// one says so here. The numbers are those of a software device; one that binds fewer buffers to a
/// launch has more.
#[test]
fn a_step_launches_no_more_kernels_than_before() {
    if device_name() != "wgpu" {
        return;
    }
    let mut learner = learner();
    // The first step makes moments, and parts the target encoder from the context encoder.
    launches_of_a_step(&mut learner, 1, 0.0);
    for (groups, clip_grad, most) in [(1, 0.0, 942), (2, 1.0, 1872)] {
        let found = launches_of_a_step(&mut learner, groups, clip_grad);
        let total: usize = found.values().sum();
        println!("{groups} groups, gradients clipped to {clip_grad}: {total} launches");
        for (kernel, launches) in &found {
            println!("{launches:6} {kernel}");
        }
        assert!(total > 0);
        match is_software() {
            true => assert!(total <= most, "{total} launches: {found:#?}"),
            false => skip(format!("the limit of {most} launches, on a graphics card")),
        }
    }
}
