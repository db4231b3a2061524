//! Checkpoints of a run directory: which are kept, and what a killed process leaves.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{fs, io, path::Path};

use ijepa_model::files::cannot;
use ijepa_train::{Resume, RunFolder, TrainError};

/// Makes the checkpoint of `step`, a folder with a file that says `text`.
fn save(run: &RunFolder, step: u64, text: &str) {
    let create = |path: &Path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("text"), text).unwrap();
        Ok(())
    };
    run.save(step, 2, create).unwrap();
}

/// Names in the folder of checkpoints but the links, sorted.
fn names(run: &RunFolder) -> Vec<String> {
    let entries = fs::read_dir(run.path().join("checkpoints")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["latest", "best"].contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    names
}

fn text(run: &RunFolder) -> String {
    let latest = run.start_from(&Resume::Auto).unwrap().unwrap();
    fs::read_to_string(latest.join("text")).unwrap()
}

#[test]
fn a_run_that_went_back_keeps_what_it_saves() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    for step in [5, 9, 10] {
        save(&run, step, "first");
        if step == 5 {
            run.mark_best(5, 2).unwrap();
        }
    }
    assert_eq!(names(&run), ["step-10", "step-5", "step-9"]);
    // It goes on from the best.
    save(&run, 6, "second");
    assert_eq!(
        (text(&run).as_str(), names(&run)),
        ("second", vec!["step-5".into(), "step-6".into()])
    );
    save(&run, 7, "third");
    assert_eq!(names(&run), ["step-5", "step-6", "step-7"]);
}

#[test]
fn a_checkpoint_is_replaced_only_by_a_complete_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    save(&run, 3, "first");
    let error = run.save(3, 2, |path| {
        let full = io::ErrorKind::StorageFull.into();
        Err(cannot("write", path)(full).into())
    });
    assert!(matches!(error, Err(TrainError::Checkpoint(_))), "{error:?}");
    assert_eq!(text(&run), "first");
    save(&run, 3, "second");
    assert_eq!(
        (text(&run).as_str(), names(&run)),
        ("second", vec!["step-3".into()])
    );

    // A process that was killed while it wrote another.
    drop(run);
    let checkpoints = folder.path().join("checkpoints");
    fs::rename(
        checkpoints.join("step-3"),
        checkpoints.join(".step-3.replaced"),
    )
    .unwrap();
    fs::create_dir(checkpoints.join(".step-3.77.tmp")).unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    assert_eq!(
        (text(&run).as_str(), names(&run)),
        ("second", vec!["step-3".into()])
    );
}

#[test]
fn a_table_that_cannot_be_read_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    let (path, broken) = (folder.path().join("metrics.csv"), b"epoch,step\n0,\xff\n");
    fs::write(&path, broken).unwrap();
    let error = run.table("metrics.csv", "epoch,step", 1).unwrap_err();
    assert!(
        matches!(error, TrainError::Io { action: "read", .. }),
        "{error}"
    );
    assert_eq!(fs::read(&path).unwrap(), broken);
}
