//! What a run saves and says when it ends, well or badly.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ijepa_data::{DataError, RgbImage8, Source};
use ijepa_model::Checkpoint;
use ijepa_testkit::device;
use ijepa_train::{
    EpochScores, Hook, HookError, Learner, PretrainPlan, Recipe, RunDir, TrainError, TrainOptions,
    TrainSummary, pretrain,
};

/// Images of one color.
#[derive(Debug)]
struct Plain;

impl Source for Plain {
    fn len(&self) -> usize {
        16
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn read(&self, _: usize) -> Result<RgbImage8, DataError> {
        RgbImage8::new(32, 32, vec![200; 32 * 32 * 3])
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

fn train(
    run: &Path,
    overrides: &[&str],
    options: &TrainOptions,
    hooks: &mut [&mut dyn Hook],
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
    let recipe = Recipe::preset("scenes_vit_nano").unwrap();
    let recipe = recipe.with_overrides(&tiny).unwrap();
    let plan = PretrainPlan::new(recipe.with_overrides(overrides).unwrap(), Plain.len()).unwrap();
    let mut run = RunDir::open(run).unwrap();
    Ok(pretrain(&plan, Arc::new(Plain), &mut run, &device(), options, hooks)?.0)
}

fn failure(run: &Path, overrides: &[&str], hooks: &mut [&mut dyn Hook]) -> TrainError {
    train(run, overrides, &TrainOptions::default(), hooks).unwrap_err()
}

fn saved_step(run: &Path) -> Option<u64> {
    Checkpoint::open(run)
        .ok()
        .and_then(|checkpoint| checkpoint.state.step)
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
fn weights_that_are_no_numbers_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    // The first step is logged and harmless.
    let hot = [
        "optimizer.start_lr=1e-3",
        "optimizer.lr=1e38",
        "optimizer.warmup_epochs=1",
        "run.log_every_steps=1000",
    ];
    let error = failure(folder.path(), &hot, &mut []);
    let TrainError::Diverged { step: 1, tensor } = &error else {
        panic!("{error}");
    };
    assert!(tensor.starts_with("parameter "), "{tensor}");
    assert_eq!(saved_step(folder.path()), None);
}

struct Failing;

impl Hook for Failing {
    fn on_epoch(&mut self, _: u64, _: &Learner) -> Result<EpochScores, HookError> {
        Err("no labels".into())
    }
}

#[test]
fn an_epoch_whose_evaluation_fails_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let error = failure(folder.path(), &[], &mut [&mut Failing]);
    assert!(matches!(error, TrainError::Hook(_)), "{error}");
    assert_eq!(saved_step(folder.path()), Some(2));
}

/// Says how many images the run has seen where it ended, in a score.
struct Seen;

impl Hook for Seen {
    fn on_epoch(&mut self, _: u64, _: &Learner) -> Result<EpochScores, HookError> {
        Ok(scored(-1.0))
    }

    fn on_end(&mut self, images: u64, _: &Learner) -> Result<EpochScores, HookError> {
        Ok(scored(images as f64))
    }
}

fn scored(knn: f64) -> EpochScores {
    EpochScores {
        knn: Some(knn),
        ..EpochScores::default()
    }
}

#[test]
fn a_run_that_ends_between_logged_steps_and_epochs_says_where_it_ended() {
    let until = |run: &Path, step, every: &str, hooks: &mut [&mut dyn Hook]| {
        let options = TrainOptions {
            max_steps: Some(step),
            ..TrainOptions::default()
        };
        train(run, &[every], &options, hooks).unwrap()
    };
    let [all, some] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let each = until(all.path(), 5, "run.log_every_steps=1", &mut []);
    let every = "run.log_every_steps=10";
    let few = until(some.path(), 5, every, &mut [&mut Seen]);
    assert_eq!(few.loss_last, each.loss_last);
    assert_eq!(few.feature_std, each.feature_std);
    assert_ne!(few.loss_first, few.loss_last);
    assert_eq!(few.scores.knn, Some(20.0));
    // Two epochs have a row; the end has none.
    let rows = |name: &str| {
        fs::read_to_string(some.path().join(name))
            .unwrap()
            .lines()
            .count()
    };
    assert_eq!((rows("metrics.csv"), rows("epochs.csv")), (2, 3));

    // Nothing is left to do, and still there is something to say.
    let again = until(some.path(), 5, every, &mut [&mut Seen]);
    assert_eq!((again.steps, again.scores.knn), (5, Some(20.0)));
    // The file has it in decimal digits.
    assert!((again.loss_last - few.loss_last).abs() < 1e-12);
}

/// Asks the run to stop after an epoch.
struct Stopping(Arc<AtomicBool>);

impl Hook for Stopping {
    fn on_epoch(&mut self, _: u64, _: &Learner) -> Result<EpochScores, HookError> {
        self.0.store(true, Ordering::Relaxed);
        Ok(EpochScores::default())
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
        (until_two, &mut [] as &mut [&mut dyn Hook]),
        (asked, &mut [&mut stopping]),
    ]
    .map(|(options, hooks)| {
        let folder = tempfile::tempdir().unwrap();
        train(folder.path(), &every, &options, hooks).unwrap()
    });
    assert_eq!((stopped.steps, stopped.interrupted), (2, true));
    assert_eq!(stopped.loss_last, limited.loss_last);
    assert_ne!(stopped.loss_last, stopped.loss_first);
}
