//! The official sampler against masks and statistics computed by the reference's own code.

use crate::golden::{Golden, STATISTICS};
use ijepa_masking::{
    MaskGroup, MaskMode, MaskSampler, MultiBlockConfig, MultiBlockSampler, PatchGrid, Range,
    ReferenceStreams,
};
use serde_json::Value;

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

fn range(value: &Value) -> Range {
    Range::new(value[0].as_f64().unwrap(), value[1].as_f64().unwrap())
}

fn sampler(case: &Value, image_size: &str, patch_size: &str) -> MultiBlockSampler {
    let side = number(&case[image_size]);
    let grid = PatchGrid::from_image([side, side], number(&case[patch_size])).unwrap();
    let config = MultiBlockConfig {
        mode: MaskMode::Official,
        num_targets: number(&case["npred"]),
        num_contexts: number(&case["nenc"]),
        target_scale: range(&case["pred_mask_scale"]),
        target_aspect: range(&case["aspect_ratio"]),
        context_scale: range(&case["enc_mask_scale"]),
        min_keep: number(&case["min_keep"]),
        allow_overlap: case["allow_overlap"].as_bool().unwrap_or(false),
        ..Default::default()
    };
    config.build(grid).unwrap()
}

fn draw(sampler: &MultiBlockSampler, images: usize, batches: u32, seed: u32) -> Vec<MaskGroup> {
    let streams = ReferenceStreams::new(seed);
    let batch = |number| sampler.sample(images, &mut streams.batch(number));
    (0..batches).map(batch).collect()
}

#[test]
fn masks_are_those_of_the_reference_bit_for_bit() {
    let golden = Golden::load("mask_exact");
    let cases = golden.json["cases"].as_object().unwrap();
    assert_eq!(cases.len(), 6);
    for (name, case) in cases {
        let sampler = sampler(case, "crop", "patch");
        let seed = number(&case["global_seed"]) as u32;
        let iterations = number(&case["iterations"]) as u32;
        let groups = draw(&sampler, number(&case["batch"]), iterations, seed);
        for (iteration, group) in groups.iter().enumerate() {
            let masks = [("enc", &group.contexts), ("pred", &group.targets)];
            for (kind, masks) in masks {
                for (number, mask) in masks.iter().enumerate() {
                    let key = format!("{name}.it{iteration}.{kind}{number}");
                    let (shape, expected) = golden.i64s(&key);
                    assert_eq!(shape, [mask.images(), mask.kept()], "{key}");
                    let found: Vec<i64> = mask.as_slice().iter().map(|&p| p.into()).collect();
                    assert_eq!(found, expected, "{key}");
                }
            }
        }
        let relaxations: usize = groups.iter().map(|group| group.relaxations).sum();
        assert_eq!(relaxations, number(&case["relaxations"]), "{name}");
    }
}

/// The statistics were drawn with the same generators, so even they must agree exactly.
#[test]
fn lengths_of_thousands_of_images_are_those_of_the_reference() {
    for name in STATISTICS {
        let golden = Golden::load(&format!("mask_stats_{name}"));
        let sampler = sampler(&golden.json["args"], "input_size", "patch_size");
        let (_, contexts) = golden.i64s("context_sizes_per_batch");
        let (_, targets) = golden.i64s("target_sizes_per_batch");
        let images = number(&golden.json["batch"]);
        let seed = number(&golden.json["global_torch_seed"]) as u32;
        let groups = draw(&sampler, images, contexts.len() as u32, seed);
        let kept = |group: &MaskGroup| group.contexts[0].kept() as i64;
        assert_eq!(
            groups.iter().map(kept).collect::<Vec<_>>(),
            contexts,
            "{name}"
        );
        let kept = |group: &MaskGroup| group.targets[0].kept() as i64;
        assert_eq!(
            groups.iter().map(kept).collect::<Vec<_>>(),
            targets,
            "{name}"
        );
    }
}
