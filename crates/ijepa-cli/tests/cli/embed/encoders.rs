//! Which encoder computes, what is taken from it, and in which type of numbers.

use ijepa_model::Precision;
use ijepa_testkit::{assert_close, device, device_name, relative_difference, skip};

use super::{embed, hf, photos};
use crate::support::{golden, json, path_text, tiny};

#[test]
fn official_and_hugging_face_weights_give_the_same_features() {
    let photos = photos();
    let official = golden("torch/tiny_ckpt.pth.tar");
    let flags = [
        "--weights",
        &official,
        "--num-heads",
        "3",
        "--encoder",
        "context",
    ];
    let (context, _) = embed(photos.path(), &flags);
    let (saved, said) = embed(photos.path(), &["--weights", &hf()]);
    assert_eq!(said["encoder"], "context");
    assert_close("features", &context.values, &saved.values, 1e-5);
    let (target, said) = embed(photos.path(), &flags[..4]);
    assert_eq!(said["encoder"], "target");
    assert!(relative_difference(&target.values, &context.values) > 1e-4);
}

#[test]
fn pooled_features_are_means_of_tokens() {
    let photos = photos();
    let (mean, _) = embed(photos.path(), &["--weights", &hf()]);
    let (tokens, said) = embed(photos.path(), &["--weights", &hf(), "--pool", "tokens"]);
    assert_eq!(tokens.shape, [4, 16, 48]);
    assert_eq!(said["tokens"], 16);
    for row in 0..4 {
        let average = |column: usize| {
            let values = tokens.row(row).iter().skip(column).step_by(48);
            values.sum::<f32>() / 16.0
        };
        let averages: Vec<f32> = (0..48).map(average).collect();
        assert_close("mean", &averages, mean.row(row), 1e-5);
    }
    let (map, said) = embed(photos.path(), &["--weights", &hf(), "--pool", "map"]);
    assert_eq!((map.shape, map.values), (vec![4, 4, 4, 48], tokens.values));
    assert_eq!((&said["tokens"], &said["dim"]), (&16.into(), &48.into()));
}

#[test]
fn the_last_four_layers_end_with_the_last() {
    let photos = photos();
    let random = [
        "--encoder",
        "random",
        "--arch",
        "vit_ti16",
        "--image-size",
        "32",
    ];
    let (mean, _) = embed(photos.path(), &random);
    let four = [&random[..], &["--pool", "concat4"]].concat();
    let (concat4, said) = embed(photos.path(), &four);
    assert_eq!(concat4.shape, [4, 4 * 192]);
    assert_eq!(said["dim"], 768);
    for row in 0..4 {
        assert_close("last", &concat4.row(row)[3 * 192..], mean.row(row), 1e-5);
    }
    let (other, _) = embed(photos.path(), &[&random[..], &["--seed", "1"]].concat());
    assert!(relative_difference(&other.values, &mean.values) > 1e-2);
}

#[test]
fn a_random_encoder_has_the_sizes_of_the_weights() {
    let photos = photos();
    let (trained, _) = embed(photos.path(), &["--weights", &hf()]);
    let flags = ["--weights", &hf(), "--encoder", "random"];
    let (random, said) = embed(photos.path(), &flags);
    assert_eq!(said["encoder"], "random");
    assert_eq!(random.shape, trained.shape);
    assert!(relative_difference(&random.values, &trained.values) > 1e-2);
}

#[test]
fn a_random_encoder_is_the_one_that_a_run_with_its_seed_begins_with() {
    let photos = photos();
    let run = photos.path().join("run");
    json(&tiny(&run, "--seed 7 --max-steps 0"));
    let weights = path_text(run);
    let features = |flags: &[&str]| {
        let flags = [&["--weights", &weights, "--encoder"], flags].concat();
        embed(photos.path(), &flags).0.values
    };
    let begun = features(&["context"]);
    assert_eq!(features(&["random", "--seed", "7"]), begun);
    assert_eq!(features(&["random"]), begun);
    assert_ne!(features(&["random", "--seed", "8"]), begun);
}

#[test]
fn larger_images_have_more_tokens() {
    let photos = photos();
    let flags = ["--weights", &hf(), "--image-size", "48", "--pool", "tokens"];
    let (found, said) = embed(photos.path(), &flags);
    assert_eq!(found.shape, [4, 36, 48]);
    assert_eq!(said["image_size"], serde_json::json!([48, 48]));
}

#[test]
fn a_narrow_number_type_is_close_and_not_equal() {
    let photos = photos();
    let (full, _) = embed(photos.path(), &["--weights", &hf()]);
    let mut found = vec![full.values.clone()];
    for precision in [Precision::Bf16, Precision::Int8] {
        let (name, device_name) = (precision.name(), device_name());
        if device_name != "flex" || !precision.is_supported(&device()) {
            skip(format!("{name} on {device_name}, or on this processor"));
            continue;
        }
        let (narrow, said) = embed(photos.path(), &["--weights", &hf(), "--precision", name]);
        assert_eq!(said["precision"], name);
        let difference = relative_difference(&narrow.values, &full.values);
        assert!(
            difference > 1e-5 && difference < 5e-2,
            "{name}: {difference}"
        );
        assert!(
            !found.contains(&narrow.values),
            "{name} is a type of its own"
        );
        found.push(narrow.values);
    }
}
