//! What a run saves when it ends badly.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{path::Path, sync::Arc};

use ijepa_data::{DataError, RgbImage8, Source};
use ijepa_model::Checkpoint;
use ijepa_testkit::device;
use ijepa_train::{
    EpochScores, Hook, HookError, Learner, PretrainPlan, Recipe, RunDir, TrainError, TrainOptions,
    pretrain,
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

fn train(run: &Path, overrides: &[&str], hooks: &mut [&mut dyn Hook]) -> TrainError {
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
    let options = TrainOptions::default();
    pretrain(&plan, Arc::new(Plain), &mut run, &device(), &options, hooks).unwrap_err()
}

fn saved_step(run: &Path) -> Option<u64> {
    Checkpoint::open(run)
        .ok()
        .and_then(|checkpoint| checkpoint.state.step)
}

#[test]
fn a_collapsed_run_keeps_the_step_that_it_has_taken() {
    let folder = tempfile::tempdir().unwrap();
    let error = train(folder.path(), &["run.on_collapse=stop"], &mut []);
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
    let error = train(folder.path(), &hot, &mut []);
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
    let error = train(folder.path(), &[], &mut [&mut Failing]);
    assert!(matches!(error, TrainError::Hook(_)), "{error}");
    assert_eq!(saved_step(folder.path()), Some(2));
}
