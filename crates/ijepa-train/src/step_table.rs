//! Steps of supervised and other simple runs, as rows of `metrics.csv`.

use std::{fs::File, io::Write, path::PathBuf};

use crate::{
    clock::Lap,
    error::TrainError,
    run_folder::{METRICS, RunFolder, io},
};

const HEADER: &str = "epoch,step,images,loss,lr,data_wait_ms,step_ms,images_per_s,grad_norm";

/// One logged step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRow {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step, from 0.
    pub step: u64,
    /// Images seen, this step's included.
    pub images: u64,
    /// Loss.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Times since the last row.
    pub times: Lap,
    /// Global gradient norm of the step before clipping.
    pub grad_norm: f64,
}

/// `metrics.csv` of a run directory.
#[derive(Debug)]
pub struct StepTable {
    file: File,
    path: PathBuf,
}

impl StepTable {
    /// Opens the table, cut back to the first `step` steps.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if it cannot be written.
    pub fn open(run: &RunFolder, step: u64) -> Result<Self, TrainError> {
        Ok(Self {
            file: run.table(METRICS, HEADER, step)?,
            path: run.path().join(METRICS),
        })
    }

    /// Appends a row: numbers in full precision but times.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if it cannot be written.
    pub fn log(&mut self, row: &StepRow) -> Result<(), TrainError> {
        let StepRow {
            epoch,
            step,
            images,
            loss,
            lr,
            times,
            grad_norm,
        } = row;
        let Lap {
            data_wait_ms,
            step_ms,
            images_per_s,
        } = times;
        let times = format!("{data_wait_ms:.2},{step_ms:.2},{images_per_s:.2}");
        let line = format!("{epoch},{step},{images},{loss},{lr},{times},{grad_norm}");
        writeln!(self.file, "{line}").map_err(io("write", &self.path))
    }
}
