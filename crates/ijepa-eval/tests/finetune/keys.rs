//! Every key of the settings changes a run.

use std::{collections::BTreeSet, error::Error};

use ijepa_eval::FinetuneRecipe;
use ijepa_train::{recipe::Settings, run::Folder};

use crate::support::{SMALL, data_of_files, encoder_of, plan, run, run_in, run_of, weights};

/// Keys whose value changes the weights of a small run, with the settings they need to matter.
const LEARNED: &[(&str, &[&str])] = &[
    ("model.unfreeze=1", &[]),
    ("model.lora_rank=2", &[]),
    ("model.drop_path=0.5", &[]),
    ("model.image_size=20", &[]),
    ("data.crop_scale=[0.5, 1.0]", &[]),
    ("data.flip=false", &[]),
    ("data.rand_augment=rand-m9-inc1", &[]),
    ("data.erasing=0.9", &[]),
    ("data.mixup=0.8", &[]),
    ("data.cutmix=1.0", &[]),
    ("data.mix_probability=0.0", &["data.mixup=0.8"]),
    (
        "data.cutmix_share=1.0",
        &["data.mixup=0.8", "data.cutmix=1.0"],
    ),
    ("optimizer.lr=1e-3", &[]),
    ("optimizer.lr_is_base=true", &[]),
    ("optimizer.min_lr=1e-4", &[]),
    ("optimizer.warmup_epochs=0.7", &[]),
    ("optimizer.epochs=3", &[]),
    ("optimizer.layer_decay=0.5", &[]),
    ("optimizer.weight_decay=0.5", &[]),
    ("optimizer.betas=[0.8, 0.999]", &[]),
    ("optimizer.eps=1e-3", &[]),
    ("optimizer.clip_grad=0.01", &["optimizer.eps=1e-3"]),
    ("optimizer.label_smoothing=0.5", &[]),
    ("run.batch_size=12", &[]),
    ("run.seed=1", &[]),
];

/// Keys that change how a run is computed, read or kept, each with a test of its own here or in
/// `runs.rs`.
const CARRIED_OUT: &[&str] = &[
    "data.preprocess",
    "data.decode",
    "data.orientation",
    "data.sixteen_bit",
    "data.max_bad_fraction",
    "run.micro_batch",
    "run.precision",
    "run.kernels",
    "run.activation_checkpointing",
    "run.log_every_steps",
    "run.checkpoint_every_steps",
    "run.checkpoint_every_minutes",
    "run.keep_last",
    "run.eval_every_epochs",
];

#[test]
fn every_key_is_listed() {
    let key = |(text, _): &(&'static str, _)| text.split_once('=').unwrap().0;
    let listed: BTreeSet<&str> = LEARNED
        .iter()
        .map(key)
        .chain(CARRIED_OUT.iter().copied())
        .collect();
    let keys = FinetuneRecipe::default().flatten();
    assert_eq!(listed, keys.keys().map(String::as_str).collect());
    assert!(
        SMALL
            .iter()
            .all(|text| keys.contains_key(text.split_once('=').unwrap().0))
    );
}

#[test]
fn every_key_that_is_learned_from_changes_the_weights() {
    let short = "optimizer.epochs=1";
    for (change, context) in LEARNED {
        let base = [&[short], *context].concat();
        let (_, before, _) = run(&base).unwrap();
        let (_, after, _) = run(&[&base[..], &[change]].concat()).unwrap();
        let (before, after) = (weights(&before), weights(&after));
        assert_ne!(before.last(), after.last(), "{change}");
    }
}

#[test]
fn every_other_key_changes_what_is_kept_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = crate::support::data();
    let kept = |name: &str, overrides: &[&str]| {
        let path = folder.path().join(name);
        let (_, _, events) = run_in(&path, &data, overrides, &Default::default()).unwrap();
        let checkpoints = std::fs::read_dir(path.join("checkpoints")).unwrap().count() - 1;
        [events.steps.len(), checkpoints, events.scores.len()]
    };
    let all = ["run.keep_last=9"];
    let with = |name: &str, change| kept(name, &[&all[..], &[change]].concat());
    assert_eq!(kept("base", &all), [6, 2, 2]);
    assert_eq!(with("log", "run.log_every_steps=4"), [3, 2, 2]);
    assert_eq!(with("save", "run.checkpoint_every_steps=1"), [6, 6, 2]);
    let often = "run.checkpoint_every_minutes=1e-9";
    assert_eq!(with("often", often), [6, 6, 2]);
    assert_eq!(with("eval", "run.eval_every_epochs=2"), [6, 2, 1]);
    assert_eq!(kept("last", &["run.keep_last=1"]), [6, 1, 2]);
}

/// Other arithmetic gives the same losses within its rounding.
#[test]
fn precision_kernels_and_recomputation_only_round_differently() {
    let losses = |overrides: &[&str]| -> Vec<f64> {
        let (_, _, events) = run(overrides).unwrap();
        events.losses()
    };
    let largest = |found: &[f64], expected: &[f64]| {
        let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, f64::max)
    };
    let expected = losses(&[]);
    let reference = losses(&["run.kernels=reference"]);
    let recomputed = losses(&["run.activation_checkpointing=true"]);
    assert!(largest(&reference, &expected) < 1e-4, "{reference:?}");
    assert!(largest(&recomputed, &expected) < 1e-4, "{recomputed:?}");
    if ijepa_model::Precision::Bf16.is_supported(&ijepa_testkit::device()) {
        let narrow = losses(&["run.precision=bf16"]);
        let difference = largest(&narrow, &expected);
        assert!(
            difference > 0.0 && difference < 0.05,
            "{narrow:?} {expected:?}"
        );
    }
}

#[test]
fn files_are_decoded_as_the_settings_say() {
    let (data, folder) = (data_of_files(), tempfile::tempdir().unwrap());
    let learned = |name: &str, overrides: &[&str]| {
        let all = [&["optimizer.epochs=1"], overrides].concat();
        let run = run_in(&folder.path().join(name), &data, &all, &Default::default());
        let (_, classifier, _) = run.unwrap();
        weights(&classifier)
    };
    let base = learned("base", &[]);
    for change in ["data.orientation=exif", "data.sixteen_bit=scale"] {
        assert_ne!(learned(change, &[change]), base, "{change}");
    }
    let fast = plan(&["data.decode=fast"], &data).map_err(|error| error.to_string());
    match (fast, ijepa_data::Decode::Fast.is_built()) {
        (Ok(plan), true) => assert_ne!(plan.recipe(), &FinetuneRecipe::default()),
        (Err(error), false) => assert!(error.contains("`turbojpeg`"), "{error}"),
        (fast, _) => panic!("{fast:?}"),
    }

    // Test images, too: only upright do they have the encoder's size.
    let tested = |name: &str, orientation: &str| {
        let overrides = ["optimizer.epochs=1", "data.preprocess=none", orientation];
        let run = Folder::open(folder.path().join(name)).unwrap();
        run_of(
            encoder_of(2, [36, 24]),
            &run,
            &data,
            &overrides,
            &Default::default(),
        )
    };
    let (summary, ..) = tested("upright", "data.orientation=exif").unwrap();
    assert!(summary.accuracy.is_some());
    let error = tested("stored", "data.orientation=ignore").unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("none of the 20 images"), "{cause}");
}

#[test]
fn preprocessing_and_the_share_of_bad_images_are_those_of_the_settings() {
    let larger = ["model.image_size=20", "optimizer.epochs=1"];
    run(&larger).unwrap();
    let error = run(&[&larger[..], &["data.preprocess=none"]].concat()).unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("none of the 20 images"), "{cause}");

    let folder = tempfile::tempdir().unwrap();
    let data = crate::support::data_with_a_bad_image();
    let run = |overrides: &[&str]| run_in(folder.path(), &data, overrides, &Default::default());
    let none = ["optimizer.epochs=1", "data.max_bad_fraction=0.0"];
    let error = run(&none).unwrap_err();
    assert!(error.to_string().contains("unreadable"), "{error}");
    // A small set may have one without being told.
    let (summary, ..) = run(&[]).unwrap();
    assert_eq!(summary.run.skipped.len(), 1);
    let listed = std::fs::read_to_string(folder.path().join("skipped.csv")).unwrap();
    assert_eq!(listed.lines().count(), 2, "{listed}");
}
