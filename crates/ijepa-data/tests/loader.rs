//! The loader: what each batch holds does not depend on how it is prepared.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ijepa_data::{Augment, Batch, DataError, Loader, LoaderConfig, RgbImage8, Source, epoch_order};

/// Images of one grey level, their index; those in `bad` cannot be read.
#[derive(Debug)]
struct Levels {
    len: usize,
    bad: HashSet<usize>,
    panics: HashSet<usize>,
    delay: Duration,
    reads: AtomicUsize,
}

impl Levels {
    fn new(len: usize) -> Self {
        let delay = Duration::ZERO;
        let reads = AtomicUsize::new(0);
        Self {
            len,
            bad: HashSet::new(),
            panics: HashSet::new(),
            delay,
            reads,
        }
    }

    fn with_bad(len: usize, bad: impl IntoIterator<Item = usize>) -> Self {
        Self {
            bad: bad.into_iter().collect(),
            ..Self::new(len)
        }
    }
}

impl Source for Levels {
    fn len(&self) -> usize {
        self.len
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn name(&self, index: usize) -> String {
        format!("level-{index}")
    }

    fn read(&self, index: usize) -> Result<RgbImage8, DataError> {
        std::thread::sleep(self.delay);
        self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics.contains(&index), "no such level");
        if self.bad.contains(&index) {
            return Err(DataError::MissingImage {
                name: self.name(index),
            });
        }
        // A gradient in red, so that different crops of one image differ.
        let pixels = (0..20 * 16).flat_map(|at| [(at % 20 * 12) as u8, index as u8, index as u8]);
        RgbImage8::new(20, 16, pixels.collect())
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

fn config(workers: usize, start_step: u64) -> LoaderConfig {
    let augment = Augment {
        size: [6, 5],
        flip: true,
        ..Augment::default()
    };
    LoaderConfig {
        batch_size: 8,
        seed: 3,
        start_step,
        workers,
        augment,
        max_bad_fraction: 0.1,
    }
}

fn batches(source: Levels, config: LoaderConfig, count: usize) -> Vec<Batch> {
    let loader = Loader::new(Arc::new(source), config).unwrap();
    loader.take(count).collect::<Result<_, _>>().unwrap()
}

#[test]
fn batches_hold_the_images_that_they_name() {
    for (step, batch) in batches(Levels::new(20), config(2, 0), 5)
        .into_iter()
        .enumerate()
    {
        assert_eq!((batch.step, batch.epoch), (step as u64, step as u64 / 2));
        let order = epoch_order(3, batch.epoch, 20);
        let first = step % 2 * 8;
        assert_eq!(batch.indices, order[first..first + 8]);
        assert_eq!(batch.images.len(), 8 * 6 * 5 * 3);
        for (image, index) in batch.images.chunks_exact(6 * 5 * 3).zip(&batch.indices) {
            assert!(
                image
                    .chunks_exact(3)
                    .all(|pixel| pixel[1..] == [*index as u8; 2])
            );
        }
    }
}

#[test]
fn content_is_the_same_for_any_number_of_workers() {
    let bad = || Levels::with_bad(50, [4, 5, 31]);
    let expected = batches(bad(), config(0, 0), 20);
    for workers in [1, 2, 4, 13] {
        assert!(
            batches(bad(), config(workers, 0), 20) == expected,
            "{workers} workers"
        );
    }
    let other_seed = LoaderConfig {
        seed: 4,
        ..config(0, 0)
    };
    assert!(batches(bad(), other_seed, 20) != expected);
}

#[test]
fn a_resumed_run_equals_the_tail_of_a_full_one() {
    let full = batches(Levels::new(50), config(2, 0), 15);
    for start in [1, 6, 7, 12] {
        let tail = batches(Levels::new(50), config(2, start), 15 - start as usize);
        assert!(tail == full[start as usize..], "from step {start}");
    }
}

#[test]
fn epochs_differ_in_order_and_crops() {
    let all = batches(Levels::new(8), config(0, 0), 2);
    assert_ne!(all[0].indices, all[1].indices);
    let image = |batch: &Batch, index: u32| {
        let place = batch
            .indices
            .iter()
            .position(|&found| found == index)
            .unwrap();
        batch.images[place * 90..(place + 1) * 90].to_vec()
    };
    let same = (0..8)
        .filter(|&index| image(&all[0], index) == image(&all[1], index))
        .count();
    assert!(
        same < 4,
        "{same} of 8 images had the same crop in both epochs"
    );
}

#[test]
fn bad_images_are_replaced_and_listed_once() {
    for workers in [0, 3] {
        let mut source = Levels::with_bad(40, [7, 8]);
        source.panics.insert(9);
        let mut loader = Loader::new(Arc::new(source), config(workers, 0)).unwrap();
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
        let source = Levels::with_bad(40, 0..5);
        let mut loader = Loader::new(Arc::new(source), config(workers, 0)).unwrap();
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
    let mut loader = Loader::new(Arc::new(Levels::with_bad(10, 0..10)), all).unwrap();
    assert!(matches!(
        loader.next_batch(),
        Err(DataError::TooManyBad { .. })
    ));
}

#[test]
fn workers_wait_when_nobody_takes_batches_and_stop_on_drop() {
    let mut source = Levels::new(1000);
    source.delay = Duration::from_millis(1);
    let source = Arc::new(source);
    let loader = Loader::new(Arc::<Levels>::clone(&source), config(2, 0)).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    // Three batches ahead at most.
    assert!(source.reads.load(Ordering::Relaxed) <= 24);
    let start = Instant::now();
    drop(loader);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(Arc::strong_count(&source), 1);
}

#[test]
fn configurations_out_of_range_are_refused() {
    let refuse = |len: usize, config: LoaderConfig| {
        Loader::new(Arc::new(Levels::new(len)), config)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refuse(7, config(2, 0)),
        "7 images cannot fill a batch of 8; use a smaller batch"
    );
    assert_eq!(
        refuse(
            9,
            LoaderConfig {
                batch_size: 0,
                ..config(2, 0)
            }
        ),
        "bad value `0` for `batch_size`, expected at least 1"
    );
    assert_eq!(
        refuse(
            9,
            LoaderConfig {
                max_bad_fraction: f64::NAN,
                ..config(2, 0)
            }
        ),
        "bad value `NaN` for `max_bad_fraction`, expected a number from 0 to 1"
    );
    let augment = Augment {
        crop_scale: [0.5, 0.4],
        ..Augment::default()
    };
    assert_eq!(
        refuse(
            9,
            LoaderConfig {
                augment,
                ..config(2, 0)
            }
        ),
        "bad value `[0.5, 0.4]` for `crop_scale`, expected [min, max] with 0 < min <= max <= 1"
    );
}
