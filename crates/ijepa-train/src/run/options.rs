//! How a run is carried out and what it reports.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use ijepa_data::{Reading, Skipped};

use super::row::{Columns, Row};

/// Where a run starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Resume {
    /// From the newest checkpoint of the run directory, or from the beginning.
    #[default]
    Auto,
    /// From the beginning; a directory that holds a run is refused.
    Never,
    /// From this checkpoint; a directory that holds another run is refused.
    File(PathBuf),
}

/// How a run is carried out; none of it changes what is learned.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// Loader threads, by default 4; 0 loads in the training thread.
    pub workers: usize,
    /// What is waited for and how much is decoded at once.
    pub reading: Reading,
    /// Stop after this step, with the schedules as they are.
    pub max_steps: Option<u64>,
    /// Stop after this time, with the schedules as they are.
    pub max_time: Option<Duration>,
    /// Where to start.
    pub resume: Resume,
    /// Set to stop after the current step with a checkpoint; an evaluation ends at its next images.
    pub stop: Arc<AtomicBool>,
    /// Versions, device and command line, for `environment.json`.
    pub environment: serde_json::Value,
}

impl Default for TrainOptions {
    /// The whole run, from its last checkpoint if it has one, with four loader threads.
    fn default() -> Self {
        Self {
            workers: 4,
            reading: Reading::default(),
            max_steps: None,
            max_time: None,
            resume: Resume::default(),
            stop: Arc::default(),
            environment: serde_json::Value::default(),
        }
    }
}

/// What a finished or stopped run reports.
#[derive(Debug, Clone)]
pub struct TrainSummary {
    /// Completed steps, those before a resumption included.
    pub steps: u64,
    /// Steps of this process.
    pub steps_made: u64,
    /// Images seen, those before a resumption included.
    pub images: u64,
    /// Loss of the first step.
    pub loss_first: f64,
    /// Loss of the last step.
    pub loss_last: f64,
    /// Images per second of this process while it trained, without the first step; of the whole run
    /// if this process made none.
    pub images_per_s: f64,
    /// Time of this process.
    pub elapsed: Duration,
    /// Time spent on steps, of the processes before as far as they were logged.
    pub trained: Duration,
    /// The same, of every process that took part.
    pub device_time: Duration,
    /// The last row of `metrics.csv`.
    pub logged: Option<Row>,
    /// What the last step of this process showed beside its loss.
    pub signals: Columns,
    /// The rows of `epochs.csv`.
    pub evaluations: Vec<Row>,
    /// Why the run looks collapsed, if it does.
    pub collapse: Option<String>,
    /// Images that could not be read, those to train on, then those of the last evaluation.
    pub skipped: Vec<Skipped>,
    /// Whether the run was told to stop before its end.
    pub interrupted: bool,
}

impl TrainSummary {
    /// The scores of where the run ended, or those before it if it was told to stop.
    pub fn scores(&self) -> Columns {
        let last = self.evaluations.last();
        let last = last.filter(|last| last.step == self.steps || self.interrupted);
        last.map(|last| last.columns.clone()).unwrap_or_default()
    }
}
