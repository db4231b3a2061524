//! How much is read, decoded and held at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use ijepa_data::{
    Batch, DataError, Filter, Loader, LoaderConfig, Reading, SampleRng, Transform, View,
};

use crate::fake::{Fake, file, level};
use crate::{batches, config};

/// Counts what is in use, now and at most.
#[derive(Debug, Clone, Default)]
struct Count(Arc<(Mutex<[usize; 2]>, Condvar)>);

impl Count {
    fn enter(&self) {
        let (count, changed) = &*self.0;
        let mut count = count.lock().unwrap();
        count[0] += 1;
        count[1] = count[1].max(count[0]);
        changed.notify_all();
    }

    fn leave(&self) {
        self.0.0.lock().unwrap()[0] -= 1;
    }

    fn most(&self) -> usize {
        self.0.0.lock().unwrap()[1]
    }

    /// Waits until so many were in use at once.
    fn wait_for(&self, wanted: usize) {
        let (count, changed) = &*self.0;
        let too_few = |[_, most]: &mut [usize; 2]| *most < wanted;
        // A loader that never comes so far must not keep the test for ever.
        let patience = Duration::from_secs(300);
        let waited = changed.wait_timeout_while(count.lock().unwrap(), patience, too_few);
        let (count, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "{count:?} at once");
    }
}

/// Counts the images that are in use at once. They stay so until there were `wanted` of them.
#[derive(Debug, Clone, Default)]
struct Counting {
    count: Count,
    wanted: usize,
}

impl Transform for Counting {
    fn size(&self) -> [usize; 2] {
        [1, 1]
    }

    fn view(&self, width: usize, height: usize, _: &mut SampleRng) -> Result<View, DataError> {
        self.count.enter();
        self.count.wait_for(self.wanted);
        (0..50).for_each(|_| std::thread::yield_now());
        self.count.leave();
        Ok(View::resized(width, height, [1, 1], Filter::Bilinear))
    }
}

#[test]
fn no_more_pixels_are_decoded_at_once_than_told() {
    // Room for two images, for one, and for none: that one is alone. Then for any number.
    for (most_pixels, expected) in [(700, 0..=2), (400, 0..=1), (100, 0..=1), (1 << 28, 3..=4)] {
        let counting = Counting {
            wanted: *expected.start(),
            ..Counting::default()
        };
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
        assert!(expected.contains(&counting.count.most()), "{most_pixels}");
    }
}

/// The most requests that a loader with one worker has under way together. But for the first, they
/// end once there are `wanted` of them.
fn most_under_way(wanted: usize, io_depth: usize) -> usize {
    let asked = AtomicUsize::new(0);
    let under_way = Count::default();
    let seen = under_way.clone();
    let source = Fake::new(64, move |index, buffer| {
        if asked.fetch_add(1, Ordering::SeqCst) > 0 {
            seen.enter();
            seen.wait_for(wanted);
            seen.leave();
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
    under_way.most()
}

#[test]
fn requests_are_under_way_together_however_few_workers_decode() {
    assert_eq!(most_under_way(16, 0), 16);
    assert_eq!(most_under_way(5, 5), 5);
}

/// Counts files from their request until they are decoded, which waits for `wanted` of them.
#[derive(Debug, Clone, Default)]
struct Held {
    count: Count,
    wanted: usize,
}

impl Held {
    /// Files that are counted.
    fn files(&self) -> Fake {
        let count = self.count.clone();
        Fake::new(64, move |index, buffer| {
            count.enter();
            Ok(file(index, buffer))
        })
    }
}

impl Transform for Held {
    fn size(&self) -> [usize; 2] {
        [1, 1]
    }

    fn view(&self, width: usize, height: usize, _: &mut SampleRng) -> Result<View, DataError> {
        self.count.wait_for(self.wanted);
        (0..50).for_each(|_| std::thread::yield_now());
        self.count.leave();
        Ok(View::resized(width, height, [1, 1], Filter::Bilinear))
    }
}

#[test]
fn no_more_bytes_of_files_are_held_than_told() {
    // A file has 973 bytes.
    for (most_bytes, expected) in [
        (4 * 973, 0..=4),
        (1000, 0..=1),
        (10, 0..=1),
        (1 << 28, 5..=64),
    ] {
        let held = Held {
            wanted: *expected.start(),
            ..Held::default()
        };
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
        assert!(expected.contains(&held.count.most()), "{most_bytes}");
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
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_millis(100));
        match reads.load(Ordering::Relaxed) {
            now if now >= 8 && now == before => break,
            now => before = now,
        }
    }
    // Three batches ahead at most.
    assert!(before <= 24);
    drop(loader);
    assert_eq!(Arc::strong_count(&source), 1);
}
