//! Runs of `pretrain`, and `knn` on what they leave behind.

use std::{fs, path::Path};

use crate::support::{
    Background, endless, ijepa, json, keys, metrics, path_text, send, text, tiny, tiny_on, words,
};

#[test]
fn a_run_reports_what_the_interface_promises_and_serves_its_weights() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let labelled = "--eval-data scenes:n=40,size=32,seed=1 --eval-test scenes:n=10,size=32,seed=2";
    let result = json(&tiny(&run, &format!("--seed 7 --max-steps 8 {labelled}")));
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

    let baselines = &result["baselines"];
    assert_eq!(baselines["target"]["centered"], result["knn"]);
    for kind in ["random", "pixels"] {
        assert!(baselines[kind]["centered"].is_number(), "{baselines}");
    }
    assert!(baselines["verdict"].is_string(), "{baselines}");
    let written = fs::read_to_string(run.join("baselines.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written, *baselines);

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
    // Random weights are those that the run began with.
    let random = json(&words(&format!(
        "knn --quiet --weights {weights} --encoder random --train scenes:n=40,size=32,seed=1 \
         --test scenes:n=10,size=32,seed=2 --k 20 --center"
    )));
    assert_eq!(random["k"]["20"]["top1"], baselines["random"]["centered"]);

    // What was found where the run ended is gone once it has gone on.
    text(&tiny(&run, "--seed 7 --max-steps 9"));
    assert!(!run.join("baselines.json").exists());
}

#[test]
fn a_precision_that_is_set_is_computed_in_as_one_that_a_flag_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let trained = |name: &str, precision: &str| {
        let run = folder.path().join(name);
        let said = ijepa(&tiny(&run, &format!("--max-steps 1 {precision}"))).stderr;
        let recipe = fs::read_to_string(run.join("recipe.toml")).unwrap_or_default();
        // Where it cannot be had, a warning or an error says so.
        assert!(
            said.contains("bf16") || recipe.contains("\"bf16\""),
            "{said}"
        );
        (said, recipe)
    };
    let flag = trained("flag", "--precision bf16");
    assert_eq!(trained("set", "--set run.precision=bf16"), flag);
}

#[test]
fn an_interrupt_leaves_a_checkpoint_and_exits_with_130() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let mut process = Background::start(&endless(&run, ""));
    process.wait_until(|| run.join("checkpoints/latest").exists());
    send("-INT", process.id());
    let (status, message) = process.end();
    assert_eq!(status.code(), Some(130), "{message}");
    assert!(message.contains("interrupted after step"), "{message}");
    let step: u64 = message
        .split("after step ")
        .nth(1)
        .and_then(|rest| rest.split(';').next()?.parse().ok())
        .unwrap();
    let state = fs::read_to_string(run.join("checkpoints/latest/state.json")).unwrap();
    assert!(state.contains(&format!("\"step\": {step},")), "{state}");
}

#[test]
fn stderr_that_is_no_terminal_gets_whole_lines_now_and_then() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let said = ijepa(&tiny_on("scenes:n=48,size=32", &run, "--max-steps 3")).stderr;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[0].split(" on ").next(),
        Some("48 images, 32 steps of 12 images")
    );
    assert!(lines.len() >= 4, "{said}");
    assert!(lines[1].starts_with("after step 0: rankme "), "{said}");
    for step in [1, 3] {
        // The scores of the end may come behind a step that was told late.
        let line = lines
            .iter()
            .find(|line| line.starts_with(&format!("step {step}/3")));
        let line = line.unwrap();
        let loss = &metrics(&run)[step][3];
        let loss: f64 = loss.parse().unwrap();
        assert!(
            line.starts_with(&format!("step {step}/3  loss {loss:.4}  ")),
            "{said}"
        );
        assert!(
            line.ends_with(" s left") && line.contains(" images/s  "),
            "{said}"
        );
    }
    assert!(!said.contains(['\r', '\x1b']), "{said:?}");
}

#[test]
fn a_changed_recipe_is_reported_when_a_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    assert_eq!(ijepa(&tiny(&run, "--max-steps 1")).stderr, "");
    assert_eq!(ijepa(&tiny(&run, "--max-steps 2")).stderr, "");
    let changes = "--max-steps 3 --seed 4 --set optimizer.lr=0.5";
    assert_eq!(
        ijepa(&tiny(&run, changes)).stderr,
        "warning: the recipe is not that of the checkpoint: optimizer.lr 0.001 -> 0.5, run.seed \
         0 -> 4\n"
    );
    assert_eq!(metrics(&run).len(), 4);
}

#[test]
fn what_no_run_can_do_exits_with_3_before_there_is_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = path_text(folder.path().join("run"));
    for (change, key) in [
        ("data.color_jitter=3", "data.color_jitter"),
        ("optimizer.warmup_epochs=9", "optimizer.warmup_epochs"),
    ] {
        let data = "scenes:n=32,size=32";
        let args = [
            "pretrain",
            "--recipe",
            "scenes_vit_nano",
            "--data",
            data,
            "--out",
            &out,
            "--set",
            change,
        ];
        let run = ijepa(&args);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert!(run.stderr.contains(key), "{run:?}");
        assert!(!Path::new(&out).exists(), "{change}");
    }
}
