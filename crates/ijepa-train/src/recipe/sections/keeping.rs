use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::recipe::{
    RecipeError,
    rules::{counts, integer, not_negative},
};

/// How often a run of any kind writes rows and checkpoints: keys of `[run]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Keeping {
    /// Steps between rows of `metrics.csv`.
    pub log_every_steps: usize,
    /// Steps between checkpoints; 0 is one each epoch.
    pub checkpoint_every_steps: usize,
    /// Minutes after which there is a checkpoint more; 0 is never.
    pub checkpoint_every_minutes: f64,
    /// Checkpoints kept.
    pub keep_last: usize,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            log_every_steps: 10,
            checkpoint_every_steps: 0,
            checkpoint_every_minutes: 0.0,
            keep_last: 2,
        }
    }
}

impl Keeping {
    /// Checks every key.
    ///
    /// # Errors
    ///
    /// The broken rule, which names the key.
    pub fn validate(&self) -> Result<(), RecipeError> {
        counts([
            ("run.log_every_steps", self.log_every_steps),
            ("run.keep_last", self.keep_last),
        ])?;
        let steps = self.checkpoint_every_steps as u64;
        integer("run.checkpoint_every_steps", steps)?;
        let minutes = self.checkpoint_every_minutes;
        not_negative([("run.checkpoint_every_minutes", minutes)])
    }

    /// Steps between two checkpoints.
    pub(crate) fn every_steps(&self, steps_per_epoch: u64) -> u64 {
        match self.checkpoint_every_steps as u64 {
            0 => steps_per_epoch,
            steps => steps,
        }
    }

    /// Time after which there is a checkpoint more.
    pub(crate) fn every(&self) -> Option<Duration> {
        let minutes = self.checkpoint_every_minutes;
        let time = Duration::try_from_secs_f64(60.0 * minutes);
        (minutes > 0.0).then(|| time.unwrap_or(Duration::MAX))
    }
}
