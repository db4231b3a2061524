//! What a run leaves behind, and what ends it or keeps it from beginning.

use std::fs;

use ijepa_model::Checkpoint;
use ijepa_testkit::run::metrics;
use ijepa_train::{Recipe, Resume, TrainError, TrainOptions, run::Folder};

use crate::support::{recipe, train, until};

#[test]
fn a_run_leaves_everything_its_directory_promises() {
    let folder = tempfile::tempdir().unwrap();
    let summary = train(folder.path(), recipe(&[]), &until(8)).unwrap();
    assert_eq!((summary.steps, summary.images), (8, 96));
    assert!(summary.loss_last.is_finite());
    assert!(summary.signals.get("feature_std") > Some(0.05));
    let rows = metrics(folder.path());
    assert_eq!(rows[0][..4], ["epoch", "step", "images", "loss"]);
    let steps: Vec<&str> = rows[1..].iter().map(|row| row[1].as_str()).collect();
    assert_eq!(steps, ["0", "3", "6", "7"]);
    assert_eq!(rows[3][..3], ["1", "6", "84"]);

    let saved = fs::read_to_string(folder.path().join("recipe.toml")).unwrap();
    assert_eq!(
        Recipe::from_toml(&saved, "recipe.toml").unwrap(),
        recipe(&[])
    );
    let events = fs::read_dir(folder.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("events.out.tfevents")
    });
    assert_eq!(events.count(), 1);
    // Two checkpoints of two epochs are kept, and the newest opens as any checkpoint does.
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(
        (checkpoint.state.step, checkpoint.state.epoch),
        (Some(8), 2)
    );
    assert!(folder.path().join("checkpoints/step-4").is_dir());
}

#[test]
fn a_second_process_and_a_second_run_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let held = Folder::open(folder.path()).unwrap();
    let error = Folder::open(folder.path()).unwrap_err();
    assert!(matches!(error, TrainError::InUse { .. }), "{error}");
    drop(held);
    train(folder.path(), recipe(&[]), &until(1)).unwrap();
    let never = TrainOptions {
        resume: Resume::Never,
        ..until(2)
    };
    let error = train(folder.path(), recipe(&[]), &never).unwrap_err();
    assert!(matches!(error, TrainError::Exists { .. }), "{error}");
    let error = train(folder.path(), recipe(&["model.depth=2"]), &until(2)).unwrap_err();
    assert!(matches!(error, TrainError::OtherRecipe { .. }), "{error}");
}

#[test]
fn divergence_names_the_step_and_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let hot = recipe(&[
        "optimizer.lr=1e38",
        "optimizer.start_lr=1e38",
        "run.log_every_steps=1",
    ]);
    match train(folder.path(), hot, &until(8)).unwrap_err() {
        TrainError::Diverged { step, tensor } => {
            assert!(step > 0, "{step}");
            assert!(tensor.starts_with("gradient of "), "{tensor}");
        }
        other => panic!("{other}"),
    }
}
