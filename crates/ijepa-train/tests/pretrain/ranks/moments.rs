//! Ranks that share the moments of the optimizer.

use std::{fs, sync::atomic::AtomicBool, thread};

use ijepa_train::{
    EpochScores, Learner,
    ranks::threads,
    run::{Columns, Observer, ObserverError, Position},
};

use super::{Images, column, observed, recipe, tensors, trained, until};

#[test]
fn ranks_that_share_moments_learn_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, overrides: &[&str], size| {
        let run = folder.path().join(name);
        trained(&run, overrides, size, 4);
        tensors(&run)
    };
    let alone = run("alone", &["optimizer.clip_grad=0.5"], 1);
    let shared = ["optimizer.clip_grad=0.5", "run.shard_optimizer=true"];
    for size in [1, 2, 3] {
        let together = run(&format!("shared-{size}"), &shared, size);
        assert!(together == alone, "{size}");
    }
}

#[test]
fn shared_moments_go_on_whole_and_whole_ones_shared() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    trained(&whole, &[], 1, 5);
    for (size, shared, step) in [
        (4, true, 1),
        (2, true, 2),
        (3, false, 3),
        (2, true, 4),
        (1, true, 5),
    ] {
        let shared = format!("run.shard_optimizer={shared}");
        trained(&parts, &[&shared], size, step);
    }
    assert!(tensors(&parts) == tensors(&whole));
    assert_eq!(column(&parts, "loss"), column(&whole, "loss"));
}

/// Scores that fall after the first epoch.
struct Falling;

impl Observer<Learner> for Falling {
    fn measure(
        &mut self,
        at: &Position,
        _: &Learner,
        _: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        let knn = Some(-(at.epochs as f64));
        Ok(Columns::from(EpochScores {
            knn,
            ..EpochScores::default()
        }))
    }
}

/// Rank 0 evaluates, but cannot save alone: the best epoch is one that would not have been saved.
#[test]
fn ranks_that_share_moments_save_what_rank_0_finds_best() {
    let folder = tempfile::tempdir().unwrap();
    let rare = ["run.checkpoint_every_steps=100", "run.shard_optimizer=true"];
    thread::scope(|scope| {
        for ranks in threads(2) {
            scope.spawn(|| {
                let (recipe, options, ranks) = (recipe(&rare), until(4), ranks);
                let observers: &mut [&mut dyn Observer<Learner>] = &mut [&mut Falling];
                observed(
                    folder.path(),
                    &recipe,
                    Images::new(),
                    &options,
                    ranks,
                    observers,
                )
                .unwrap();
            });
        }
    });
    let best = fs::read_link(folder.path().join("checkpoints/best")).unwrap();
    assert_eq!(best.to_str(), Some("step-2"));
    assert!(folder.path().join("checkpoints/step-4").is_dir());
}
