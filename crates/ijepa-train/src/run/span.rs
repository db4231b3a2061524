//! Whether a run goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::options::TrainOptions;

/// What a run does next; of ranks that would do different things all do the last of them here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Next {
    Step,
    Save,
    Stop(Reason),
}

/// Why a run stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Reason {
    OutOfTime,
    /// It is over, or at the step where it was to stop.
    Reached,
    /// What is trained has collapsed, and the settings say to stop then.
    Collapsed,
    /// It was told to.
    Asked,
}

/// The part of a run that one process carries out: to the last step, a limit or a request to stop.
#[derive(Debug)]
pub(super) struct Span {
    started: Instant,
    last_step: u64,
    max_time: Option<Duration>,
    save_every: Option<Duration>,
    /// When there was a checkpoint last, and of which step.
    saved: (Instant, u64),
    stop: Arc<AtomicBool>,
}

impl Span {
    /// Begins after `step` completed steps and obeys the limits of `options`.
    pub(super) fn begin(
        options: &TrainOptions,
        total_steps: u64,
        save_every: Option<Duration>,
        step: u64,
    ) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last_step: total_steps.min(options.max_steps.unwrap_or(u64::MAX)),
            max_time: options.max_time,
            save_every,
            saved: (now, step),
            stop: Arc::clone(&options.stop),
        }
    }

    /// What comes after `step` completed steps.
    ///
    /// No other place of the loop asks the clock or looks for a request to stop; ranks agree on the
    /// answer.
    pub(super) fn decide(&self, step: u64) -> Next {
        let over = |limit: Option<Duration>, since: Instant| {
            limit.is_some_and(|limit| since.elapsed() >= limit)
        };
        let (saved, saved_step) = self.saved;
        if self.stop.load(Ordering::Relaxed) {
            Next::Stop(Reason::Asked)
        } else if step >= self.last_step {
            Next::Stop(Reason::Reached)
        } else if over(self.max_time, self.started) {
            Next::Stop(Reason::OutOfTime)
        } else if step > saved_step && over(self.save_every, saved) {
            Next::Save
        } else {
            Next::Step
        }
    }

    /// The request to stop, for what takes long between two decisions.
    pub(super) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// Counts the time to the next checkpoint from now on, which is after that of `step`.
    pub(super) fn saved(&mut self, step: u64) {
        self.saved = (Instant::now(), step);
    }

    /// Time since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a run of ten steps.
    fn span(options: TrainOptions, save_every: Option<Duration>) -> Span {
        Span::begin(&options, 10, save_every, 0)
    }

    #[test]
    fn requests_come_before_limits_and_limits_before_checkpoints() {
        let plain = span(TrainOptions::default(), None);
        assert_eq!(plain.decide(9), Next::Step);
        assert_eq!(plain.decide(10), Next::Stop(Reason::Reached));
        plain.stop.store(true, Ordering::Relaxed);
        assert_eq!(plain.decide(10), Next::Stop(Reason::Asked));

        let now = Some(Duration::ZERO);
        let limited = TrainOptions {
            max_steps: Some(4),
            max_time: now,
            ..TrainOptions::default()
        };
        let limited = span(limited, now);
        assert_eq!(limited.decide(4), Next::Stop(Reason::Reached));
        assert_eq!(limited.decide(3), Next::Stop(Reason::OutOfTime));
        let mut often = span(TrainOptions::default(), now);
        assert_eq!(often.decide(3), Next::Save);
        often.saved(3);
        assert_eq!((often.decide(3), often.decide(4)), (Next::Step, Next::Save));
        let hourly = span(TrainOptions::default(), Some(Duration::from_secs(3600)));
        assert_eq!(hourly.decide(3), Next::Step);
    }
}
