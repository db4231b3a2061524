//! `pretrain --init`: runs that begin with other weights.

use std::{collections::BTreeMap, fs, path::Path};

use ijepa_testkit::device_name;
use safetensors::SafeTensors;

use crate::support::{Features, golden, ijepa, json, path_text, tiny, words};

/// The sizes of the golden networks.
const SIZES: &str = "pretrain --recipe scenes_vit_nano --set model.embed_dim=48 model.depth=3 \
    model.num_heads=3 model.patch_size=8 model.predictor_dim=24 model.predictor_depth=2 \
    mask.group_size=6 mask.min_keep=0 mask.length_multiple=1 run.batch_size=12 optimizer.steps_per_epoch=4 \
    run.log_every_steps=1 --threads 1 --quiet";

fn begin(init: &str, out: &Path, more: &str) -> Vec<String> {
    let (out, device) = (path_text(out), device_name());
    let data = "scenes:n=48,size=32";
    let line = format!("--init {init} --out {out} --data {data} --device {device}");
    words(&format!("{SIZES} {more} {line}"))
}

/// Values of a part of a checkpoint by name.
fn part(checkpoint: &Path, part: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(checkpoint.join(format!("{part}.safetensors"))).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.iter();
    let tensors = tensors.map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec()));
    tensors.collect()
}

fn features(folder: &Path, weights: &str, more: &str) -> Vec<f32> {
    let out = path_text(folder.join("features.safetensors"));
    let device = device_name();
    let line = format!("embed -q --weights {weights} --out {out} --device {device} {more}");
    json(&words(&line));
    Features::read(out).values
}

#[test]
fn weights_that_are_not_finite_are_refused_where_they_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let official = golden("torch/tiny_ckpt.pth.tar");
    let damaged = |part: &str| {
        let native = folder.path().join(part);
        let weights = path_text(&native);
        let convert = format!("convert {official} {weights} --to native --num-heads 3");
        json(&words(&convert));
        let file = native.join(format!("{part}.safetensors"));
        let mut bytes = fs::read(&file).unwrap();
        let end = bytes.len() - 4;
        bytes[end..].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(&file, bytes).unwrap();
        weights
    };
    let refused = ijepa(&begin(&damaged("encoder"), &out, "--max-steps 0"));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("is not finite"), "{refused:?}");
    assert!(!out.exists());

    // A predictor of another width is not read.
    let wide = "--max-steps 0 --set model.predictor_dim=48";
    json(&begin(&damaged("predictor"), &out, wide));
}

#[test]
fn official_weights_are_continued_at_step_0_with_a_fresh_optimizer() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let official = golden("torch/tiny_ckpt.pth.tar");
    let run = at("run");
    let said = json(&begin(&official, &run, "--max-steps 0"));
    for part in ["encoder", "predictor", "target_encoder", "positions"] {
        assert_eq!(said["init"][part], "as in the weights", "{said}");
    }
    let kept = fs::read_to_string(run.join("init.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!((&kept["kind"], &kept), (&"official".into(), &said["init"]));

    let native = path_text(at("native"));
    let convert = format!("convert {official} {native} --to native --num-heads 3");
    json(&words(&convert));
    let latest = run.join("checkpoints/latest");
    for name in ["encoder", "predictor", "target_encoder"] {
        assert_eq!(part(&latest, name), part(&at("native"), name), "{name}");
    }
    let images = "--data scenes:n=4,size=32";
    for encoder in ["--encoder context", "--encoder target"] {
        let flags = format!("{images} {encoder}");
        let own = features(folder.path(), &path_text(&run), &flags);
        let theirs = format!("{flags} --num-heads 3");
        assert_eq!(own, features(folder.path(), &official, &theirs));
    }
    let found = json(&["inspect", &path_text(&run)]);
    assert_eq!((&found["step"], &found["epoch"]), (&0.into(), &0.into()));
    assert!(found["optimizer"].is_null(), "{found}");
}

#[test]
fn a_lone_encoder_is_resampled_and_gets_a_predictor_and_a_target() {
    let folder = tempfile::tempdir().unwrap();
    let (run, weights) = (folder.path().join("run"), golden("hf_tiny_saved"));
    let size = "--set model.image_size=48 --max-steps 0";
    let said = json(&begin(&weights, &run, size));
    let init = &said["init"];
    assert_eq!(init["predictor"], "fresh, since they have none");
    assert_eq!(init["target_encoder"], "a copy of the encoder");
    assert_eq!(init["positions"], "resampled from 4x4 to 6x6 patches");
    let latest = run.join("checkpoints/latest");
    assert_eq!(part(&latest, "encoder"), part(&latest, "target_encoder"));
    let images = "--data scenes:n=4,size=48 --preprocess none";
    let own = features(folder.path(), &path_text(&run), images);
    let theirs = format!("{images} --image-size 48");
    assert_eq!(own, features(folder.path(), &weights, &theirs));

    // It trains, and the same command goes on without the weights.
    let train = |steps: u64| {
        let line = format!("--set model.image_size=48 --max-steps {steps}");
        json(&begin("gone", &run, &line))
    };
    let said = train(2);
    assert_eq!((&said["steps"], &said["init"]), (&2.into(), &().into()));
    assert_ne!(part(&latest, "encoder"), part(&latest, "target_encoder"));
}

#[test]
fn another_predictor_is_fresh_and_predictors_are_resampled() {
    let folder = tempfile::tempdir().unwrap();
    let official = golden("torch/tiny_ckpt.pth.tar");
    let other = "--set model.predictor_depth=1 --max-steps 0";
    let said = json(&begin(&official, &folder.path().join("a"), other));
    let why = said["init"]["predictor"].as_str().unwrap();
    assert!(why.starts_with("fresh, since theirs is another: width 24 and 2 blocks"));
    let wide = "--set model.image_size=48 --max-steps 1";
    let said = json(&begin(&official, &folder.path().join("b"), wide));
    assert_eq!(said["init"]["predictor"], "as in the weights");
    assert_eq!(said["steps"], 1);
}

#[test]
fn weights_of_other_sizes_are_refused_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let official = golden("torch/tiny_ckpt.pth.tar");
    let refused = ijepa(&begin(&official, &run, "--set model.depth=2"));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    let expected = "was trained with `model.depth` = 3, the recipe says 2";
    assert!(refused.stderr.contains(expected), "{refused:?}");
    assert!(!run.exists());
    let both = ijepa(&begin(&official, &run, "--resume x"));
    assert_eq!(both.code, Some(2), "{both:?}");
    let expected = "`--init` changes nothing with --resume FILE";
    assert!(both.stderr.contains(expected), "{both:?}");
}

/// A run that never began leaves no directory behind.
#[test]
fn unusable_weights_and_data_leave_no_run_directory() {
    let folder = tempfile::tempdir().unwrap();
    let (run, notes) = (folder.path().join("run"), folder.path().join("notes.txt"));
    fs::write(&notes, "no weights").unwrap();
    for (init, code) in [(path_text(&notes), 5), (path_text(folder.path()), 5)] {
        let refused = ijepa(&begin(&init, &run, ""));
        assert_eq!(refused.code, Some(code), "{refused:?}");
        assert!(!run.exists(), "{refused:?}");
    }
    let refused = ijepa(&tiny(
        &run,
        "--eval-data folder:gone --eval-test folder:gone",
    ));
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(!run.exists(), "{refused:?}");
}

/// A checkpoint without its optimizer is no place to go on from, but has weights to begin with.
#[test]
fn an_incomplete_checkpoint_is_refused_by_resume_and_taken_by_init() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    json(&tiny(&at("first"), "--max-steps 2"));
    let part_of = at("first/checkpoints/step-2");
    for lost in ["optimizer.safetensors", "predictor.safetensors"] {
        fs::remove_file(part_of.join(lost)).unwrap();
    }
    let path = path_text(&part_of);
    let refused = ijepa(&tiny(&at("second"), &format!("--resume {path}")));
    assert_eq!(refused.code, Some(5), "{refused:?}");
    assert!(refused.stderr.contains("has no optimizer.safetensors"));
    let said = json(&tiny(&at("third"), &format!("--init {path} --max-steps 0")));
    assert_eq!(said["init"]["step"], 2);
    assert_eq!(said["init"]["predictor"], "fresh, since they have none");
    let third = at("third/checkpoints/latest");
    assert_eq!(part(&third, "encoder"), part(&part_of, "encoder"));
}
