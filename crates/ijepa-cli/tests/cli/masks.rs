//! `masks` and `bench masks`.

use std::collections::BTreeSet;

use ijepa_masking::{MaskReport, MaskRng};
use ijepa_train::Recipe;
use serde_json::Value;

use crate::support::{fails, json, keys, path_text, text, words};

const RECIPE: &str = "in1k_vitb16_ep600";

#[test]
fn a_report_is_that_of_the_library_under_the_promised_keys() {
    let found = json(&["masks", "--report", "--groups", "5", "--seed", "3"]);
    let expected = BTreeSet::from([
        "images",
        "context_size",
        "context_ratio",
        "target_size",
        "relaxations",
        "context_inclusion",
        "target_inclusion",
    ]);
    assert_eq!(keys(&found), expected);
    let statistics = BTreeSet::from(["mean", "std", "min", "max"]);
    assert_eq!(keys(&found["context_size"]), statistics);
    assert_eq!(keys(&found["target_size"]), statistics);

    let sampler = Recipe::preset(RECIPE).unwrap().mask_sampler().unwrap();
    let report = MaskReport::draw(sampler.as_ref(), 128, 5, 3);
    assert_eq!(found, serde_json::to_value(&report).unwrap());
    assert_eq!(found["images"], 640);
}

#[test]
fn a_report_covers_100_groups_unless_told_otherwise() {
    let found = json(&["masks", "--report", "--set", "mask.group_size=8"]);
    assert_eq!(found["images"], 800);
}

#[test]
fn overrides_and_recipes_change_the_masks() {
    let last_row = |args: &[&str]| -> f64 {
        let start = ["masks", "--report", "--groups", "20"];
        let found = json(&[&start, args].concat());
        let rows = found["target_inclusion"].as_array().unwrap();
        let last = rows.last().unwrap().as_array().unwrap();
        last.iter().filter_map(Value::as_f64).sum()
    };
    // The official sampler never reaches the last row.
    assert_eq!(last_row(&[]), 0.0);
    assert!(last_row(&["--set", "mask.mode=uniform"]) > 0.0);
    let found = json(&["masks", "--recipe", "in1k_vith14_ep300"]);
    assert_eq!((&found["rows"], &found["cols"]), (&16.into(), &16.into()));
}

#[test]
fn views_are_no_masks() {
    let lejepa = ["masks", "--set", "objective.kind=lejepa"];
    fails(&lejepa, 3, "`masks` is about masks");
    let lejepa = ["bench", "masks", "--set", "objective.kind=lejepa"];
    fails(&lejepa, 3, "`bench masks` is about masks");
}

#[test]
fn text_shows_the_first_image_of_each_group() {
    let found = text(&["masks", "--groups", "2"]);
    let sampler = Recipe::preset(RECIPE).unwrap().mask_sampler().unwrap();
    for number in 0..2 {
        let group = sampler.sample(128, &mut MaskRng::for_group(0, 0, number));
        let heading = format!(
            "group {number}: contexts of {} patches, targets of {}",
            group.contexts[0].kept(),
            group.targets[0].kept()
        );
        assert!(found.contains(&heading), "{found}");
        assert!(found.contains(&group.to_text(0)), "{found}");
    }
    assert!(found.contains("c context, digits targets"), "{found}");
}

#[test]
fn the_seed_is_the_recipes_unless_given() {
    let groups = |args: &[&str]| json(&[&["masks"], args].concat())["groups"].clone();
    assert_eq!(groups(&[]), groups(&["--seed", "0"]));
    assert_eq!(groups(&["--set", "run.seed=5"]), groups(&["--seed", "5"]));
    assert_ne!(groups(&[]), groups(&["--seed", "5"]));
    let group = &groups(&[])[0];
    assert_eq!(group["targets"].as_array().unwrap().len(), 4);
    let size = group["context_size"].as_u64().unwrap() as usize;
    assert_eq!(group["contexts"][0].as_array().unwrap().len(), size);
}

#[test]
fn a_batch_smaller_than_a_group_is_one_group() {
    let small = json(&words("masks --recipe scenes_vit_nano --batch-size 6"));
    assert_eq!(small["group_size"], 6);
}

#[test]
fn pictures_are_png_files_of_the_masks() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_text(folder.path().join("masks.png"));
    let sampler = Recipe::preset(RECIPE).unwrap().mask_sampler().unwrap();
    let decode = || {
        let bytes = std::fs::read(&path).unwrap();
        let picture = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png);
        picture.unwrap().into_rgb8()
    };

    let found = json(&["masks", "--png", &path, "--groups", "2"]);
    assert_eq!(found["png"], path.as_str());
    let picture = decode();
    let group = |number| sampler.sample(128, &mut MaskRng::for_group(0, 0, number));
    let expected = [0, 1].map(|number| group(number).to_rgb(6, 12));
    assert_eq!(picture.width() as usize, expected[0].width);
    let pixels = expected.map(|picture| picture.pixels).concat();
    assert!(picture.into_raw() == pixels, "other pixels");

    let found = text(&["masks", "--report", "--groups", "3", "--png", &path]);
    assert!(found.ends_with(&format!("wrote {path}\n")), "{found}");
    let report = MaskReport::draw(sampler.as_ref(), 128, 3, 0);
    assert!(decode().into_raw() == report.to_rgb(12).pixels);
}

#[test]
fn speed_is_measured_in_images_and_masks() {
    let quick = ["bench", "masks", "--seconds", "0.05", "--rounds", "4"];
    let found = json(&[&quick[..], &["--batch-size", "256"]].concat());
    let rate = |key| found["images_per_s"][key].as_f64().unwrap();
    assert!(rate("min") > 0.0 && rate("min") <= rate("median") && rate("median") <= rate("max"));
    // One context and four targets.
    let masks_per_s = found["masks_per_s"].as_f64().unwrap();
    assert!((masks_per_s / rate("median") - 5.0).abs() < 1e-9);
    for (key, value) in [
        ("arch", "vit_b16".into()),
        ("batch_size", 256.into()),
        ("group_size", 128.into()),
        ("device", "cpu".into()),
        ("precision", "none".into()),
        ("threads", Value::from(1)),
    ] {
        assert_eq!(found[key], value, "{key}");
    }
    assert!(text(&quick).starts_with("images/s  median "));
}
