//! What ends one rank ends all.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::AtomicBool},
};

use ijepa_data::DataError;
use ijepa_train::{TrainError, TrainOptions, ranks::Single};

use super::{Images, on_ranks, recipe, tensors, train, until};

/// Of the images of the second step one is away, which one rank finds out; what the first step
/// has learned is saved.
#[test]
fn a_rank_that_fails_ends_all_after_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let order = ijepa_data::epoch_order(recipe(&[]).run.seed, 0, 40);
    let last = order[2 * 18 - 1] as usize;
    let results = on_ranks(folder.path(), 3, |_| {
        let away = HashSet::from([last]);
        let images = Images {
            away,
            ..Images::new()
        };
        (recipe(&[]), images, until(4))
    });
    let errors: Vec<TrainError> = results.into_iter().map(Result::unwrap_err).collect();
    assert!(
        matches!(errors[0], TrainError::OtherRank { rank: 2 }),
        "{errors:?}"
    );
    assert!(
        matches!(errors[1], TrainError::OtherRank { rank: 2 }),
        "{errors:?}"
    );
    assert!(matches!(errors[2], TrainError::Data(_)), "{errors:?}");
    assert!(folder.path().join("checkpoints/step-1").is_dir());
    let run = folder.path();
    train(
        run,
        &recipe(&[]),
        Images::new(),
        &until(4),
        Single::shared(),
    )
    .unwrap();
    let whole = tempfile::tempdir().unwrap();
    train(
        whole.path(),
        &recipe(&[]),
        Images::new(),
        &until(4),
        Single::shared(),
    )
    .unwrap();
    assert!(tensors(run) == tensors(whole.path()));
}

/// Two of one rank and one of the other.
#[test]
fn unreadable_images_of_all_ranks_end_all() {
    let folder = tempfile::tempdir().unwrap();
    let order = ijepa_data::epoch_order(recipe(&[]).run.seed, 0, 40);
    let results = on_ranks(folder.path(), 2, |_| {
        let strict = recipe(&["data.max_bad_fraction=0.03"]);
        let damaged = [2, 7, 11].map(|place| order[place] as usize).into();
        let images = Images {
            damaged,
            ..Images::new()
        };
        (strict, images, until(4))
    });
    for result in results {
        let error = result.unwrap_err();
        let TrainError::Data(DataError::TooManyBad { bad, allowed, .. }) = &error else {
            panic!("{error}");
        };
        assert_eq!((*bad, *allowed), (3, 2));
    }
}

#[test]
fn a_request_to_stop_of_one_rank_stops_all() {
    let folder = tempfile::tempdir().unwrap();
    let results = on_ranks(folder.path(), 3, |rank| {
        let options = TrainOptions {
            stop: Arc::new(AtomicBool::new(rank == 1)),
            ..until(4)
        };
        (recipe(&[]), Images::new(), options)
    });
    for result in results {
        let summary = result.unwrap();
        assert!(summary.interrupted);
        assert_eq!(summary.steps, 0);
    }
    assert!(folder.path().join("checkpoints/step-0").is_dir());
}

#[test]
fn ranks_that_cannot_work_together_do_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let results = on_ranks(folder.path(), 3, |rank| {
        let seed = format!("run.seed={}", rank / 2);
        (recipe(&[&seed]), Images::new(), until(4))
    });
    for result in results {
        let error = result.unwrap_err();
        let said = "process 2 has other settings than process 0: `seed = 1` instead of `seed = 0`";
        assert_eq!(error.to_string(), said);
    }
    let results = on_ranks(folder.path(), 2, |_| {
        (recipe(&["run.micro_batch=18"]), Images::new(), until(4))
    });
    for result in results {
        let message = result.unwrap_err().to_string();
        assert!(message.starts_with("a step has 1 passes"), "{message}");
    }
}
