//! How much is read, decoded and held at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ijepa_data::{
    Batch, DataError, Filter, Loader, LoaderConfig, Reading, SampleRng, Transform, View,
};

use crate::fake::{Fake, file, level};
use crate::{batches, config};

/// Counts the images that are in use at once.
#[derive(Debug, Clone, Default)]
struct Counting([Arc<AtomicUsize>; 2]);

impl Transform for Counting {
    fn size(&self) -> [usize; 2] {
        [1, 1]
    }

    fn view(&self, width: usize, height: usize, _: &mut SampleRng) -> Result<View, DataError> {
        let Self([now, most]) = self;
        let others = now.fetch_add(1, Ordering::SeqCst);
        most.fetch_max(others + 1, Ordering::SeqCst);
        (0..50).for_each(|_| std::thread::yield_now());
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(View::resized(width, height, [1, 1], Filter::Bilinear))
    }
}

#[test]
fn no_more_pixels_are_decoded_at_once_than_told() {
    // Room for two images, for one, and for none: that one is alone.
    for (most_pixels, expected) in [(700, 2), (400, 1), (100, 1)] {
        let counting = Counting::default();
        let config = LoaderConfig {
            max_bad_fraction: 0.0,
            reading: Reading {
                most_pixels,
                ..Reading::default()
            },
            ..LoaderConfig::new(16, counting.clone())
        };
        let loader = Loader::new(Arc::new(Fake::files()), config).unwrap();
        assert_eq!(loader.take(12).filter(Result::is_ok).count(), 12);
        assert!(counting.0[1].load(Ordering::SeqCst) <= expected);
    }
}

/// The most requests that a loader with one worker has under way together. But for the first, they
/// end once there are `wanted` of them.
fn most_under_way(wanted: usize, io_depth: usize) -> usize {
    let asked = AtomicUsize::new(0);
    // Requests under way, now and at most.
    let under_way = Arc::new((Mutex::new([0; 2]), Condvar::new()));
    let seen = Arc::clone(&under_way);
    let source = Fake::new(64, move |index, buffer| {
        if asked.fetch_add(1, Ordering::SeqCst) > 0 {
            let (under_way, changed) = &*seen;
            let mut under_way = under_way.lock().unwrap();
            under_way[0] += 1;
            under_way[1] = under_way[1].max(under_way[0]);
            changed.notify_all();
            let alone = |[_, most]: &mut [usize; 2]| *most < wanted;
            // A loader that never asks for so many must not keep the test for ever.
            let patience = Duration::from_secs(300);
            let waited = changed.wait_timeout_while(under_way, patience, alone);
            let (mut under_way, timeout) = waited.unwrap();
            assert!(!timeout.timed_out(), "{under_way:?} requests at once");
            under_way[0] -= 1;
        }
        Ok(file(index, buffer))
    });
    let mut config = LoaderConfig {
        batch_size: 16,
        ..config(1, 0)
    };
    config.reading.io_depth = io_depth;
    let loader = Loader::new(Arc::new(source), config).unwrap();
    assert_eq!(loader.take(4).filter(Result::is_ok).count(), 4);
    let [_, most] = *under_way.0.lock().unwrap();
    most
}

#[test]
fn requests_are_under_way_together_however_few_workers_decode() {
    assert_eq!(most_under_way(16, 0), 16);
    assert_eq!(most_under_way(5, 5), 5);
}

/// Counts files from their request until they are decoded.
#[derive(Debug, Clone, Default)]
struct Held([Arc<AtomicUsize>; 2]);

impl Held {
    /// Files that are counted.
    fn files(&self) -> Fake {
        let Self([now, most]) = self.clone();
        Fake::new(64, move |index, buffer| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Ok(file(index, buffer))
        })
    }
}

impl Transform for Held {
    fn size(&self) -> [usize; 2] {
        [1, 1]
    }

    fn view(&self, width: usize, height: usize, _: &mut SampleRng) -> Result<View, DataError> {
        (0..50).for_each(|_| std::thread::yield_now());
        self.0[0].fetch_sub(1, Ordering::SeqCst);
        Ok(View::resized(width, height, [1, 1], Filter::Bilinear))
    }
}

#[test]
fn no_more_bytes_of_files_are_held_than_told() {
    // A file has 973 bytes.
    for (most_bytes, expected) in [(4 * 973, 4), (1000, 1), (10, 1)] {
        let held = Held::default();
        let config = LoaderConfig {
            workers: 1,
            max_bad_fraction: 0.0,
            reading: Reading {
                most_bytes,
                ..Reading::default()
            },
            ..LoaderConfig::new(16, held.clone())
        };
        let loader = Loader::new(Arc::new(held.files()), config).unwrap();
        assert_eq!(loader.take(12).filter(Result::is_ok).count(), 12);
        assert!(held.0[1].load(Ordering::SeqCst) <= expected, "{most_bytes}");
    }
}

#[test]
fn memory_of_recycled_batches_is_used_again() {
    const MARK: usize = 1 << 20;
    for workers in [0, 2] {
        let mut loader = Loader::new(Arc::new(Fake::levels(50)), config(workers, 0)).unwrap();
        let expected = batches(Fake::levels(50), config(0, 0), 6);
        let mut first = loader.next_batch().unwrap();
        first.images.fill(7);
        first.images.reserve_exact(MARK);
        loader.recycle(first);
        let next: Vec<Batch> = loader.take(5).map(Result::unwrap).collect();
        assert!(next.iter().any(|batch| batch.images.capacity() >= MARK));
        assert!(next == expected[1..]);
    }
}

#[test]
fn workers_wait_when_nobody_takes_batches_and_stop_on_drop() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let source = Arc::new(Fake::new(1000, move |index, _| {
        std::thread::sleep(Duration::from_millis(1));
        counted.fetch_add(1, Ordering::Relaxed);
        level(index)
    }));
    let loader = Loader::new(Arc::<Fake>::clone(&source), config(2, 0)).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    // Three batches ahead at most.
    assert!(reads.load(Ordering::Relaxed) <= 24);
    drop(loader);
    assert_eq!(Arc::strong_count(&source), 1);
}
