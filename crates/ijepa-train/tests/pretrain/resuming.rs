//! Runs that go on where they were stopped, also with another recipe.

use std::sync::atomic::Ordering;

use ijepa_testkit::{
    device,
    run::{metrics, tensors},
};
use ijepa_train::{
    PretrainPlan, TrainOptions, pretrain,
    run::{Folder, Observer, Resumption},
};

use crate::support::{recipe, source, train, until};

#[test]
fn a_run_that_is_told_to_stop_before_its_first_step_begins_later() {
    let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    train(whole.path(), recipe(&[]), &until(2)).unwrap();
    let options = until(2);
    options.stop.store(true, Ordering::Relaxed);
    let summary = train(stopped.path(), recipe(&[]), &options).unwrap();
    assert_eq!((summary.steps, summary.interrupted), (0, true));
    let summary = train(stopped.path(), recipe(&[]), &until(2)).unwrap();
    assert_eq!((summary.steps, summary.interrupted), (2, false));
    assert_eq!(tensors(stopped.path()), tensors(whole.path()));
}

#[test]
fn resuming_anywhere_reproduces_the_uninterrupted_run_bit_for_bit() {
    let whole = tempfile::tempdir().unwrap();
    train(whole.path(), recipe(&[]), &until(10)).unwrap();
    for workers in [0, 1, 2, 4] {
        let parts = tempfile::tempdir().unwrap();
        for stop in [1, 4, 5, 10] {
            let options = TrainOptions {
                workers,
                ..until(stop)
            };
            train(parts.path(), recipe(&[]), &options).unwrap();
        }
        assert_eq!(
            metrics(parts.path()),
            metrics(whole.path()),
            "{workers} workers"
        );
        assert_eq!(
            tensors(parts.path()),
            tensors(whole.path()),
            "{workers} workers"
        );
    }
}

#[derive(Default)]
struct Resumed(Option<Resumption>);

impl<L> Observer<L> for Resumed {
    fn on_resume(&mut self, from: &Resumption) {
        assert_eq!(self.0.replace(from.clone()), None);
    }
}

#[test]
fn a_resumed_run_says_what_it_does_differently_and_does_it() {
    let folder = tempfile::tempdir().unwrap();
    let resume = |overrides: &[&str], last: u64| {
        let (source, mut resumed) = (source(), Resumed::default());
        let plan = PretrainPlan::new(recipe(overrides), source.len()).unwrap();
        let (run, options) = (Folder::open(folder.path()).unwrap(), until(last));
        let observers: &mut [&mut dyn Observer<_>] = &mut [&mut resumed];
        pretrain(&plan, source, &run, &device(), &options, observers).unwrap();
        resumed.0
    };
    assert_eq!(resume(&[], 2), None);
    let unchanged = |step| {
        let changed = Vec::new();
        Some(Resumption { step, changed })
    };
    // What is only kept of a run may change without a word.
    let kept = [
        "run.keep_last=1",
        "run.log_every_steps=1",
        "run.kernels=reference",
    ];
    assert_eq!(resume(&kept, 3), unchanged(2));
    assert_eq!(resume(&[], 4), unchanged(3));
    let changes = [
        "optimizer.lr=0.5",
        "optimizer.warmup_epochs=0",
        "ema.start=0.25",
        "mask.num_targets=2",
        "objective.loss=mse",
        "data.flip=false",
        "run.batch_size=6",
        "run.seed=9",
        "run.log_every_steps=1",
    ];
    let from = resume(&changes, 5).unwrap();
    let changed: Vec<String> = from
        .changed
        .iter()
        .map(|(key, old, new)| format!("{key} {old} -> {new}"))
        .collect();
    assert_eq!(from.step, 4);
    assert_eq!(
        changed,
        [
            "data.flip true -> false",
            "ema.start 0.995 -> 0.25",
            "mask.num_targets 4 -> 2",
            "objective.loss \"smooth_l1\" -> \"mse\"",
            "optimizer.lr 0.001 -> 0.5",
            "optimizer.warmup_epochs 0.8 -> 0.0",
            "run.batch_size 12 -> 6",
            "run.seed 0 -> 9",
        ]
    );
    let last = metrics(folder.path()).pop().unwrap();
    let lr: f64 = last[4].parse().unwrap();
    assert!(last[1] == "4" && lr > 0.3, "{last:?}");
}
