//! What reading costs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What images have cost since a reader was made, all threads together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Costs {
    /// Bytes of the files, or of pixels that come without one.
    pub bytes: u64,
    /// Time until sources gave them, waiting included.
    pub fetch: Duration,
    /// Time of decoding.
    pub decode: Duration,
    /// Time of cropping, resizing and further changes.
    pub crop: Duration,
}

/// Adds up costs.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: AtomicU64,
    /// Nanoseconds.
    fetch: AtomicU64,
    decode: AtomicU64,
    crop: AtomicU64,
}

impl Meter {
    pub(crate) fn fetched(&self, bytes: u64, since: Instant) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        add(&self.fetch, since);
    }

    pub(crate) fn decoded(&self, since: Instant) {
        add(&self.decode, since);
    }

    pub(crate) fn cropped(&self, since: Instant) {
        add(&self.crop, since);
    }

    pub(crate) fn costs(&self) -> Costs {
        let time = |sum: &AtomicU64| Duration::from_nanos(sum.load(Ordering::Relaxed));
        Costs {
            bytes: self.bytes.load(Ordering::Relaxed),
            fetch: time(&self.fetch),
            decode: time(&self.decode),
            crop: time(&self.crop),
        }
    }
}

fn add(sum: &AtomicU64, since: Instant) {
    sum.fetch_add(since.elapsed().as_nanos() as u64, Ordering::Relaxed);
}
