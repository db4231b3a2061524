//! What a run saves, counts and says when it ends, well or badly.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod data;
mod diverged;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use ijepa_data::{DataError, FetchError, Fetched, Reading, Retry, RgbImage8, Source};
use ijepa_model::Checkpoint;
use ijepa_testkit::{device, npy};
use ijepa_train::{
    EpochScores, Learner, PretrainPlan, Recipe, TrainError, TrainOptions, TrainSummary, pretrain,
    run::{Columns, Folder, Observer, ObserverError, Position},
};

/// Images of one color.
#[derive(Debug)]
struct Plain;

impl Source for Plain {
    fn len(&self) -> usize {
        16
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn fetch(&self, _: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let image = RgbImage8::new(32, 32, vec![200; 32 * 32 * 3])?;
        Ok(Fetched::Pixels(image.into()))
    }
}

fn train(
    run: &Path,
    overrides: &[&str],
    options: &TrainOptions,
    observers: &mut [&mut dyn Observer<Learner>],
) -> Result<TrainSummary, TrainError> {
    train_on(Arc::new(Plain), run, overrides, options, observers)
}

fn train_on(
    source: Arc<dyn Source>,
    run: &Path,
    overrides: &[&str],
    options: &TrainOptions,
    observers: &mut [&mut dyn Observer<Learner>],
) -> Result<TrainSummary, TrainError> {
    let tiny = [
        "model.embed_dim=16",
        "model.depth=1",
        "model.predictor_dim=8",
        "model.predictor_depth=1",
        "mask.group_size=4",
        "run.batch_size=4",
        "run.on_collapse=warn",
        "optimizer.steps_per_epoch=2",
    ];
    let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
    let recipe = recipe.with_overrides(&tiny).unwrap();
    let plan = PretrainPlan::new(recipe.with_overrides(overrides).unwrap(), source.len()).unwrap();
    let folder = Folder::open(run).unwrap();
    Ok(pretrain(&plan, source, &folder, &device(), options, observers)?.0)
}

fn failure(
    run: &Path,
    overrides: &[&str],
    observers: &mut [&mut dyn Observer<Learner>],
) -> TrainError {
    train(run, overrides, &TrainOptions::default(), observers).unwrap_err()
}

fn up_to(step: u64) -> TrainOptions {
    TrainOptions {
        max_steps: Some(step),
        ..TrainOptions::default()
    }
}

fn saved_step(run: &Path) -> Option<u64> {
    Checkpoint::open(run)
        .ok()
        .and_then(|checkpoint| checkpoint.state.step)
}

/// Keeps the warnings of a run.
#[derive(Default)]
struct Warned(Vec<String>);

impl Observer<Learner> for Warned {
    fn on_warning(&mut self, warning: &str) {
        self.0.push(warning.to_owned());
    }
}

#[test]
fn a_collapsed_run_keeps_the_step_that_it_has_taken() {
    let folder = tempfile::tempdir().unwrap();
    let error = failure(folder.path(), &["run.on_collapse=stop"], &mut []);
    assert!(
        matches!(error, TrainError::Collapsed { step: 0, .. }),
        "{error}"
    );
    assert_eq!(saved_step(folder.path()), Some(1));
}

#[test]
fn a_collapse_is_a_warning_once_and_known_when_nothing_is_left_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let often = ["run.log_every_steps=1"];
    let train = |observers: &mut [&mut dyn Observer<Learner>]| {
        train(folder.path(), &often, &up_to(3), observers).unwrap()
    };
    let mut warned = Warned::default();
    let collapse = train(&mut [&mut warned]).collapse.unwrap();
    assert_eq!(warned.0.len(), 1);
    assert!(warned.0[0].starts_with("this run looks collapsed: "));
    assert_eq!(train(&mut []).collapse, Some(collapse));
}

#[test]
fn a_run_whose_checkpoints_are_gone_says_that_it_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let often = ["run.log_every_steps=1"];
    let mut warned = Warned::default();
    train(folder.path(), &often, &up_to(3), &mut []).unwrap();
    std::fs::remove_dir_all(folder.path().join("checkpoints")).unwrap();
    train(folder.path(), &often, &up_to(1), &mut [&mut warned]).unwrap();
    let expected = "there is no checkpoint of the 3 steps that this run has made; it begins anew";
    assert_eq!(warned.0[0], expected);
}

struct Failing;

impl Observer<Learner> for Failing {
    fn measure(
        &mut self,
        at: &Position,
        _: &Learner,
        _: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        match at.step {
            0 => Ok(Columns::default()),
            _ => Err("no labels".into()),
        }
    }
}

#[test]
fn an_epoch_whose_evaluation_fails_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let rarely = ["run.checkpoint_every_steps=100"];
    let error = failure(folder.path(), &rarely, &mut [&mut Failing]);
    assert!(matches!(error, TrainError::Evaluation(_)), "{error}");
    assert_eq!(saved_step(folder.path()), Some(2));
}

/// Takes long to measure what has been saved before.
struct Slow {
    run: PathBuf,
    measured: u32,
}

const SLOW: Duration = Duration::from_millis(20);

impl Observer<Learner> for Slow {
    fn measure(
        &mut self,
        at: &Position,
        _: &Learner,
        _: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        assert_eq!(
            saved_step(&self.run),
            Some(at.step).filter(|&step| step > 0)
        );
        self.measured += 1;
        sleep(SLOW);
        Ok(Columns::of([("knn", f64::from(self.measured))]))
    }
}

#[test]
fn an_epoch_is_saved_before_it_is_measured_and_only_steps_are_timed() {
    let folder = tempfile::tempdir().unwrap();
    let mut slow = Slow {
        run: folder.path().to_owned(),
        measured: 0,
    };
    let options = TrainOptions {
        max_steps: Some(9),
        ..TrainOptions::default()
    };
    let began = Instant::now();
    let every = ["run.log_every_steps=1"];
    let summary = train(folder.path(), &every, &options, &mut [&mut slow]).unwrap();
    let elapsed = began.elapsed();
    assert_eq!(slow.measured, 6);
    // A sleep takes as long as it is told to, or longer.
    let rest = (elapsed - slow.measured * SLOW).as_secs_f64();
    let table = fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
    let column = table.split(',').position(|name| name == "step_ms").unwrap();
    let times = table
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(column));
    let times = times.map(|time| time.unwrap().parse::<f64>().unwrap());
    let steps: f64 = times.sum();
    assert!(steps / 1e3 <= rest + 1e-3, "{steps} ms, {rest} s");
    // Its first step is left out of the whole speed.
    let images = summary.images as f64 - 4.0;
    assert!(summary.images_per_s * rest >= images, "{summary:?}");
}

/// Says how many images the run has seen, in a score.
struct Seen;

impl Observer<Learner> for Seen {
    fn measure(
        &mut self,
        at: &Position,
        _: &Learner,
        _: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        let knn = Some(at.images as f64);
        Ok(Columns::from(EpochScores {
            knn,
            ..EpochScores::default()
        }))
    }
}

#[test]
fn a_run_that_ends_between_logged_steps_and_epochs_says_where_it_ended() {
    let until = |run: &Path, step, every: &str, observers: &mut [&mut dyn Observer<Learner>]| {
        let options = TrainOptions {
            max_steps: Some(step),
            ..TrainOptions::default()
        };
        train(run, &[every], &options, observers).unwrap()
    };
    let [all, some] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let each = until(all.path(), 5, "run.log_every_steps=1", &mut []);
    let every = "run.log_every_steps=10";
    let few = until(some.path(), 5, every, &mut [&mut Seen]);
    assert_eq!(few.loss_last, each.loss_last);
    assert_eq!(few.signals, each.signals);
    assert_ne!(few.loss_first, few.loss_last);
    assert_eq!(few.scores().get("knn"), Some(20.0));
    let text = |name: &str| fs::read_to_string(some.path().join(name)).unwrap();
    let logged = || {
        let steps = |line: &str| line.split(',').nth(1).unwrap().to_owned();
        text("metrics.csv")
            .lines()
            .skip(1)
            .map(steps)
            .collect::<Vec<_>>()
    };
    assert_eq!(logged(), ["0", "4"]);
    // The beginning and two epochs have a row, and the end within a third has one without an epoch.
    let rows = [
        ",0,,0,,,,,,",
        "0,2,,8,,,,,,",
        "1,4,,16,,,,,,",
        ",5,,20,,,,,,",
    ];
    assert_eq!(text("epochs.csv").lines().collect::<Vec<_>>()[1..], rows);

    // Nothing is left to do, and still there is something to say.
    let again = until(some.path(), 5, every, &mut [&mut Seen]);
    assert_eq!((again.steps, again.scores().get("knn")), (5, Some(20.0)));
    // The file has it in decimal digits.
    assert!((again.loss_last - few.loss_last).abs() < 1e-12);

    // Gone on from there, the run has no row that it would not have had without an end.
    until(some.path(), 7, every, &mut [&mut Seen]);
    assert_eq!(logged(), ["0", "6"]);
    let rows = [
        ",0,,0,,,,,,",
        "0,2,,8,,,,,,",
        "1,4,,16,,,,,,",
        "2,6,,24,,,,,,",
        ",7,,28,,,,,,",
    ];
    assert_eq!(text("epochs.csv").lines().collect::<Vec<_>>()[1..], rows);
}

/// Asks the run to stop after an epoch.
struct Stopping(Arc<AtomicBool>);

impl Observer<Learner> for Stopping {
    fn measure(
        &mut self,
        at: &Position,
        _: &Learner,
        stop: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        self.0.store(at.step > 0, Ordering::Relaxed);
        assert_eq!(stop.load(Ordering::Relaxed), at.step > 0);
        Ok(Columns::default())
    }
}

#[test]
fn a_run_that_is_asked_to_stop_says_its_last_loss() {
    let until_two = TrainOptions {
        max_steps: Some(2),
        ..TrainOptions::default()
    };
    let asked = TrainOptions::default();
    let mut stopping = Stopping(Arc::clone(&asked.stop));
    let every = ["run.log_every_steps=10"];
    let [limited, stopped] = [
        (until_two, &mut [] as &mut [&mut dyn Observer<Learner>]),
        (asked, &mut [&mut stopping]),
    ]
    .map(|(options, observers)| {
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), &every, &options, observers).unwrap()
    });
    assert_eq!((stopped.steps, stopped.interrupted), (2, true));
    assert_eq!(stopped.loss_last, limited.loss_last);
    assert_ne!(stopped.loss_last, stopped.loss_first);
}

/// A run until `step` that nobody watches.
fn until(run: &Path, step: u64, overrides: &[&str]) -> Result<TrainSummary, TrainError> {
    let options = TrainOptions {
        max_steps: Some(step),
        ..TrainOptions::default()
    };
    train(run, overrides, &options, &mut [])
}

/// The numbers of a column of `metrics.csv`.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(run.join("metrics.csv")).unwrap();
    let mut lines = text.lines();
    let mut header = lines.next().unwrap().split(',');
    let column = header.position(|found| found == name).unwrap();
    let cells = lines.map(|line| line.split(',').nth(column).unwrap());
    cells.map(|cell| cell.parse().unwrap()).collect()
}

#[test]
fn the_mean_loss_is_that_of_the_steps_since_the_last_row() {
    let [each, some] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    until(each.path(), 8, &["run.log_every_steps=1"]).unwrap();
    // The rest of a row survives a resumption.
    for stop in [5, 8] {
        until(some.path(), stop, &["run.log_every_steps=3"]).unwrap();
    }
    let losses = column(each.path(), "loss");
    assert_eq!(column(each.path(), "loss_mean"), losses);
    // Its last row is that of its end.
    let means = [0..1, 1..4, 4..7, 7..8].map(|steps| {
        let count = steps.len() as f64;
        losses[steps].iter().sum::<f64>() / count
    });
    assert_eq!(column(some.path(), "loss_mean"), means);
}

#[test]
fn images_are_counted_whatever_the_batches_were() {
    let folder = tempfile::tempdir().unwrap();
    until(folder.path(), 2, &["run.log_every_steps=1"]).unwrap();
    let larger = ["run.batch_size=8", "run.log_every_steps=1"];
    let summary = until(folder.path(), 4, &larger).unwrap();
    assert_eq!(summary.images, 2 * 4 + 2 * 8);
    assert_eq!(column(folder.path(), "images"), [4.0, 8.0, 16.0, 24.0]);
    // Nothing left to do, and no image forgotten.
    assert_eq!(until(folder.path(), 4, &larger).unwrap().images, 24);
}
