//! Who watches a run.

use std::sync::atomic::AtomicBool;

use ijepa_data::Skipped;
use serde_json::Value;

use super::{
    row::{Columns, Row},
    task::Measured,
};

/// A failure of an observer.
pub type ObserverError = Box<dyn std::error::Error + Send + Sync>;

/// Watches a run that trains an `L`; every method does nothing unless it is implemented.
pub trait Observer<L> {
    /// Before the first step of a run that goes on from a checkpoint.
    fn on_resume(&mut self, from: &Resumption) {
        let _ = from;
    }

    /// After a logged step.
    fn on_log(&mut self, row: &Row, measured: &Measured) {
        let _ = (row, measured);
    }

    /// Measures what is trained: before the first step, after an epoch that the settings evaluate
    /// and where a run ends that was not told to stop. Once `stop` is set nobody waits for scores,
    /// and none are to be returned; the evaluation is made up for when the run goes on.
    ///
    /// # Errors
    ///
    /// Ends the run, which is saved.
    fn measure(
        &mut self,
        at: &Position,
        learner: &L,
        stop: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        let _ = (at, learner, stop);
        Ok(Columns::default())
    }

    /// Images that the last [`measure`](Self::measure) could not read; the run lists them.
    fn skipped(&self) -> Vec<Skipped> {
        Vec::new()
    }

    /// What is missing of what it measures on without being missed, see
    /// [`Source::faults`](ijepa_data::Source::faults).
    fn faults(&self) -> Vec<String> {
        Vec::new()
    }

    /// What [`measure`](Self::measure) measures on and how, if that may be something else when a
    /// run goes on: scores of other data are not compared, and where the run stands is measured
    /// again, or at the end of the epoch that it is in.
    fn measured_on(&self) -> Option<Value> {
        None
    }

    /// After an evaluation, with the scores of all observers.
    fn on_scores(&mut self, scores: &Row) {
        let _ = scores;
    }

    /// Something that does not end the run and should be known.
    fn on_warning(&mut self, warning: &str) {
        let _ = warning;
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Completed steps.
    pub step: u64,
    /// Images seen.
    pub images: u64,
    /// Completed epochs.
    pub epochs: u64,
}

/// Where a run goes on, and what it does differently from there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resumption {
    /// Completed steps.
    pub step: u64,
    /// Keys that change what is learned and differ from the checkpoint's settings, each with its
    /// value there and now.
    pub changed: Vec<(String, String, String)>,
}
