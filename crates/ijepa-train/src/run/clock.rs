//! How fast a run trains.

use std::time::{Duration, Instant};

/// Times steps, and nothing that is done between them while it is stopped.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Without what has passed since it last started.
    spent: Duration,
    since: Option<Instant>,
    images: u64,
    lap: Lap,
    /// Time and images at the end of the first step, which compiles kernels and fills caches.
    first: Option<(Duration, u64)>,
}

/// Since the last row.
#[derive(Debug, Default)]
struct Lap {
    began: Duration,
    images: u64,
    steps: u32,
    wait: Duration,
    talk: Duration,
}

impl Clock {
    /// Goes on, if it does not yet.
    pub(super) fn start(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// Stops until the next step.
    pub(super) fn stop(&mut self) {
        self.spent = self.spent();
        self.since = None;
    }

    /// Time spent on steps.
    pub(super) fn spent(&self) -> Duration {
        self.spent + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Counts time that was spent waiting for data.
    pub(super) fn waited(&mut self, wait: Duration) {
        self.lap.wait += wait;
    }

    /// Counts time that was spent talking to other ranks, and waiting for them.
    pub(super) fn talked(&mut self, talk: Duration) {
        self.lap.talk += talk;
    }

    /// Counts a step of `images`.
    pub(super) fn stepped(&mut self, images: u64) {
        self.images += images;
        self.lap.images += images;
        self.lap.steps += 1;
        let now = (self.spent(), self.images);
        self.first.get_or_insert(now);
    }

    /// Columns of the steps since the last row: milliseconds a step, and images per second.
    pub(super) fn lap(&mut self) -> [(&'static str, f64); 4] {
        let now = self.spent();
        let lap = std::mem::take(&mut self.lap);
        self.lap.began = now;
        let seconds = (now - lap.began).as_secs_f64();
        let steps = f64::from(lap.steps.max(1));
        [
            ("data_wait_ms", 1e3 * lap.wait.as_secs_f64() / steps),
            ("step_ms", 1e3 * seconds / steps),
            ("images_per_s", lap.images as f64 / seconds),
            ("communication_ms", 1e3 * lap.talk.as_secs_f64() / steps),
        ]
    }

    /// Images per second of the whole process, its first step left out.
    pub(super) fn overall(&self) -> f64 {
        let (time, images) = self.first.unwrap_or_default();
        match self.images - images {
            0 => 0.0,
            images => images as f64 / (self.spent() - time).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    #[test]
    fn time_between_steps_does_not_count() {
        let pause = Duration::from_millis(20);
        let (mut clock, began) = (Clock::default(), Instant::now());
        for _ in 0..3 {
            clock.start();
            clock.stepped(1);
            clock.stop();
            sleep(pause);
        }
        // A sleep takes as long as it is told to, or longer.
        let rest = began.elapsed() - 3 * pause;
        let [_, (_, step_ms), ..] = clock.lap();
        assert!(3e-3 * step_ms <= rest.as_secs_f64(), "{step_ms}");
        assert!(clock.overall() * rest.as_secs_f64() >= 2.0);
    }
}
