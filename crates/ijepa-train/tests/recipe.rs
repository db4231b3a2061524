//! The recipe format, its presets and its error messages.

use std::collections::BTreeSet;

use ijepa_train::recipe::{ImageSize, Precision, Recipe, diff, preset_names, preset_text};
use serde_json::Value;

const PUBLISHED: [&str; 4] = [
    "in1k_vith14_ep300",
    "in1k_vith16_448_ep300",
    "in22k_vitg16_ep44",
    "in22k_vith14_ep66",
];

fn default_with(overrides: &[&str]) -> Recipe {
    Recipe::default()
        .with_overrides(overrides)
        .expect("the overrides are well formed")
}

fn custom_model() -> Recipe {
    default_with(&[
        "model.embed_dim=96",
        "model.depth=4",
        "model.num_heads=3",
        "model.patch_size=4",
        "model.image_size=32",
    ])
}

fn validation_message(overrides: &[&str]) -> String {
    let recipe = default_with(overrides);
    let error = recipe.validate().expect_err("a rule is broken");
    error.to_string()
}

/// A valid value of the same kind that differs from `value`.
fn other_value(key: &str, value: &str) -> String {
    let choice = match key {
        "model.arch" => "vit_b16",
        "model.init" | "model.patch_embed_init" => "fan_in",
        "objective.kind" => "mae",
        "objective.target" => "pixels",
        "objective.target_masking" => "input",
        "objective.loss" => "mse",
        "mask.strategy" => "random",
        "mask.mode" => "uniform",
        "data.decode" => "fast",
        "data.orientation" => "exif",
        "data.sixteen_bit" => "scale",
        "data.mean" | "data.std" => "[0.11, 0.12, 0.13]",
        "data.bands" | "data.picture" => "[\"1\"]",
        "optimizer.weight_decay_schedule" => "linear",
        "predictor.context" => "shared",
        "run.precision" => "f32",
        "run.kernels" => "reference",
        "run.reduce" => "fast",
        "run.on_collapse" => "stop",
        "run.on_nan" => "skip",
        _ => "",
    };
    if !choice.is_empty() {
        return choice.to_owned();
    }
    match value {
        "true" => "false".to_owned(),
        "false" => "true".to_owned(),
        pair if pair.starts_with('[') => "[0.11, 0.12]".to_owned(),
        number if number.contains(['.', 'e']) => {
            let number: f64 = number.parse().expect("a number");
            format!("{}", number + 0.25)
        }
        integer => {
            let integer: u64 = integer.parse().expect("a whole number");
            format!("{}", integer + 1)
        }
    }
}

#[test]
fn every_key_can_be_overridden_and_written() {
    let mut keys = BTreeSet::new();
    for base in [Recipe::default(), custom_model()] {
        for (key, value) in base.flatten() {
            let other = other_value(&key, &value);
            let changed = base.with_overrides(&[format!("{key}={other}")]).unwrap();
            let mut changes = diff(&base, &changed);
            if key == "objective.kind" {
                // What a masked autoencoder is comes along.
                let along = ["mask.strategy", "objective.loss", "objective.target"];
                changes.retain(|(key, ..)| !along.contains(&key.as_str()));
            }
            assert_eq!(changes.len(), 1, "{key}={other}: {changes:?}");
            assert_eq!(changes[0].0, key);
            assert_eq!(changes[0].1, value);
            let written = changed.to_toml();
            assert_eq!(Recipe::from_toml(&written, "written").unwrap(), changed);
            keys.insert(key);
        }
    }
    // The keys of the documented format.
    assert_eq!(keys.len(), 83, "{keys:?}");
}

#[test]
fn a_written_recipe_has_every_key_of_the_recipe() {
    for recipe in [Recipe::default(), custom_model()] {
        let written: toml::Table = recipe.to_toml().parse().unwrap();
        let count: usize = written
            .values()
            .map(|section| section.as_table().unwrap().len())
            .sum();
        assert_eq!(count, recipe.flatten().len());
    }
    let first_lines = "[model]\narch = \"vit_h14\"\nimage_size = 224\n";
    assert!(Recipe::default().to_toml().starts_with(first_lines));
}

#[test]
fn an_empty_file_is_the_published_vit_h14_run() {
    let empty = Recipe::from_toml("", "empty.toml").unwrap();
    assert_eq!(empty, Recipe::default());
    assert_eq!(empty, Recipe::preset("in1k_vith14_ep300").unwrap());
    assert_eq!(empty.mask_group_size(), 128);
    assert_eq!(default_with(&["run.batch_size=8"]).mask_group_size(), 8);
}

#[test]
fn presets_are_valid_complete_and_documented() {
    assert_eq!(preset_names().len(), 18);
    for name in preset_names() {
        let text = preset_text(name).unwrap();
        let recipe = Recipe::preset(name).unwrap();
        recipe.clone().checked().unwrap();

        let file: toml::Table = text.parse().unwrap();
        let stated = file.iter().flat_map(|(section, content)| {
            let keys = content.as_table().unwrap().keys();
            keys.map(move |key| format!("{section}.{key}"))
        });
        let known: BTreeSet<String> = recipe.flatten().into_keys().collect();
        assert_eq!(stated.collect::<BTreeSet<_>>(), known, "{name}");

        let command = format!("# Run:    ijepa pretrain --recipe {name} --data ");
        for part in ["# Source: ", "# Cost:   ", "# Expect: ", &command] {
            assert!(text.contains(part), "{name} lacks {part}");
        }
    }
    let names: BTreeSet<&str> = preset_names().collect();
    assert_eq!(names.len(), preset_names().len());
}

#[test]
fn published_presets_equal_the_published_configurations() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/golden/published_configs.json"
    );
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for name in PUBLISHED {
        let value = |key: &str| {
            let own = golden[name].get(key);
            own.or(golden["common"].get(key))
                .unwrap_or_else(|| panic!("{key}"))
        };
        let count = |key: &str| usize::try_from(value(key).as_u64().unwrap()).unwrap();
        let number = |key: &str| value(key).as_f64().unwrap();
        let flag = |key: &str| value(key).as_bool().unwrap();
        let pair = |key: &str| [0, 1].map(|end: usize| value(key)[end].as_f64().unwrap());

        let mut expected = Recipe::default();
        let patch_size = count("mask.patch_size");
        expected.model.arch = Some(match value("meta.model_name").as_str().unwrap() {
            "vit_huge" => format!("vit_h{patch_size}"),
            "vit_giant" => format!("vit_g{patch_size}"),
            other => panic!("{other}"),
        });
        expected.model.image_size = ImageSize::square(count("data.crop_size"));
        expected.model.predictor_dim = count("meta.pred_emb_dim");
        expected.model.predictor_depth = count("meta.pred_depth");
        expected.mask.group_size = count("data.batch_size");
        expected.mask.num_targets = count("mask.num_pred_masks");
        expected.mask.target_scale = pair("mask.pred_mask_scale");
        expected.mask.target_aspect = pair("mask.aspect_ratio");
        expected.mask.num_contexts = count("mask.num_enc_masks");
        expected.mask.context_scale = pair("mask.enc_mask_scale");
        expected.mask.min_keep = count("mask.min_keep");
        expected.mask.allow_overlap = flag("mask.allow_overlap");
        expected.data.crop_scale = pair("data.crop_scale");
        expected.data.flip = flag("data.use_horizontal_flip");
        expected.data.color_jitter = number("data.color_jitter_strength");
        expected.optimizer.lr = number("optimization.lr");
        expected.optimizer.start_lr = number("optimization.start_lr");
        expected.optimizer.final_lr = number("optimization.final_lr");
        expected.optimizer.warmup_epochs = number("optimization.warmup");
        expected.optimizer.epochs = count("optimization.epochs");
        expected.optimizer.ipe_scale = number("optimization.ipe_scale");
        expected.optimizer.weight_decay = number("optimization.weight_decay");
        expected.optimizer.final_weight_decay = number("optimization.final_weight_decay");
        [expected.ema.start, expected.ema.end] = pair("optimization.ema");
        expected.run.batch_size = count("global_batch");
        expected.run.precision = match flag("meta.use_bfloat16") {
            true => Precision::Bf16,
            false => Precision::F32,
        };
        assert_eq!(
            diff(&Recipe::preset(name).unwrap(), &expected),
            [],
            "{name}"
        );
    }
}

#[test]
fn the_paper_preset_differs_where_the_text_does() {
    let code = Recipe::preset("in1k_vith14_ep300").unwrap();
    let paper = Recipe::preset("in1k_vith14_ep300_paper").unwrap();
    let keys: Vec<String> = diff(&code, &paper).into_iter().map(|row| row.0).collect();
    assert_eq!(
        keys,
        [
            "objective.loss",
            "objective.target_norm",
            "optimizer.start_lr",
            "optimizer.warmup_epochs",
            "optimizer.weight_decay_schedule",
        ]
    );
}

#[test]
fn broken_rules_name_key_found_and_expected() {
    let uniform = "mask.mode=uniform";
    for (overrides, expected) in [
        (
            &["optimizer.lr=-1"][..],
            "`optimizer.lr` is -1, expected 0 or more",
        ),
        (
            &["optimizer.lr=nan"],
            "`optimizer.lr` is NaN, expected 0 or more",
        ),
        (
            &["optimizer.lr=inf"],
            "`optimizer.lr` is inf, expected 0 or more",
        ),
        (
            &["optimizer.epochs=0"],
            "`optimizer.epochs` is 0, expected 1 or more",
        ),
        (
            &["optimizer.eps=0"],
            "`optimizer.eps` is 0, expected more than 0",
        ),
        (
            &["optimizer.ipe_scale=0.5"],
            "`optimizer.ipe_scale` is 0.5, expected 1 or more",
        ),
        (
            &["optimizer.betas=[0.9, 1]"],
            "`optimizer.betas` is 1, expected 0 or more and less than 1",
        ),
        (
            &["model.drop_path=1"],
            "`model.drop_path` is 1, expected 0 or more and less than 1",
        ),
        (&["ema.end=1.5"], "`ema.end` is 1.5, expected 0 to 1"),
        (
            &["data.std=[0.2, 0.0, 0.2]"],
            "`data.std` is 0, expected 0.001 to 1",
        ),
        (
            &["data.max_bad_fraction=2"],
            "`data.max_bad_fraction` is 2, expected 0 to 1",
        ),
        (
            &["run.keep_last=0"],
            "`run.keep_last` is 0, expected 1 or more",
        ),
        (
            &["mask.num_targets=0"],
            "`mask.num_targets` is 0, expected 1 or more",
        ),
        (
            &["mask.target_scale=[0.3, 0.2]"],
            "`mask.target_scale` is [0.3, 0.2], expected 0 < min <= max <= 1",
        ),
        (
            &["data.crop_scale=[0, 1]"],
            "`data.crop_scale` is [0, 1], expected 0 < min <= max <= 1",
        ),
        (
            &["mask.target_aspect=[0, 1.5]"],
            "`mask.target_aspect` is [0, 1.5], expected 0 < min <= max",
        ),
        (
            &["mask.min_keep=256"],
            "`mask.min_keep` is 256, expected less than the 256 patches of an image",
        ),
        (
            &["mask.length_multiple=8"],
            "`mask.length_multiple` is 8, expected 1 unless `mask.mode` is \"uniform\"; set it, too",
        ),
        (
            &["model.arch=vit_h15"],
            "`model.arch` is \"vit_h15\", the nearest is \"vit_h14\"; expected one of vit_ti16, \
             vit_s16, vit_b16, vit_l16, vit_h14, vit_h16, vit_g16",
        ),
        (
            &["model.depth=6"],
            "`model.embed_dim` is missing, expected `model.arch` or all of embed_dim, depth, \
             num_heads, mlp_ratio, patch_size",
        ),
        (
            &["model.arch=vit_b16", "model.depth=6"],
            "`model.arch` is \"vit_b16\" and `model.depth` is given too, expected only one of the two",
        ),
        (
            &["model.image_size=[224, 225]"],
            "`model.image_size` has a side of 225, expected a multiple of patch size 14",
        ),
        (
            &["model.image_size=0"],
            "`model.image_size` is 0, expected 1 or more",
        ),
        (
            &["model.predictor_dim=386"],
            "`model.predictor_dim` is 386, expected a multiple of 4 for sine and cosine of two axes",
        ),
        (
            &["run.batch_size=200", uniform],
            "`run.batch_size` is 200, expected a multiple of `mask.group_size` 128",
        ),
        (
            &["run.micro_batch=64"],
            "`run.micro_batch` is 64, expected 0 or a multiple of the mask group of 128 up to \
             `run.batch_size` 2048",
        ),
        (
            &["run.batch_size=64", "run.micro_batch=128"],
            "`run.micro_batch` is 128, expected 0 or a multiple of the mask group of 64 up to \
             `run.batch_size` 64",
        ),
    ] {
        assert_eq!(validation_message(overrides), expected, "{overrides:?}");
    }
    let named = default_with(&["optimizer.lr=-1"]).validate().unwrap_err();
    assert_eq!(
        named.in_file("my.toml").to_string(),
        "my.toml: `optimizer.lr` is -1, expected 0 or more"
    );
}

/// Whoever sets them would believe that they change something.
#[test]
fn keys_that_lejepa_does_not_read_are_refused() {
    for (change, found, expected) in [
        ("objective.center_targets=true", "true", "false"),
        ("objective.variance=1", "1", "0"),
        ("model.drop_path=0.1", "0.1", "0"),
        ("data.decode=fast", "fast", "exact"),
    ] {
        let lejepa = default_with(&["objective.kind=lejepa", change]);
        let key = change.split('=').next().unwrap();
        let beside = "where `objective.kind` is \"lejepa\"";
        assert_eq!(
            lejepa.validate().unwrap_err().to_string(),
            format!("`{key}` is \"{found}\", expected \"{expected}\" {beside}")
        );
    }
}

#[test]
fn a_least_context_is_the_business_of_blocks_alone() {
    let tiny = ["mask.min_keep=300", "mask.strategy=random"];
    default_with(&tiny).validate().unwrap();
}

#[test]
fn given_sizes_are_checked_too() {
    custom_model().validate().unwrap();
    let of_heads = "a multiple of `model.num_heads` 3";
    for (change, rule) in [
        ("model.embed_dim=100", of_heads),
        (
            "model.embed_dim=99",
            "a multiple of 4 for sine and cosine of two axes",
        ),
        ("model.predictor_dim=100", of_heads),
        ("model.num_heads=0", "1 or more"),
        ("model.patch_size=0", "1 or more"),
        ("model.mlp_ratio=0", "more than 0"),
    ] {
        let recipe = custom_model().with_overrides(&[change]).unwrap();
        let (key, found) = change.split_once('=').unwrap();
        let expected = format!("`{key}` is {found}, expected {rule}");
        assert_eq!(recipe.validate().unwrap_err().to_string(), expected);
    }
}
