//! The best checkpoint outlives newer ones, and a resumed run knows which it was.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{fs, path::Path, sync::atomic::AtomicBool};

use ijepa_data::DataSpec;
use ijepa_testkit::device;
use ijepa_train::{
    EpochScores, Learner, PretrainPlan, Recipe, Resume, TrainOptions, pretrain,
    run::{Columns, Folder, Observer, ObserverError, Position},
};
use serde_json::Value;

/// Scores of the epochs: rank, and kNN where there is one; and what they are measured on.
struct Scores(&'static [(f64, Option<f64>)], Option<&'static str>);

impl Observer<Learner> for Scores {
    fn measure(
        &mut self,
        at: &Position,
        _: &Learner,
        _: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        // Initial weights are never the best, whatever their scores.
        let random = (100.0, Some(100.0));
        let epoch = at.epochs.checked_sub(1);
        let (rankme, knn) = epoch.map_or(random, |epoch| self.0[epoch as usize]);
        Ok(Columns::from(EpochScores {
            rankme: Some(rankme),
            knn,
            ..EpochScores::default()
        }))
    }

    fn measured_on(&self) -> Option<Value> {
        self.1.map(Value::from)
    }
}

fn train(run: &Path, epochs: u64, scores: &'static [(f64, Option<f64>)]) {
    train_with(run, epochs, &mut Scores(scores, None));
}

/// Trains until `epochs` of one step each are over.
fn train_with(run: &Path, epochs: u64, scores: &mut Scores) {
    train_from(run, Resume::Auto, epochs, scores);
}

fn train_from(run: &Path, resume: Resume, epochs: u64, scores: &mut dyn Observer<Learner>) {
    let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
    let tiny = [
        "model.embed_dim=16",
        "model.depth=1",
        "model.predictor_dim=8",
        "model.predictor_depth=1",
        "mask.group_size=4",
        "run.batch_size=4",
        "run.keep_last=1",
        "optimizer.epochs=6",
        "optimizer.steps_per_epoch=1",
    ];
    let plan = PretrainPlan::new(recipe.with_overrides(&tiny).unwrap(), 8).unwrap();
    let source = "scenes:n=8,size=32"
        .parse::<DataSpec>()
        .unwrap()
        .open()
        .unwrap();
    let options = TrainOptions {
        max_steps: Some(epochs),
        resume,
        ..TrainOptions::default()
    };
    let folder = Folder::open(run).unwrap();
    pretrain(&plan, source, &folder, &device(), &options, &mut [scores]).unwrap();
}

fn checkpoints(run: &Path) -> (String, Vec<String>) {
    let folder = run.join("checkpoints");
    let best = fs::read_link(folder.join("best")).unwrap();
    let names = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut steps: Vec<String> = names.filter(|name| name.starts_with("step-")).collect();
    steps.sort();
    (best.to_str().unwrap().to_owned(), steps)
}

fn check(run: &Path, best: &str, steps: &[&str]) {
    assert_eq!(
        checkpoints(run),
        (
            best.to_owned(),
            steps.iter().map(|s| (*s).to_owned()).collect()
        )
    );
}

#[test]
fn the_best_checkpoint_is_kept_across_a_resumption() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    const SCORES: &[(f64, Option<f64>)] = &[
        (5.0, None),
        (9.0, None),
        (8.0, None),
        (7.0, None),
        (9.5, None),
        (1.0, None),
    ];
    train(run, 1, SCORES);
    check(run, "step-1", &["step-1"]);
    train(run, 4, SCORES);
    check(run, "step-2", &["step-2", "step-4"]);
    train(run, 5, SCORES);
    check(run, "step-5", &["step-5"]);
    train(run, 6, SCORES);
    check(run, "step-5", &["step-5", "step-6"]);
    let table = fs::read_to_string(run.join("epochs.csv")).unwrap();
    assert!(table.starts_with("epoch,step,rankme,knn,probe,rankme_centered,"));
    assert_eq!(table.lines().count(), 8);
}

#[test]
fn looking_back_without_a_step_moves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    const SCORES: &[(f64, Option<f64>)] = &[(5.0, None), (9.0, None), (9.5, None)];
    train(run, 2, SCORES);
    let earlier = run.join("checkpoints/step-2");
    train(run, 3, SCORES);
    check(run, "step-3", &["step-3"]);
    fs::create_dir(&earlier).unwrap();
    for file in fs::read_dir(run.join("checkpoints/step-3")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), earlier.join(file.file_name())).unwrap();
    }
    let state = fs::read_to_string(earlier.join("state.json")).unwrap();
    let state = state.replace("\"step\": 3", "\"step\": 2");
    fs::write(earlier.join("state.json"), state).unwrap();
    train_from(run, Resume::File(earlier), 2, &mut Scores(SCORES, None));
    check(run, "step-3", &["step-2", "step-3"]);
}

#[test]
fn labels_choose_before_ranks() {
    let folder = tempfile::tempdir().unwrap();
    const SCORES: &[(f64, Option<f64>)] = &[(5.0, Some(40.0)), (9.0, Some(30.0))];
    train(folder.path(), 2, SCORES);
    check(folder.path(), "step-1", &["step-1", "step-2"]);
}

/// Steps and neighbours of `epochs.csv`.
fn neighbours(run: &Path) -> Vec<(String, String)> {
    let table = fs::read_to_string(run.join("epochs.csv")).unwrap();
    let cell = |line: &str, at: usize| line.split(',').nth(at).unwrap().to_owned();
    let header = table.lines().next().unwrap();
    let knn = header.split(',').position(|name| name == "knn").unwrap();
    let rows = table.lines().skip(1);
    rows.map(|line| (cell(line, 1), cell(line, knn))).collect()
}

#[test]
fn scores_of_other_data_are_kept_but_not_compared() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    let rows = |rows: &[(u64, &str)]| -> Vec<(String, String)> {
        let text = |&(step, knn): &(u64, &str)| (step.to_string(), knn.to_owned());
        rows.iter().map(text).collect()
    };
    let first = &[(9.0, Some(30.0)), (9.0, Some(50.0)), (9.0, Some(40.0))];
    train_with(run, 3, &mut Scores(first, Some("a")));
    let mut expected = rows(&[(0, "100"), (1, "30"), (2, "50"), (3, "40")]);
    assert_eq!(neighbours(run), expected);
    check(run, "step-2", &["step-2", "step-3"]);

    // Where it stands is measured once more; the best of before is kept, but no longer the best.
    let second = &[
        (9.0, None),
        (9.0, None),
        (9.0, Some(10.0)),
        (9.0, Some(12.0)),
    ];
    train_with(run, 3, &mut Scores(second, Some("b")));
    expected.extend(rows(&[(3, "10")]));
    assert_eq!(neighbours(run), expected);
    check(run, "step-3", &["step-2", "step-3"]);
    let warnings = fs::read_to_string(run.join("warnings.csv")).unwrap();
    assert!(
        warnings.contains("3,\"scores up to step 3 were measured on other"),
        "{warnings}"
    );
    train_with(run, 4, &mut Scores(second, Some("b")));
    expected.extend(rows(&[(4, "12")]));
    assert_eq!(neighbours(run), expected);
    check(run, "step-4", &["step-2", "step-4"]);

    // Known scores are not measured again, and ranks do not choose where labels did.
    let other = &[(9.0, Some(1.0)); 5];
    train_with(run, 4, &mut Scores(other, Some("b")));
    train_with(run, 4, &mut Scores(other, None));
    assert_eq!(neighbours(run), expected);
    let text = fs::read_to_string(run.join("warnings.csv")).unwrap();
    assert_eq!(text, warnings);
    let ranks = &[(9.0, None); 5];
    train_with(run, 5, &mut Scores(ranks, Some("c")));
    check(run, "step-4", &["step-2", "step-4", "step-5"]);
    // The best of each time stays, however low its scores.
    let last = &[(9.0, Some(5.0)); 7];
    train_with(run, 6, &mut Scores(last, Some("d")));
    let (_, steps) = checkpoints(run);
    for kept in ["step-2", "step-4", "step-6"] {
        assert!(steps.iter().any(|step| step == kept), "{steps:?}");
    }
}

/// Measures nothing, on data of which some is missing.
struct Incomplete;

impl Observer<Learner> for Incomplete {
    fn faults(&self) -> Vec<String> {
        vec!["`b.tar` stops early".to_owned()]
    }
}

#[test]
fn what_is_missing_of_the_data_of_an_evaluation_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    train_from(folder.path(), Resume::Auto, 1, &mut Incomplete);
    let warnings = fs::read_to_string(folder.path().join("warnings.csv")).unwrap();
    assert_eq!(warnings, "step,warning\n0,\"`b.tar` stops early\"\n");
}

#[test]
fn a_table_of_an_older_version_gets_the_new_columns() {
    let folder = tempfile::tempdir().unwrap();
    const SCORES: &[(f64, Option<f64>)] = &[(5.0, None), (9.0, None)];
    train(folder.path(), 1, SCORES);
    let path = folder.path().join("epochs.csv");
    fs::write(&path, "epoch,step,rankme,knn,probe\n0,1,5,,\n").unwrap();
    train(folder.path(), 2, SCORES);
    let table = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[1], "0,1,5,,");
    assert_eq!(lines[0].split(',').count(), lines[2].split(',').count());
    check(folder.path(), "step-2", &["step-2"]);
}
