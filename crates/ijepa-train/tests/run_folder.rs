//! Checkpoints of a run directory: which are kept, what a killed process leaves, and where a run
//! is found again after its directory was copied.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ijepa_model::{checkpoint::TrainingState, files::cannot};
use ijepa_train::{Recipe, Resume, TrainError, run::Folder};

/// Makes the checkpoint of `step`, a folder with a file that says `text`.
fn save(run: &Folder, step: u64, text: &str) {
    let fill = |folder: &Path| {
        fs::write(folder.join("text"), text).unwrap();
        fs::write(folder.join("optimizer.safetensors"), "").unwrap();
        let state = TrainingState {
            step: Some(step),
            ..TrainingState::default()
        };
        state.save(&folder.join("state.json"))
    };
    run.save(step, 2, fill).unwrap();
}

/// Names in the folder of checkpoints but the links, sorted.
fn names(run: &Folder) -> Vec<String> {
    let entries = fs::read_dir(run.path().join("checkpoints")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["latest", "best"].contains(&name.as_str()))
        .collect();
    names.sort_unstable();
    names
}

fn latest(run: &Folder) -> Result<PathBuf, TrainError> {
    run.start_from::<Recipe>(&Resume::Auto).map(Option::unwrap)
}

fn text(run: &Folder) -> String {
    fs::read_to_string(latest(run).unwrap().join("text")).unwrap()
}

#[test]
fn a_run_that_went_back_keeps_what_it_saves() {
    let folder = tempfile::tempdir().unwrap();
    let run = Folder::open(folder.path()).unwrap();
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

/// Also once it has passed the step that it went back from.
#[test]
fn a_run_that_went_back_keeps_its_own_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let run = Folder::open(folder.path()).unwrap();
    for (step, text) in [(8, "first"), (10, "first"), (8, "again"), (12, "second")] {
        save(&run, step, text);
    }
    assert_eq!(names(&run), ["step-12", "step-8"]);
}

#[test]
fn a_checkpoint_is_replaced_only_by_a_complete_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = Folder::open(folder.path()).unwrap();
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
    let aside = checkpoints.join(".step-3.Ab3dEf.old");
    fs::create_dir(&aside).unwrap();
    fs::rename(checkpoints.join("step-3"), aside.join("step-3")).unwrap();
    fs::create_dir(checkpoints.join(".step-3.Gh1jKl.tmp")).unwrap();
    let run = Folder::open(folder.path()).unwrap();
    assert_eq!(
        (text(&run).as_str(), names(&run)),
        ("second", vec!["step-3".into()])
    );
}

/// A directory with the checkpoints of steps 4 and 8, of which 4 is the best, after `change`.
fn changed(change: impl FnOnce(&Path)) -> (tempfile::TempDir, Folder) {
    let folder = tempfile::tempdir().unwrap();
    let run = Folder::open(folder.path()).unwrap();
    save(&run, 4, "four");
    save(&run, 8, "eight");
    run.mark_best(4, 2).unwrap();
    drop(run);
    change(folder.path());
    let run = Folder::open(folder.path()).unwrap();
    (folder, run)
}

#[test]
fn without_links_the_complete_checkpoint_of_the_most_steps_is_the_newest() {
    let unlink = |run: &Path| {
        for link in ["latest", "best"] {
            fs::remove_file(run.join("checkpoints").join(link)).unwrap();
        }
    };
    let (_folder, run) = changed(unlink);
    let error = run.start_from::<Recipe>(&Resume::Never).unwrap_err();
    assert!(matches!(error, TrainError::Exists { .. }), "{error}");
    assert_eq!(text(&run), "eight");
    save(&run, 9, "nine");
    assert_eq!((text(&run).as_str(), names(&run).len()), ("nine", 2));

    for part in ["state.json", "optimizer.safetensors"] {
        let (_folder, run) = changed(|run| {
            unlink(run);
            fs::remove_file(run.join("checkpoints/step-8").join(part)).unwrap();
        });
        assert_eq!(text(&run), "four", "{part}");
    }

    let unclear = |change: &dyn Fn(&Path)| {
        let (_folder, run) = changed(|run| {
            unlink(run);
            change(run);
        });
        let error = latest(&run).unwrap_err();
        assert!(matches!(error, TrainError::Unclear { .. }), "{error}");
        assert_eq!(names(&run), ["step-4", "step-8"]);
    };
    unclear(&|run| {
        for step in ["step-4", "step-8"] {
            fs::remove_file(run.join("checkpoints").join(step).join("state.json")).unwrap();
        }
    });
    // The run went back from step 8 and was at step 5 or 6.
    unclear(&|run| fs::write(run.join("metrics.csv"), "epoch,step\n0,3\n0,4\n").unwrap());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        // Follows links.
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => fs::copy(entry.path(), to.join(entry.file_name()))
                .map(|_| ())
                .unwrap(),
        }
    }
}

#[test]
fn a_copy_that_followed_links_goes_on() {
    let (original, run) = changed(|_| ());
    drop(run);
    for lost in [None, Some("step-4"), Some("step-8")] {
        let folder = tempfile::tempdir().unwrap();
        copy(original.path(), folder.path());
        if let Some(lost) = lost {
            fs::remove_dir_all(folder.path().join("checkpoints").join(lost)).unwrap();
        }
        let run = Folder::open(folder.path()).unwrap();
        assert_eq!(text(&run), "eight", "{lost:?}");
        assert_eq!(names(&run), ["step-4", "step-8"]);
        for step in [9, 10] {
            save(&run, step, "later");
        }
        assert_eq!(names(&run), ["step-10", "step-4", "step-9"]);
        let best = fs::read_link(folder.path().join("checkpoints/best")).unwrap();
        assert_eq!(best, Path::new("step-4"));
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let (theirs, other) = changed(|_| ());
    let (_folder, run) = changed(|_| ());
    let resume = |path: PathBuf| run.start_from::<Recipe>(&Resume::File(path));
    let error = resume(theirs.path().join("checkpoints/step-4")).unwrap_err();
    assert!(matches!(error, TrainError::OtherRun { .. }), "{error}");
    assert_eq!(names(&run), ["step-4", "step-8"]);
    let own = run.path().join("checkpoints/step-4");
    assert_eq!(resume(own.clone()).unwrap(), Some(own));
    // A run directory stands for its newest checkpoint.
    let newest = resume(run.path().to_owned()).unwrap().unwrap();
    assert_eq!(newest, run.path().join("checkpoints/latest"));
    // A new directory may begin anywhere.
    let new = tempfile::tempdir().unwrap();
    let new = Folder::open(new.path()).unwrap();
    let from = other.path().join("checkpoints/step-4");
    let found = new
        .start_from::<Recipe>(&Resume::File(from.clone()))
        .unwrap();
    assert_eq!(found, Some(from));
}

#[test]
fn a_run_of_another_kind_is_named() {
    let (_folder, run) = changed(|run| fs::write(run.join("finetune.toml"), "").unwrap());
    let start = || run.start_from::<Recipe>(&Resume::Auto);
    let error = start().unwrap_err();
    assert!(
        matches!(&error, TrainError::OtherKind { found, .. } if found == "finetune.toml"),
        "{error}"
    );
    fs::write(run.path().join("recipe.toml"), "").unwrap();
    assert!(start().unwrap().is_some());
}

#[test]
fn what_a_killed_process_was_writing_is_removed() {
    let (folder, run) = changed(|run| {
        fs::write(run.join(".environment.json.Ab12Cd.tmp"), "{").unwrap();
        fs::write(run.join(".page.html.Ab12Cd.tmp"), "<").unwrap();
    });
    drop(run);
    let left = |name: &str| folder.path().join(name).exists();
    assert!(!left(".environment.json.Ab12Cd.tmp"));
    // That may be of another process which writes its own.
    assert!(left(".page.html.Ab12Cd.tmp"));
}
