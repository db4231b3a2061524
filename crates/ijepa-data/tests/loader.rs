//! The loader: what each batch holds does not depend on how it is prepared.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::collections::HashSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ijepa_data::{
    Augment, Batch, ClassifierAugment, DataError, Decoding, FetchError, Fetched, Filter,
    FolderSource, Loader, LoaderConfig, RandAugment, Reading, Retry, RgbImage8, SampleRng, Skipped,
    Source, Transform, View, check_channels, epoch_order,
};

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

    fn fetch(&self, index: usize, _: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        std::thread::sleep(self.delay);
        self.reads.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics.contains(&index), "no such level");
        if self.bad.contains(&index) {
            return Err(DataError::MissingImage {
                name: self.name(index),
            }
            .into());
        }
        // A gradient in red, so that different crops of one image differ.
        let pixels = (0..20 * 16).flat_map(|at| [(at % 20 * 12) as u8, index as u8, index as u8]);
        Ok(Fetched::Pixels(RgbImage8::new(20, 16, pixels.collect())?))
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
        places: None,
        seed: 3,
        start_step,
        workers,
        augment,
        max_bad_fraction: 0.1,
        reading: Reading::default(),
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

/// The batches of processes that share every batch, put together, and what each of them skips once
/// it knows what the others do.
fn shared(
    source: &dyn Fn() -> Levels,
    parts: &[Range<usize>],
    count: usize,
) -> (Vec<Batch>, Vec<Vec<Skipped>>) {
    let start = |places: &Range<usize>| {
        let places = Some(places.clone());
        let config = LoaderConfig {
            places,
            ..config(2, 0)
        };
        Loader::new(Arc::new(source()), config).unwrap()
    };
    let mut loaders: Vec<Loader> = parts.iter().map(start).collect();
    let mut whole = Vec::new();
    for _ in 0..count {
        let known = loaders[0].skipped().len();
        let shares: Vec<Batch> = loaders
            .iter_mut()
            .map(|it| it.next_batch().unwrap())
            .collect();
        let firsts: Vec<usize> = shares.iter().map(|share| share.first).collect();
        assert_eq!(
            firsts,
            parts.iter().map(|places| places.start).collect::<Vec<_>>()
        );
        let found: Vec<Skipped> = loaders
            .iter()
            .flat_map(|it| it.skipped()[known..].to_vec())
            .collect();
        for loader in &mut loaders {
            loader.add_skipped(found.clone()).unwrap();
        }
        whole.push(Batch {
            images: shares
                .iter()
                .flat_map(|share| share.images.clone())
                .collect(),
            indices: shares
                .iter()
                .flat_map(|share| share.indices.clone())
                .collect(),
            ..shares[0].clone()
        });
    }
    (
        whole,
        loaders
            .iter()
            .map(|loader| loader.skipped().to_vec())
            .collect(),
    )
}

#[test]
fn processes_that_share_batches_deliver_what_one_delivers() {
    let source = || Levels::with_bad(50, [4, 5, 31]);
    let expected = batches(source(), config(0, 0), 20);
    let mut alone = Loader::new(Arc::new(source()), config(0, 0)).unwrap();
    alone
        .by_ref()
        .take(20)
        .for_each(|batch| drop(batch.unwrap()));
    for parts in [vec![0..4, 4..8], vec![0..3, 3..4, 4..8]] {
        let (found, skipped) = shared(&source, &parts, 20);
        assert!(found == expected, "{parts:?}");
        for skipped in skipped {
            let sorted = |skipped: &[Skipped]| {
                let mut indices: Vec<u32> = skipped.iter().map(|image| image.index).collect();
                indices.sort_unstable();
                indices
            };
            assert_eq!(sorted(&skipped), sorted(alone.skipped()), "{parts:?}");
        }
    }
}

#[test]
fn unreadable_images_of_all_processes_are_counted_together() {
    let bad = |indices: Range<u32>| {
        indices
            .map(|index| Skipped {
                index,
                path: format!("image {index}"),
                why: "no such file".to_owned(),
            })
            .collect::<Vec<_>>()
    };
    let mut loader = Loader::new(Arc::new(Levels::new(50)), config(0, 0)).unwrap();
    loader.add_skipped(bad(0..5)).unwrap();
    // The same ones again are no more of them.
    loader.add_skipped(bad(2..5)).unwrap();
    assert!(loader.next_batch().is_ok());
    let error = loader.add_skipped(bad(7..8)).unwrap_err();
    assert!(
        matches!(
            error,
            DataError::TooManyBad {
                bad: 6,
                allowed: 5,
                ..
            }
        ),
        "{error}"
    );
    assert!(loader.next_batch().is_err());
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

/// Images that fail for now: all requests until `failing` says no, by how often it was asked.
struct Flaky<F> {
    images: Box<dyn Source>,
    asked: AtomicU32,
    failing: F,
}

impl<F> Flaky<F> {
    fn new(images: impl Source + 'static, failing: F) -> Self {
        Self {
            images: Box::new(images),
            asked: AtomicU32::new(0),
            failing,
        }
    }
}

impl<F> std::fmt::Debug for Flaky<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flaky").finish_non_exhaustive()
    }
}

impl<F: Fn(u32) -> bool + Send + Sync> Source for Flaky<F> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.images.name(index)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        match (self.failing)(self.asked.fetch_add(1, Ordering::Relaxed)) {
            true => Err(DataError::Read {
                path: self.name(index).into(),
                source: std::io::Error::from_raw_os_error(5),
            }
            .into()),
            false => self.images.fetch(index, buffer),
        }
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

/// Attempts without pauses.
fn patient(workers: usize, retries: u32) -> LoaderConfig {
    let mut config = config(workers, 0);
    config.reading.retry = Retry {
        retries,
        first_pause: Duration::ZERO,
    };
    config
}

#[test]
fn storage_that_fails_for_now_changes_nothing() {
    let expected = batches(Levels::new(50), config(0, 0), 12);
    for workers in [0, 1, 3] {
        let source = Flaky::new(Levels::new(50), |asked: u32| !asked.is_multiple_of(4));
        let mut loader = Loader::new(Arc::new(source), patient(workers, 1000)).unwrap();
        let found: Vec<_> = loader.by_ref().take(12).map(Result::unwrap).collect();
        assert!(found == expected, "{workers} workers");
        assert_eq!(loader.skipped(), []);
    }
}

#[test]
fn what_cannot_be_had_is_an_error_that_may_pass() {
    let expected = batches(Levels::new(50), config(0, 0), 5);
    for workers in [0, 1, 3] {
        let source = Flaky::new(Levels::new(50), |asked: u32| (20..60).contains(&asked));
        let mut loader = Loader::new(Arc::new(source), patient(workers, 2)).unwrap();
        let (mut found, mut errors) = (Vec::new(), 0);
        while found.len() < 5 {
            match loader.next_batch() {
                Ok(batch) => found.push(batch),
                Err(error) => {
                    assert!(
                        matches!(error, DataError::GaveUp { attempts: 3, .. }),
                        "{error}"
                    );
                    assert_eq!(loader.next_step(), found.len() as u64);
                    errors += 1;
                }
            }
        }
        assert!(errors > 0);
        assert!(found == expected, "{workers} workers");
        assert_eq!(loader.skipped(), []);
    }
}

#[test]
fn a_folder_that_is_away_for_a_moment_is_waited_for_and_a_deleted_file_is_not_replaced() {
    let home = tempfile::tempdir().unwrap();
    let [here, away] = ["here", "away"].map(|name| home.path().join(name));
    std::fs::create_dir(&here).unwrap();
    for level in 0..9 {
        let pixels = [level * 9; 48];
        let file = [b"P6 4 4 255\n".as_slice(), &pixels].concat();
        std::fs::write(here.join(format!("{level}.ppm")), file).unwrap();
    }
    let folder = FolderSource::open(&here).unwrap();
    let all = |source: Arc<dyn Source>| -> Vec<Batch> {
        let loader = Loader::new(source, patient(0, 9)).unwrap();
        loader.take(4).map(Result::unwrap).collect()
    };
    let expected = all(Arc::new(folder.clone()));
    let (from, to) = (here.clone(), away);
    let moving = move |asked: u32| {
        match asked {
            11 => std::fs::rename(&from, &to).unwrap(),
            16 => std::fs::rename(&to, &from).unwrap(),
            _ => {}
        }
        false
    };
    assert!(all(Arc::new(Flaky::new(folder.clone(), moving))) == expected);

    std::fs::remove_file(here.join("3.ppm")).unwrap();
    let tolerant = LoaderConfig {
        max_bad_fraction: 1.0,
        ..patient(2, 9)
    };
    let mut loader = Loader::new(Arc::new(folder), tolerant).unwrap();
    let error = loader.by_ref().find_map(Result::err).unwrap();
    let DataError::Read { path, .. } = error else {
        panic!("{error}");
    };
    assert!(path.ends_with("3.ppm"));
    assert_eq!(loader.skipped(), []);
}

#[test]
fn nobody_waits_for_data_once_it_is_stopped() {
    for workers in [0, 2] {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let source = Flaky::new(Levels::new(20), move |_: u32| {
            seen.store(true, Ordering::Relaxed);
            true
        });
        let mut config = patient(workers, u32::MAX);
        config.reading.retry.first_pause = Duration::from_secs(1 << 30);
        let mut loader = Loader::new(Arc::new(source), config).unwrap();
        assert_eq!(loader.next_batch_unless(&stop).unwrap(), None);
    }
}

#[test]
fn a_loader_that_was_stopped_goes_on_with_the_same_batch() {
    let expected = batches(Levels::new(50), config(0, 0), 8);
    for workers in [0, 3] {
        let mut loader = Loader::new(Arc::new(Levels::new(50)), config(workers, 0)).unwrap();
        let mut found = Vec::new();
        while found.len() < 8 {
            // It may be there already.
            let early = loader.next_batch_unless(&AtomicBool::new(true)).unwrap();
            found.push(early.unwrap_or_else(|| loader.next_batch().unwrap()));
        }
        assert!(found == expected, "{workers} workers");
    }
}

/// Images of 20 x 16 pixels as files.
#[derive(Debug)]
struct Files;

impl Source for Files {
    fn len(&self) -> usize {
        64
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        *buffer = [b"P6 20 16 255\n".as_slice(), &[index as u8; 960]].concat();
        Ok(Fetched::File)
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

/// Counts the images that are in use at once.
#[derive(Debug, Clone, Default)]
struct Counting([Arc<AtomicUsize>; 2]);

impl Transform for Counting {
    fn size(&self) -> [usize; 2] {
        [1, 1]
    }

    fn validate(&self) -> Result<(), DataError> {
        Ok(())
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
            batch_size: 16,
            places: None,
            seed: 0,
            start_step: 0,
            workers: 4,
            augment: counting.clone(),
            max_bad_fraction: 0.0,
            reading: Reading {
                most_pixels,
                ..Reading::default()
            },
        };
        let loader = Loader::new(Arc::new(Files), config).unwrap();
        assert_eq!(loader.take(12).filter(Result::is_ok).count(), 12);
        assert!(counting.0[1].load(Ordering::SeqCst) <= expected);
    }
}

/// Files whose requests, but for the first, end once `wanted` of them are under way together.
#[derive(Debug)]
struct Distant {
    wanted: usize,
    asked: AtomicUsize,
    /// Requests under way, now and at most.
    under_way: Mutex<[usize; 2]>,
    changed: Condvar,
}

impl Distant {
    fn new(wanted: usize) -> Self {
        Self {
            wanted,
            asked: AtomicUsize::new(0),
            under_way: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The most requests that a loader with one worker has under way together.
    fn most(self, io_depth: usize) -> usize {
        let source = Arc::new(self);
        let mut config = LoaderConfig {
            batch_size: 16,
            ..config(1, 0)
        };
        config.reading.io_depth = io_depth;
        let loader = Loader::new(Arc::<Self>::clone(&source), config).unwrap();
        assert_eq!(loader.take(4).filter(Result::is_ok).count(), 4);
        let [_, most] = *source.under_way.lock().unwrap();
        most
    }
}

impl Source for Distant {
    fn len(&self) -> usize {
        Files.len()
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn name(&self, index: usize) -> String {
        Files.name(index)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        if self.asked.fetch_add(1, Ordering::SeqCst) > 0 {
            let mut under_way = self.under_way.lock().unwrap();
            under_way[0] += 1;
            under_way[1] = under_way[1].max(under_way[0]);
            self.changed.notify_all();
            let alone = |[_, most]: &mut [usize; 2]| *most < self.wanted;
            // A loader that never asks for so many must not keep the test for ever.
            let patience = Duration::from_secs(20);
            let waited = self.changed.wait_timeout_while(under_way, patience, alone);
            let (mut under_way, timeout) = waited.unwrap();
            assert!(!timeout.timed_out(), "{under_way:?} requests at once");
            under_way[0] -= 1;
        }
        Files.fetch(index, buffer)
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

#[test]
fn requests_are_under_way_together_however_few_workers_decode() {
    assert_eq!(Distant::new(16).most(0), 16);
    assert_eq!(Distant::new(5).most(5), 5);
}

/// Counts files from their request until they are decoded.
#[derive(Debug, Clone, Default)]
struct Held([Arc<AtomicUsize>; 2]);

impl Source for Held {
    fn len(&self) -> usize {
        Files.len()
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn name(&self, index: usize) -> String {
        Files.name(index)
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let Self([now, most]) = self;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Files.fetch(index, buffer)
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

impl Transform for Held {
    fn size(&self) -> [usize; 2] {
        [1, 1]
    }

    fn validate(&self) -> Result<(), DataError> {
        Ok(())
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
            batch_size: 16,
            places: None,
            seed: 0,
            start_step: 0,
            workers: 1,
            augment: held.clone(),
            max_bad_fraction: 0.0,
            reading: Reading {
                most_bytes,
                ..Reading::default()
            },
        };
        let loader = Loader::new(Arc::new(held.clone()), config).unwrap();
        assert_eq!(loader.take(12).filter(Result::is_ok).count(), 12);
        assert!(held.0[1].load(Ordering::SeqCst) <= expected, "{most_bytes}");
    }
}

#[test]
fn memory_of_recycled_batches_is_used_again() {
    const MARK: usize = 1 << 20;
    for workers in [0, 2] {
        let mut loader = Loader::new(Arc::new(Levels::new(50)), config(workers, 0)).unwrap();
        let expected = batches(Levels::new(50), config(0, 0), 6);
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
fn a_small_set_may_have_a_bad_image_unless_none_is_allowed() {
    let with = |max_bad_fraction, bad| {
        let source = Arc::new(Levels::with_bad(31, 0..bad));
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
    let advice = "remove them, or raise `data.max_bad_fraction` of the recipe to 0.065";
    assert!(message.ends_with(advice), "{message}");
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
    for places in [3..3, 7..9] {
        let found = format!("bad value `{places:?}` for `places`, expected some of the batch");
        let places = Some(places);
        assert_eq!(
            refuse(
                9,
                LoaderConfig {
                    places,
                    ..config(0, 0)
                }
            ),
            found
        );
    }
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

/// Files of many sizes and images that need no decoding, some of them damaged.
#[derive(Debug)]
struct Mixed;

impl Source for Mixed {
    fn len(&self) -> usize {
        40
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let (width, height) = (5 + index * 7 % 60, 3 + index * 13 % 50);
        let level = |at: usize| (at * (index + 3) % 251) as u8;
        let pixels: Vec<u8> = (0..width * height * 3).map(level).collect();
        if index.is_multiple_of(3) {
            return Ok(Fetched::Pixels(RgbImage8::new(width, height, pixels)?));
        }
        *buffer = [format!("P6 {width} {height} 255\n").as_bytes(), &pixels].concat();
        // Three of the files stop too early.
        buffer.truncate(buffer.len() - usize::from(index % 16 == 1));
        Ok(Fetched::File)
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

#[test]
fn batches_have_not_changed() {
    fn hash<T: Transform + 'static>(augment: T, workers: usize) -> String {
        let config = LoaderConfig {
            batch_size: 16,
            places: None,
            seed: 11,
            start_step: 1,
            workers,
            augment,
            max_bad_fraction: 0.1,
            reading: Reading::default(),
        };
        let mut hash = blake3::Hasher::new();
        for batch in Loader::new(Arc::new(Mixed), config).unwrap().take(4) {
            let batch = batch.unwrap();
            hash.update(&batch.images);
            hash.update(format!("{:?}", (batch.step, batch.epoch, batch.indices)).as_bytes());
        }
        hash.finalize().to_hex()[..16].to_owned()
    }
    let coloured = Augment {
        size: [24, 20],
        flip: true,
        color_jitter: 0.7,
        ..Augment::default()
    };
    let distorted = ClassifierAugment {
        rand_augment: Some(RandAugment::default()),
        ..ClassifierAugment::random_crop([20, 24])
    };
    for workers in [0, 3] {
        assert_eq!(
            [
                hash(
                    Augment {
                        size: [24, 24],
                        ..Augment::default()
                    },
                    workers
                ),
                hash(coloured.clone(), workers),
                hash(distorted.clone(), workers),
                hash(ClassifierAugment::squash([16, 16]), workers),
            ],
            [
                "6342c430dafc9c81",
                "d9db97d9025ac0cc",
                "0b47e7c58b6bc111",
                "90a9c560bd8dc04b"
            ]
        );
    }
}

/// Arrays of 16 x 20 pixels of five u8, of which one says that it has four; some sources have
/// three.
#[derive(Debug)]
struct Arrays {
    channels: usize,
}

impl Source for Arrays {
    fn len(&self) -> usize {
        24
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let channels = self.channels - usize::from(index == 5);
        let shape = format!("(16, 20, {channels})");
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
        buffer.clear();
        buffer.extend(b"\x93NUMPY\x01\x00v\x00");
        buffer.extend(format!("{header:<117}\n").bytes());
        buffer.extend((0..16 * 20 * channels).map(|at| (index * 10 + at % channels) as u8));
        Ok(Fetched::File)
    }

    fn classes(&self) -> &[String] {
        &[]
    }
}

fn of_five(augment: Augment, workers: usize) -> LoaderConfig {
    let decoding = Decoding {
        channels: 5,
        ..Decoding::default()
    };
    LoaderConfig {
        batch_size: 8,
        places: None,
        seed: 3,
        start_step: 0,
        workers,
        augment,
        max_bad_fraction: 0.1,
        reading: Reading {
            decoding,
            ..Reading::default()
        },
    }
}

#[test]
fn batches_of_other_channels_are_floats_whoever_makes_them() {
    let augment = Augment {
        size: [8, 10],
        flip: true,
        ..Augment::default()
    };
    let batches = |workers| {
        let source = Arc::new(Arrays { channels: 5 });
        let mut loader = Loader::new(source, of_five(augment.clone(), workers)).unwrap();
        let batches: Vec<Batch> = (0..6).map(|_| loader.next_batch().unwrap()).collect();
        assert_eq!(loader.skipped().len(), 1);
        let why = &loader.skipped()[0].why;
        assert!(why.contains("has 4 channels, expected 5"), "{why}");
        batches
    };
    let found = batches(0);
    assert!(found == batches(3));
    for batch in &found {
        assert_eq!(batch.images.len(), 8 * 8 * 10 * 5 * 4);
        let samples = batch.images.as_chunks::<4>().0.iter();
        let samples: Vec<f32> = samples.map(|it| f32::from_ne_bytes(*it)).collect();
        for (place, image) in samples.chunks_exact(8 * 10 * 5).enumerate() {
            let first = batch.indices[place] * 10;
            for (at, sample) in image.iter().enumerate() {
                let expected = (first + at as u32 % 5) as f32 / 255.0;
                assert!((sample - expected).abs() < 1e-5, "{sample} {expected}");
            }
        }
    }
}

#[test]
fn colours_of_other_channels_are_not_changed_and_other_channels_are_told_apart() {
    let augment = Augment {
        color_jitter: 0.5,
        ..Augment::default()
    };
    let source = Arc::new(Arrays { channels: 5 });
    let error = Loader::new(source, of_five(augment, 0)).unwrap_err();
    assert!(matches!(error, DataError::NoColors { channels: 5 }));

    let five = of_five(Augment::default(), 0).reading.decoding;
    let check = |channels, decoding| check_channels(&Arrays { channels }, decoding);
    assert!(check(5, five).is_ok() && check(3, Decoding::default()).is_ok());
    for (channels, decoding, expected) in [(3, five, 5), (5, Decoding::default(), 3)] {
        let error = check(channels, decoding).unwrap_err();
        let is = |found: usize, wanted: usize| (found, wanted) == (channels, expected);
        assert!(
            matches!(error, DataError::Channels { found, expected, .. } if is(found, expected)),
            "{error}"
        );
    }
    // Pixels that come without a file are colours.
    let error = check_channels(&Levels::new(2), five).unwrap_err();
    assert!(matches!(error, DataError::Channels { found: 3, .. }));
    // Grey files have always been.
    assert!(check_channels(&Files, Decoding::default()).is_ok());
}
