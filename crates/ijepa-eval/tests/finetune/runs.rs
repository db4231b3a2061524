//! What runs learn, leave alone and leave behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    thread,
};

use ijepa_eval::{Error, ExtractConfig, ExtractError, FinetuneData, FinetuneError, evaluate};
use ijepa_model::{Classifier, Normalization, checkpoint::StateDict};
use ijepa_testkit::{assert_close, device};
use ijepa_train::{
    Resume, TrainOptions,
    ranks::threads,
    run::{Folder, Resumption},
};

use crate::support::{data, data_with_a_bad_image, encoder, open, run, run_in, run_of, weights};

/// 64 rendered images of five textures are learned by heart; always the same class is right for
/// less than a third of them.
#[test]
fn labels_are_learned() {
    let folder = tempfile::tempdir().unwrap();
    let scenes = open("scenes:kind=texture,n=64,size=16,seed=0");
    let data = FinetuneData::new(scenes.clone(), scenes).unwrap();
    let overrides = [
        "data.crop_scale=[1.0, 1.0]",
        "data.flip=false",
        "data.preprocess=none",
        "optimizer.epochs=60",
        "optimizer.layer_decay=1.0",
        "optimizer.lr=6e-3",
        "run.eval_every_epochs=60",
    ];
    let options = TrainOptions::default();
    let (summary, ..) = run_in(folder.path(), &data, &overrides, &options).unwrap();
    let accuracy = summary.accuracy.unwrap();
    assert!(accuracy.top1 >= 60.0, "{accuracy:?}");
    assert_eq!((summary.epochs, accuracy.top5), (60, 100.0));
}

#[test]
fn frozen_blocks_do_not_change_and_all_others_do() {
    let plan = crate::support::plan(&[], &data()).unwrap();
    let fresh = plan.classifier(encoder(2), Normalization::IMAGENET, &data());
    let before = weights(&fresh.unwrap());
    for (unfreeze, frozen) in [
        ("all", &["encoder.pos_embed"][..]),
        (
            "1",
            &[
                "encoder.pos_embed",
                "encoder.patch_embed",
                "encoder.blocks.0.",
            ],
        ),
        (
            "0",
            &[
                "encoder.pos_embed",
                "encoder.patch_embed",
                "encoder.blocks.",
            ],
        ),
    ] {
        let (_, after, _) = run(&[&format!("model.unfreeze={unfreeze}")]).unwrap();
        for ((name, before), (_, after)) in before.iter().zip(weights(&after)) {
            let is_frozen = frozen.iter().any(|start| name.starts_with(start));
            assert_eq!(*before == after, is_frozen, "{name} of {unfreeze}");
        }
    }
}

/// Everything that a run writes, times aside.
fn written(folder: &Path) -> (Vec<String>, Vec<u8>, Vec<u8>, String) {
    let text = fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let untimed = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        [&cells[..5], &cells[8..]].concat().join(",")
    };
    let latest = folder.join("checkpoints/latest");
    (
        text.lines().map(untimed).collect(),
        fs::read(latest.join(Classifier::FILE)).unwrap(),
        fs::read(latest.join("optimizer.safetensors")).unwrap(),
        fs::read_to_string(folder.join("epochs.csv")).unwrap(),
    )
}

/// The low-rank pairs and weights of the last checkpoint, by name.
fn pairs(folder: &Path) -> BTreeMap<String, Vec<f32>> {
    let file = folder
        .join("checkpoints/latest")
        .join(Classifier::LORA_FILE);
    let dict = StateDict::open(file).unwrap();
    let tensors = dict
        .iter()
        .map(|(name, tensor)| (name.to_owned(), tensor.read().unwrap()));
    tensors.collect()
}

#[test]
fn low_rank_pairs_go_on_from_their_own_file_and_end_in_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    let data = data();
    let overrides = [EVERYTHING, &["model.lora_rank=2"]].concat();
    let run = |name: &str, last: Option<u64>| {
        let options = TrainOptions {
            max_steps: last,
            ..TrainOptions::default()
        };
        run_in(&folder.path().join(name), &data, &overrides, &options).unwrap()
    };
    let (_, trained, _) = run("whole", None);
    for last in [Some(1), Some(4), None] {
        run("parts", last);
    }
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    assert_eq!(written(&parts), written(&whole));
    let tensors = pairs(&whole);
    assert_eq!(pairs(&parts), tensors);
    let qkv = "blocks.1.attn.qkv.weight";
    let [a, b] = ["a", "b"].map(|matrix| format!("{qkv}.lora.{matrix}"));
    // The first block is frozen by `model.unfreeze`.
    assert!(tensors.keys().eq([qkv, &a, &b]), "{:?}", tensors.keys());

    let plan = crate::support::plan(&overrides, &data).unwrap();
    let fresh = plan.classifier(encoder(2), Normalization::IMAGENET, &data);
    let learned = ["encoder.norm.", "head."];
    let latest = Classifier::from_pretrained(&whole, &device()).unwrap();
    assert_eq!(weights(&latest), weights(&trained));
    for ((name, before), (_, after)) in weights(&fresh.unwrap()).iter().zip(weights(&trained)) {
        if *name == format!("encoder.{qkv}") {
            assert_eq!(tensors[qkv], *before);
            // `[48, 16]` in files.
            let product = |row: usize, column: usize| -> f32 {
                (0..2)
                    .map(|rank| tensors[&b][row * 2 + rank] * tensors[&a][rank * 16 + column])
                    .sum()
            };
            let sums = (0..48 * 16).map(|at| before[at] + product(at / 16, at % 16));
            assert_close(name, &after, &sums.collect::<Vec<_>>(), 1e-6);
            assert_ne!(*before, after);
        } else {
            let is_learned = learned.iter().any(|start| name.starts_with(start));
            assert_eq!(*before != after, is_learned, "{name}");
        }
    }

    let error = |changes: &[&str]| {
        let overrides = [EVERYTHING, &["optimizer.epochs=3"], changes].concat();
        run_in(&whole, &data, &overrides, &TrainOptions::default())
            .unwrap_err()
            .to_string()
    };
    for rank in [0, 3] {
        let error = error(&[&format!("model.lora_rank={rank}")]);
        let expected = format!("`model.lora_rank` = 2, the recipe says {rank}");
        assert!(error.contains(&expected), "{error}");
    }
    // More blocks have no moments, fewer have no pairs.
    let error = error(&["model.lora_rank=2", "model.unfreeze=all"]);
    assert!(
        error.contains("`model.unfreeze` = 1, the recipe says all"),
        "{error}"
    );
}

/// Mixing, erasing, drop path, accumulation and a frozen block at once.
const EVERYTHING: &[&str] = &[
    "data.mixup=0.8",
    "data.cutmix=1.0",
    "data.erasing=0.5",
    "data.rand_augment=rand-m5-inc1",
    "model.drop_path=0.3",
    "model.unfreeze=1",
    "run.micro_batch=8",
    "run.checkpoint_every_steps=2",
];

#[test]
fn a_resumed_run_is_the_uninterrupted_one_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (data, whole) = (data(), folder.path().join("whole"));
    let (expected, ..) = run_in(&whole, &data, EVERYTHING, &TrainOptions::default()).unwrap();
    let halves = folder.path().join("halves");
    for (last, workers) in [(0, 0), (1, 0), (4, 1), (u64::MAX, 3)] {
        let options = TrainOptions {
            max_steps: Some(last),
            workers,
            ..TrainOptions::default()
        };
        let (summary, ..) = run_in(&halves, &data, EVERYTHING, &options).unwrap();
        assert_eq!(summary.run.steps, last.min(6));
        if last == u64::MAX {
            assert_eq!(summary.best, expected.best);
        }
    }
    assert_eq!(written(&halves), written(&whole));

    // A finished run has nothing left to do and says what it said.
    let (again, _, events) = run_in(&whole, &data, EVERYTHING, &TrainOptions::default()).unwrap();
    assert_eq!(
        (again.accuracy, again.best),
        (expected.accuracy, expected.best)
    );
    let resumed = Resumption {
        step: 6,
        changed: Vec::new(),
    };
    assert_eq!(events.resumed, [resumed]);
    assert!(events.steps.is_empty() && events.scores.is_empty());
    let options = TrainOptions {
        resume: Resume::Never,
        ..TrainOptions::default()
    };
    let error = run_in(&whole, &data, EVERYTHING, &options).unwrap_err();
    assert!(error.to_string().contains("already holds a run"), "{error}");
}

/// Runs `overrides` on `size` threads until `last` steps.
fn run_on(folder: &Path, size: usize, last: u64, overrides: &[&str]) {
    thread::scope(|scope| {
        for ranks in threads(size) {
            scope.spawn(move || {
                let folder = Folder::of_ranks(folder, ranks).unwrap();
                let options = TrainOptions {
                    max_steps: Some(last),
                    ..TrainOptions::default()
                };
                let data = data_with_a_bad_image();
                let (summary, ..) =
                    run_of(encoder(2), &folder, &data, overrides, &options).unwrap();
                assert_eq!(summary.run.steps, last);
            });
        }
    });
}

#[test]
fn any_number_of_ranks_learns_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = [
        EVERYTHING,
        &["run.micro_batch=4", "data.max_bad_fraction=0.1"],
    ]
    .concat();
    let run = |name: &str, parts: &[(usize, u64)]| {
        let run = folder.path().join(name);
        for &(size, last) in parts {
            run_on(&run, size, last, &overrides);
        }
        let (mut rows, classifier, moments, epochs) = written(&run);
        // The last columns are those that several processes have.
        let end = rows[0].find(",communication_ms");
        let columns = rows[0][..end.unwrap_or(rows[0].len())].split(',').count();
        for row in &mut rows {
            *row = row.split(',').take(columns).collect::<Vec<_>>().join(",");
        }
        (rows, classifier, moments, epochs)
    };
    let alone = run("alone", &[(1, 6)]);
    for size in [2, 3, 4] {
        assert!(run(&size.to_string(), &[(size, 6)]) == alone, "{size}");
    }
    assert!(run("in turn", &[(4, 1), (1, 4), (2, 6)]) == alone);
}

#[test]
fn accumulation_gives_what_the_whole_batch_gives() {
    // The head's first gradients are not tiny, so rounding is not multiplied.
    let with = |micro| {
        let micro = format!("run.micro_batch={micro}");
        let overrides = [&EVERYTHING[..6], &[&micro]].concat();
        let (_, classifier, events) = run(&overrides).unwrap();
        let head = weights(&classifier).pop().unwrap();
        assert_eq!(head.0, "head.bias");
        (events.losses(), head.1)
    };
    let (losses, head) = with(0);
    for micro in [2, 4, 8] {
        let (found, bias) = with(micro);
        for (found, expected) in found.iter().zip(&losses) {
            assert!(
                (found - expected).abs() < 1e-5,
                "{micro}: {found} {expected}"
            );
        }
        assert_close("head", &bias, &head, 1e-3);
    }
}

#[test]
fn a_run_leaves_settings_tables_and_a_classifier_that_stands_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = data();
    let options = TrainOptions::default();
    let (summary, trained, events) = run_in(folder.path(), &data, &[], &options).unwrap();
    let settings = fs::read_to_string(folder.path().join("finetune.toml")).unwrap();
    assert!(settings.contains("batch_size = 16") && settings.contains("unfreeze = \"all\""));
    let epochs = fs::read_to_string(folder.path().join("epochs.csv")).unwrap();
    assert_eq!(epochs.lines().count(), 3, "{epochs}");
    let evaluated = &events.scores;
    assert_eq!((evaluated.len(), evaluated[1].step), (2, 6));
    let accuracy = summary.accuracy.unwrap();
    assert_eq!(evaluated[1].get("top1"), Some(accuracy.top1));
    assert_eq!(evaluated[1].get("top5"), Some(accuracy.top5));

    let checkpoints = fs::read_dir(folder.path().join("checkpoints")).unwrap();
    let names: BTreeSet<_> = checkpoints
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["latest", "step-3", "step-6"].map(Into::into).into());
    let loaded = Classifier::from_pretrained(folder.path(), &device()).unwrap();
    assert_eq!(
        (loaded.classes(), loaded.config()),
        (data.classes(), trained.config())
    );
    assert_eq!(weights(&loaded), weights(&trained));
    let config = crate::support::plan(&[], &data).unwrap().evaluation();
    let (accuracy, _) = evaluate(&loaded, data.test().as_ref(), &config, &device()).unwrap();
    assert_eq!(Some(accuracy), summary.accuracy);
    let mut grey = config;
    grey.reading.decoding.channels = 1;
    let error = evaluate(&loaded, data.test().as_ref(), &grey, &device()).unwrap_err();
    assert!(matches!(
        error,
        Error::Extract(ExtractError::Channels { images: 1, .. })
    ));
}

#[test]
fn a_finished_run_is_judged_by_other_images_when_it_is_told_other_images() {
    let folder = tempfile::tempdir().unwrap();
    let data = data();
    let options = TrainOptions::default();
    let (before, trained, _) = run_in(folder.path(), &data, &[], &options).unwrap();
    let test = open("scenes:kind=texture,n=30,size=16,seed=9");
    let other = FinetuneData::new(data.train().clone(), test.clone()).unwrap();
    let (now, _, events) = run_in(folder.path(), &other, &[], &options).unwrap();
    assert!(events.steps.is_empty() && events.scores.len() == 1);
    let config = ExtractConfig::default();
    let (expected, _) = evaluate(&trained, test.as_ref(), &config, &device()).unwrap();
    assert_eq!(now.accuracy, Some(expected));
    assert_ne!(now.accuracy, before.accuracy);
    // The best epoch is one of those that saw these images.
    assert_eq!(now.best.unwrap().accuracy, expected);
    let (again, _, events) = run_in(folder.path(), &other, &[], &options).unwrap();
    assert_eq!((again.accuracy, events.scores.len()), (now.accuracy, 0));
}

#[test]
fn a_run_of_another_encoder_is_not_gone_on_with() {
    let path = tempfile::tempdir().unwrap();
    let data = data();
    let options = TrainOptions {
        max_steps: Some(3),
        ..TrainOptions::default()
    };
    run_in(path.path(), &data, &[], &options).unwrap();
    let other = encoder(2).config().init(&device());
    let folder = Folder::open(path.path()).unwrap();
    let error = run_of(other, &folder, &data, &[], &TrainOptions::default()).unwrap_err();
    assert!(
        matches!(error, FinetuneError::OtherEncoder { .. }),
        "{error}"
    );
    drop(folder);
    let (summary, ..) = run_in(path.path(), &data, &[], &TrainOptions::default()).unwrap();
    assert_eq!((summary.run.steps, summary.run.steps_made), (6, 3));
}

#[test]
fn positions_are_resampled_for_larger_images() {
    let (_, classifier, _) = run(&["model.image_size=24", "optimizer.epochs=1"]).unwrap();
    let positions = &weights(&classifier)[0];
    assert_eq!(
        (positions.0.as_str(), positions.1.len()),
        ("encoder.pos_embed", 36 * 16)
    );
}
