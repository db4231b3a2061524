//! How long a run goes on in this process.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::options::TrainOptions;

/// The part of a run that one process carries out: to the last step, a limit or a request to
/// stop.
///
/// ```
/// # use ijepa_train::{RunSpan, TrainOptions};
/// let mut step = 3; // of the checkpoint that the run goes on from
/// let mut span = RunSpan::begin(&TrainOptions::default(), 5);
/// while span.goes_on(step) {
///     step += 1;
/// }
/// assert_eq!(step, 5);
/// ```
#[derive(Debug)]
pub struct RunSpan {
    started: Instant,
    last_step: u64,
    max_time: Option<Duration>,
    stop: Arc<AtomicBool>,
    interrupted: bool,
}

impl RunSpan {
    /// Begins a run of `total_steps` that obeys the limits of `options`.
    pub fn begin(options: &TrainOptions, total_steps: u64) -> Self {
        Self {
            started: Instant::now(),
            last_step: total_steps.min(options.max_steps.unwrap_or(u64::MAX)),
            max_time: options.max_time,
            stop: Arc::clone(&options.stop),
            interrupted: false,
        }
    }

    /// Whether there is to be another step after `step` completed ones.
    pub fn goes_on(&mut self, step: u64) -> bool {
        self.interrupted = self.stop.load(Ordering::Relaxed);
        let out_of_time = self.max_time.is_some_and(|limit| self.elapsed() >= limit);
        step < self.last_step && !out_of_time && !self.interrupted
    }

    /// Whether `step` completed steps are the end, as far as that is known before.
    pub fn ends_with(&self, step: u64) -> bool {
        step == self.last_step
    }

    /// Whether it ended because it was told to stop.
    pub fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Time since it began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
