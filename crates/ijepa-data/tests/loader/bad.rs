//! Images that cannot be used.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ijepa_data::{DataError, Loader, LoaderConfig, epoch_order};

use crate::fake::{Fake, level, no_image};
use crate::{config, loader};

#[test]
fn bad_images_are_replaced_and_listed_once() {
    for workers in [0, 3] {
        let source = Fake::new(40, |index, _| match index {
            7 | 8 => Err(no_image(index)),
            9 => panic!("no such level"),
            _ => level(index),
        });
        let mut loader = loader(source, config(workers, 0));
        for _ in 0..10 {
            let batch = loader.next_batch().unwrap();
            let order = epoch_order(3, batch.epoch, 40);
            let first = (batch.step % 5 * 8) as usize;
            for (place, &index) in batch.indices.iter().enumerate() {
                let next = |offset: usize| order[(first + place + offset) % 40];
                let expected = (0..40)
                    .map(next)
                    .find(|index| !(7..=9).contains(index))
                    .unwrap();
                assert_eq!(index, expected);
            }
            assert_eq!(batch.images.len(), 8 * 90);
        }
        let mut skipped = loader.skipped().to_vec();
        skipped.sort_by_key(|skipped| skipped.index);
        let listed: Vec<_> = skipped
            .iter()
            .map(|s| (s.path.as_str(), s.why.as_str()))
            .collect();
        assert_eq!(
            listed,
            [
                ("level-7", "`level-7` has no image"),
                ("level-8", "`level-8` has no image"),
                (
                    "level-9",
                    "`level-9` is damaged: its decoder gave up (no such level)"
                ),
            ]
        );
    }
}

#[test]
fn too_many_bad_images_stop_the_run_at_the_same_step() {
    let stops = [0, 1, 3].map(|workers| {
        let source = Fake::with_bad(40, 0..5);
        let mut loader = loader(source, config(workers, 0));
        let error = loader.by_ref().find_map(Result::err).unwrap();
        let DataError::TooManyBad {
            bad: 5,
            images: 40,
            allowed: 4,
            ..
        } = error
        else {
            panic!("{error}");
        };
        // The error is final.
        assert!(loader.next_batch().is_err());
        loader.next_step()
    });
    assert!(stops.iter().all(|&step| step == stops[0]), "{stops:?}");
}

#[test]
fn a_source_without_any_good_image_stops_even_if_all_may_be_bad() {
    let all = LoaderConfig {
        max_bad_fraction: 1.0,
        ..config(2, 0)
    };
    let mut loader = Loader::new(Arc::new(Fake::with_bad(10, 0..10)), all).unwrap();
    let error = loader.next_batch().unwrap_err();
    assert!(
        matches!(error, DataError::NothingReadable { images: 10, .. }),
        "{error}"
    );
}

/// Whose images are all bad hears of it once there are too many, not after as many for each place.
#[test]
fn no_more_images_are_read_than_show_that_too_many_are_bad() {
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let source = Fake::new(400, move |index, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Err(no_image(index))
    });
    let mut loader = loader(source, config(0, 0));
    let error = loader.next_batch().unwrap_err();
    assert!(
        matches!(error, DataError::TooManyBad { bad: 41, .. }),
        "{error}"
    );
    assert!(loader.next_batch().is_err());
    assert_eq!(read.load(Ordering::Relaxed), 41);
}

#[test]
fn who_is_told_to_stop_looks_for_no_image_that_stands_in_for_a_bad_one() {
    let (read, stop) = (AtomicUsize::new(0), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&stop);
    let source = Fake::new(400, move |index, _| {
        let before = read.fetch_add(1, Ordering::Relaxed);
        told.store(before == 9, Ordering::Relaxed);
        match before < 20 {
            true => Err(no_image(index)),
            false => level(index),
        }
    });
    let mut loader = loader(source, config(0, 0));
    assert_eq!(loader.next_batch_unless(&stop).unwrap(), None);
    assert!(stop.load(Ordering::Relaxed), "no image was read after it");
    // The tenth image is asked for again, and whatever comes after it.
    let batch = loader.next_batch_unless(&AtomicBool::new(false)).unwrap();
    assert_eq!(batch.unwrap().step, 0);
}

#[test]
fn a_small_set_may_have_a_bad_image_unless_none_is_allowed() {
    let with = |max_bad_fraction, bad| {
        let source = Arc::new(Fake::with_bad(31, 0..bad));
        let config = LoaderConfig {
            max_bad_fraction,
            ..config(2, 0)
        };
        Loader::new(source, config)
            .unwrap()
            .take(9)
            .find_map(Result::err)
    };
    assert!(with(0.01, 1).is_none());
    assert!(with(0.065, 2).is_none());
    assert!(with(0.0, 1).is_some());
    let message = with(0.01, 2).unwrap().to_string();
    let advice = "or allow a share of 0.065 or more (`data.max_bad_fraction` of recipes)";
    assert!(message.ends_with(advice), "{message}");
}
