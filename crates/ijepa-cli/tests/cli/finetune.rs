//! `finetune` on rendered images and folders.

use std::{fs, path::Path};

use ijepa_data::DataSpec;
use ijepa_model::{Checkpoint, Classifier, VisionTransformer};
use ijepa_testkit::device_name;

use crate::support::{fails, golden, ijepa, json, keys, path_text, tiny, words};

const TRAIN: &str = "scenes:kind=texture,n=40,size=32,seed=1";
const TEST: &str = "scenes:kind=texture,n=10,size=32,seed=2";
const SMALL: &str = "--set run.batch_size=8 optimizer.warmup_epochs=0.5 --epochs 1 --threads 1";

/// A run of little work; `more` may name other data.
fn args(out: &Path, more: &str) -> Vec<String> {
    let data = match more.contains("--train") {
        true => String::new(),
        false => format!("--train {TRAIN} --test {TEST}"),
    };
    let weights = match more.contains("--weights") {
        true => String::new(),
        false => format!("--weights {}", golden("hf_tiny_saved")),
    };
    let device = device_name();
    let out = path_text(out);
    words(&format!(
        "finetune --quiet --device {device} --out {out} {data} {weights} {SMALL} {more}"
    ))
}

fn check(more: &str, code: i32, message: &str) {
    let folder = tempfile::tempdir().unwrap();
    fails(&args(folder.path(), more), code, message);
}

#[test]
fn the_result_has_its_keys_and_a_second_call_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let first = json(&args(folder.path(), ""));
    let expected = [
        "best",
        "classes",
        "device",
        "device_hours",
        "epochs",
        "images",
        "images_per_s",
        "loss",
        "loss_first",
        "loss_last",
        "loss_mean",
        "normalize",
        "precision",
        "reason",
        "run",
        "skipped",
        "steps",
        "test_images",
        "top1",
        "top5",
        "train_images",
        "verdict",
    ];
    assert_eq!(keys(&first), expected.into());
    assert_eq!((&first["epochs"], &first["steps"]), (&1.into(), &5.into()));
    assert_eq!(
        (&first["classes"], &first["top5"]),
        (&5.into(), &100.0.into())
    );
    let second = json(&args(folder.path(), ""));
    assert_eq!(
        (&second["top1"], &second["steps"]),
        (&first["top1"], &5.into())
    );
}

#[test]
fn flags_change_the_settings_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    for (flags, expected) in [
        ("--unfreeze 1", "unfreeze = 1"),
        ("--unfreeze all", "unfreeze = \"all\""),
        ("--lora 2", "lora_rank = 2"),
        ("--batch-size 20", "batch_size = 20"),
        ("--seed 3", "seed = 3"),
        ("--image-size 48", "image_size = 48"),
        ("--protocol full --batch-size 20", "mixup = 0.8"),
        ("--encoder random", "seed = 0"),
    ] {
        let out = folder.path().join(flags.replace([' ', '-'], "_"));
        json(&args(&out, flags));
        let settings = fs::read_to_string(out.join("finetune.toml")).unwrap();
        assert!(settings.contains(expected), "{flags}: {settings}");
    }
    let classifier = |name: &str| {
        let path = folder.path().join(name).join("checkpoints/latest");
        fs::read(path.join("classifier.safetensors")).unwrap()
    };
    assert_ne!(classifier("__encoder_random"), classifier("__unfreeze_all"));
}

#[test]
fn the_encoder_of_a_run_is_used_and_its_pairs_keep_their_rank() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("run"), folder.path().join("out.npy"));
    json(&args(&run, "--lora 2"));
    for rank in [0, 4] {
        let other = ijepa(&args(&run, &format!("--lora {rank}")));
        assert_eq!(other.code, Some(5), "{other:?}");
        assert!(
            other.stderr.contains("model.lora_rank") && other.stderr.contains(&rank.to_string()),
            "{other:?}"
        );
    }
    let device = device_name();
    for weights in [&run, &run.join("checkpoints/latest/classifier.safetensors")] {
        let (weights, out) = (path_text(weights), path_text(&out));
        let embed =
            format!("embed --device {device} --weights {weights} --data {TEST} --out {out}");
        let said = ijepa(&words(&embed));
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(
            said.stderr.contains("norms the mean over the tokens"),
            "{said:?}"
        );
    }
    let classifier = Classifier::from_pretrained(&run, &ijepa_testkit::device()).unwrap();
    let encoder = Checkpoint::open(&run).unwrap();
    let encoder = encoder.feature_encoder(&ijepa_testkit::device()).unwrap();
    let weights = |encoder: &VisionTransformer| {
        let tensors = [
            encoder.blocks[0].mlp.fc1.weight.val(),
            encoder.norm.gamma.val().unsqueeze(),
        ];
        tensors.map(|tensor| tensor.into_data())
    };
    assert_eq!(weights(&encoder), weights(&classifier.encoder));
}

/// A folder with one rendered image for each `class/name`.
fn images(folder: &Path, names: &[&str]) -> String {
    let source = "scenes:n=1,size=32"
        .parse::<DataSpec>()
        .unwrap()
        .open()
        .unwrap();
    let image = source.read(0).unwrap();
    for name in names {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (width, height) = (image.width(), image.height());
        let header = format!("P6 {width} {height} 255\n");
        fs::write(&path, [header.as_bytes(), image.pixels()].concat()).unwrap();
    }
    path_text(folder)
}

#[test]
fn wrong_data_weights_and_settings_have_their_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let flat = images(&at("flat"), &["1.ppm", "2.ppm"]);
    let ab = images(&at("ab"), &["a/1.ppm", "b/2.ppm"]);
    let ac = images(&at("ac"), &["a/1.ppm", "c/2.ppm"]);
    let pair = |train: &str, test: &str| format!("--train {train} --test {test} --batch-size 2");
    check(&pair(&flat, &ab), 4, "2 of 2 training images have no label");
    check(&pair(&ab, &flat), 4, "2 of 2 test images have no label");
    check(
        &pair(&ab, &ac),
        4,
        "is none of the training data: `c`; leave",
    );
    let list = path_text(at("list.txt"));
    fs::write(&list, "1.ppm\n").unwrap();
    let subset = format!("{} --subset {list}", pair(&ab, &ab));
    check(
        &subset,
        4,
        "b/2.ppm` has label 1, which no training image has",
    );
    check(&pair("nowhere", &ab), 4, "nowhere");

    check("--set data.mixup=0.8 --batch-size 7", 3, "an even number");
    check("--set optimizer.lrr=1", 3, "the nearest is `optimizer.lr`");
    check("--protocol lowshot", 3, "the nearest is `lowshot-1pct`");
    check("--unfreeze 99", 3, "expected at most the");
    check("--lora 99", 3, "`model.lora_rank` is 99, expected at most");
    check("--image-size 17", 3, "`model.image_size`");
    check(
        "--batch-size 64",
        3,
        "expected at most the 40 training images; use --set run.batch_size=32",
    );
    check("--unfreeze some", 2, "expected all or a whole number");

    let weights = format!("--weights {}", path_text(at("none")));
    check(&weights, 5, "does not exist");
    let out = at("run");
    json(&args(&out, ""));
    let found = ijepa(&args(&out, "--image-size 48"));
    assert_eq!(found.code, Some(5), "{found:?}");
    assert!(
        found
            .stderr
            .contains("was trained with `model.image_size` = [32,32]"),
        "{found:?}"
    );
    let found = ijepa(&args(&out, "--resume never"));
    assert_eq!(found.code, Some(1), "{found:?}");
    let pretrained = at("pretrained");
    json(&tiny(&pretrained, "--max-steps 1"));
    fails(
        &args(&pretrained, ""),
        5,
        "a run that recipe.toml describes",
    );
}

#[test]
fn a_run_directory_stands_for_its_newest_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let [from, out] = ["from", "out"].map(|name| folder.path().join(name));
    json(&args(&from, "--max-steps 2"));
    let resume = format!("--resume {}", path_text(&from));
    let gone_on = json(&args(&out, &resume));
    let whole = json(&args(&folder.path().join("whole"), ""));
    assert_eq!(gone_on["steps"], 5);
    assert_eq!(gone_on["loss_last"], whole["loss_last"]);
}
