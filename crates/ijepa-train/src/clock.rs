//! How fast a run is.

use std::time::{Duration, Instant};

/// Times since the last logged step, and over the whole run.
#[derive(Debug)]
pub struct Clock {
    lap_started: Instant,
    lap_wait: Duration,
    lap_steps: u32,
    lap_images: usize,
    run_started: Option<Instant>,
    run_images: usize,
}

/// Means since the lap before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lap {
    /// Time waited for data a step, milliseconds.
    pub data_wait_ms: f64,
    /// Time of a step, milliseconds.
    pub step_ms: f64,
    /// Images per second.
    pub images_per_s: f64,
}

impl Clock {
    /// Starts the first lap.
    pub fn start() -> Self {
        Self {
            lap_started: Instant::now(),
            lap_wait: Duration::ZERO,
            lap_steps: 0,
            lap_images: 0,
            run_started: None,
            run_images: 0,
        }
    }

    /// Counts time that was spent waiting for data.
    pub fn waited(&mut self, wait: Duration) {
        self.lap_wait += wait;
    }

    /// Counts a step of `images`.
    pub fn stepped(&mut self, images: usize) {
        self.lap_steps += 1;
        self.lap_images += images;
        // The first step compiles kernels and fills caches; it is left out of the run's speed.
        match self.run_started {
            None => self.run_started = Some(Instant::now()),
            Some(_) => self.run_images += images,
        }
    }

    /// Ends the lap.
    pub fn lap(&mut self) -> Lap {
        let elapsed = self.lap_started.elapsed().as_secs_f64();
        let steps = f64::from(self.lap_steps.max(1));
        let lap = Lap {
            data_wait_ms: 1e3 * self.lap_wait.as_secs_f64() / steps,
            step_ms: 1e3 * elapsed / steps,
            images_per_s: self.lap_images as f64 / elapsed,
        };
        self.lap_started = Instant::now();
        (self.lap_wait, self.lap_steps, self.lap_images) = (Duration::ZERO, 0, 0);
        lap
    }

    /// Images per second of the whole run, its first step left out.
    pub fn overall(&self) -> f64 {
        self.run_started.map_or(0.0, |start| {
            self.run_images as f64 / start.elapsed().as_secs_f64()
        })
    }
}
