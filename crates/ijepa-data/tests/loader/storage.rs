//! Storage that fails, and runs that are stopped meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ijepa_data::{Batch, DataError, FolderSource, Loader, LoaderConfig, Source};

use crate::fake::Fake;
use crate::{batches, config, patient};

#[test]
fn storage_that_fails_for_now_changes_nothing() {
    let expected = batches(Fake::levels(50), config(0, 0), 12);
    for workers in [0, 1, 3] {
        let source = Fake::flaky(Fake::levels(50), |asked: u32| !asked.is_multiple_of(4));
        let mut loader = Loader::new(Arc::new(source), patient(workers, 1000)).unwrap();
        let found: Vec<_> = loader.by_ref().take(12).map(Result::unwrap).collect();
        assert!(found == expected, "{workers} workers");
        assert_eq!(loader.skipped(), []);
    }
}

#[test]
fn what_cannot_be_had_is_an_error_that_may_pass() {
    let expected = batches(Fake::levels(50), config(0, 0), 5);
    for workers in [0, 1, 3] {
        let source = Fake::flaky(Fake::levels(50), |asked: u32| (20..60).contains(&asked));
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
    assert!(all(Arc::new(Fake::flaky(folder.clone(), moving))) == expected);

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
        let source = Fake::flaky(Fake::levels(20), move |_: u32| {
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
    let expected = batches(Fake::levels(50), config(0, 0), 8);
    for workers in [0, 3] {
        let mut loader = Loader::new(Arc::new(Fake::levels(50)), config(workers, 0)).unwrap();
        let mut found = Vec::new();
        while found.len() < 8 {
            // It may be there already.
            let early = loader.next_batch_unless(&AtomicBool::new(true)).unwrap();
            found.push(early.unwrap_or_else(|| loader.next_batch().unwrap()));
        }
        assert!(found == expected, "{workers} workers");
    }
}
