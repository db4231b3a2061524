//! Runs of `pretrain`, some of them killed, and `knn` on what they leave behind.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use crate::support::{ijepa, json, keys, path_text, words};

const TINY: &str = "pretrain --quiet --recipe scenes_vit_nano --data scenes:n=48,size=32 \
    --set model.embed_dim=16 model.depth=1 model.predictor_dim=8 model.predictor_depth=1 \
    mask.group_size=6 run.batch_size=12 optimizer.steps_per_epoch=4 run.log_every_steps=1 \
    run.checkpoint_every_steps=2 --threads 1";

fn tiny(out: &Path, more: &str) -> Vec<String> {
    let mut args = words(TINY);
    args.extend(["--out".to_owned(), path_text(out)]);
    args.extend(words(more));
    args
}

/// Metrics without the columns of times, and the bytes of every tensor file.
fn outcome(run: &Path) -> (Vec<String>, Vec<Vec<u8>>) {
    let metrics = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let without_times = |line: &str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells.drain(9..12);
        cells.join(",")
    };
    let tensors = ["encoder", "predictor", "target_encoder", "optimizer"].map(|name| {
        fs::read(
            run.join("checkpoints/latest")
                .join(format!("{name}.safetensors")),
        )
        .unwrap()
    });
    (
        metrics.lines().map(without_times).collect(),
        tensors.to_vec(),
    )
}

#[test]
fn a_run_reports_what_the_interface_promises_and_serves_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let labelled = "--eval-data scenes:n=40,size=32,seed=1 --eval-test scenes:n=10,size=32,seed=2";
    let result = json(&tiny(&run, &format!("--max-steps 8 {labelled}")));
    let promised = [
        "steps",
        "images",
        "loss_first",
        "loss_last",
        "images_per_s",
        "device_hours",
        "run",
        "device",
        "precision",
        "rankme",
        "feature_std",
        "knn",
        "probe",
    ];
    assert!(
        promised.iter().all(|key| keys(&result).contains(key)),
        "{result}"
    );
    assert_eq!(
        (&result["steps"], &result["images"]),
        (&8.into(), &96.into())
    );
    assert_eq!(result["precision"], "f32");
    assert!(
        result["rankme"].as_f64().unwrap() > 1.0 && result["knn"].is_number(),
        "{result}"
    );

    let weights = path_text(&run);
    let knn = json(&words(&format!(
        "knn --quiet --weights {weights} --train scenes:n=40,size=32,seed=1 \
         --test scenes:n=10,size=32,seed=2 --k 5,20 --center"
    )));
    assert_eq!(
        (&knn["train_images"], &knn["test_images"]),
        (&40.into(), &10.into())
    );
    assert_eq!(knn["encoder"], "target");
    // The last epoch of the run measured the same encoder on the same images.
    assert_eq!(knn["k"]["20"]["top1"], result["knn"]);
    assert!(knn["k"]["5"]["top5"].is_number());
}

#[test]
fn a_run_killed_again_and_again_ends_as_if_it_had_never_been() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let last = "--max-steps 60";
    json(&tiny(&whole, last));
    for workers in [1, 2] {
        let killed = folder.path().join(format!("killed-{workers}"));
        let args = tiny(&killed, &format!("{last} --workers {workers}"));
        for milliseconds in [40, 170, 310, 90, 230] {
            let mut child = Command::new(env!("CARGO_BIN_EXE_ijepa"))
                .args(&args)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            sleep(Duration::from_millis(milliseconds));
            child.kill().unwrap();
            child.wait().unwrap();
        }
        json(&args);
        assert_eq!(outcome(&killed), outcome(&whole), "{workers} workers");
    }
}

fn check(args: &[String], code: i32, message: &str) {
    let run = ijepa(args);
    assert_eq!(run.code, Some(code), "{args:?}: {run:?}");
    assert!(
        run.stderr.starts_with("error: ") && run.stderr.contains(message),
        "{run:?}"
    );
    assert_eq!(run.stdout, "");
}

#[test]
fn every_mistake_has_its_message_and_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let with = |more: &str| tiny(&run, more);
    check(&with("--set mask.mod=uniform"), 3, "mask.mode");
    check(&with("--set objective.kind=mae"), 3, "not built yet");
    check(&with("--batch-size 60"), 3, "more than the 48 images");
    check(
        &with("--data folder:/nowhere"),
        2,
        "cannot be used multiple times",
    );
    let empty = path_text(folder.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    let mut args = with("");
    let data = args.iter().position(|word| word == "--data").unwrap() + 1;
    args[data] = format!("folder:{empty}");
    check(&args, 4, "no image");
    json(&with("--max-steps 2"));
    check(
        &with("--max-steps 4 --set model.depth=2"),
        5,
        "was trained with `model`",
    );
    check(
        &with("--max-steps 4 --resume never"),
        1,
        "already holds a run",
    );
    let hot = "--max-steps 8 --set optimizer.lr=1e38 optimizer.start_lr=1e38";
    check(
        &tiny(&folder.path().join("hot"), hot),
        6,
        "diverged at step",
    );
}

#[test]
fn an_interrupt_leaves_a_checkpoint_and_exits_with_130() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let child = Command::new(env!("CARGO_BIN_EXE_ijepa"))
        .args(tiny(&run, ""))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !run.join("checkpoints/latest").exists() {
        sleep(Duration::from_millis(20));
    }
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("interrupted after step"), "{message}");
    let step: u64 = message
        .split("after step ")
        .nth(1)
        .and_then(|rest| rest.split(';').next()?.parse().ok())
        .unwrap();
    let state = fs::read_to_string(run.join("checkpoints/latest/state.json")).unwrap();
    assert!(state.contains(&format!("\"step\": {step},")), "{state}");
}
