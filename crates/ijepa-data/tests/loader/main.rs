//! The loader: what each batch holds does not depend on how it is prepared.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod bad;
mod bounds;
mod channels;
mod content;
mod fake;
mod sharing;
mod storage;

use std::sync::Arc;
use std::time::Duration;

use fake::Fake;
use ijepa_data::{Augment, Batch, Loader, LoaderConfig, Retry};

fn config(workers: usize, start_step: u64) -> LoaderConfig {
    let augment = Augment {
        size: [6, 5],
        flip: true,
        ..Augment::default()
    };
    LoaderConfig {
        seed: 3,
        start_step,
        workers,
        max_bad_fraction: 0.1,
        ..LoaderConfig::new(8, augment)
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

fn loader(source: Fake, config: LoaderConfig) -> Loader {
    Loader::new(Arc::new(source), config).unwrap()
}

fn batches(source: Fake, config: LoaderConfig, count: usize) -> Vec<Batch> {
    let batches = loader(source, config).take(count);
    batches.collect::<Result<_, _>>().unwrap()
}

#[test]
fn configurations_out_of_range_are_refused() {
    let refuse = |len: usize, config: LoaderConfig| {
        Loader::new(Arc::new(Fake::levels(len)), config)
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
