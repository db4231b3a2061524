//! Numbers of a run, as rows of its tables.

use std::{fs::File, io::Write, path::PathBuf};

use ijepa_train::{RunFolder, TrainError};
use serde::Serialize;

use crate::accuracy::Accuracy;

const METRICS: &str = "metrics.csv";
const METRICS_HEADER: &str =
    "epoch,step,images,loss,lr,data_wait_ms,step_ms,images_per_s,grad_norm";
const EPOCHS: &str = "epochs.csv";
const EPOCHS_HEADER: &str = "epoch,step,top1,top5";

/// One logged step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FinetuneRow {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Step, from 0.
    pub step: u64,
    /// Images seen, this step's included.
    pub images: u64,
    /// Loss of the step.
    pub loss: f64,
    /// Learning rate of the head.
    pub lr: f64,
    /// Time waited for data a step, mean since the last row, milliseconds.
    pub data_wait_ms: f64,
    /// Time of a step, mean since the last row, milliseconds.
    pub step_ms: f64,
    /// Images per second since the last row.
    pub images_per_s: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
}

/// Accuracy on the test images after an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EpochAccuracy {
    /// Completed epochs.
    pub epoch: u64,
    /// Completed steps.
    pub step: u64,
    /// Accuracy in percent.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

/// The tables of a run directory.
#[derive(Debug)]
pub(crate) struct Tables {
    metrics: File,
    epochs: File,
    path: PathBuf,
    /// All rows of `epochs.csv`.
    pub(crate) accuracies: Vec<EpochAccuracy>,
}

impl Tables {
    /// Opens both tables, cut back to the first `step` steps.
    pub(crate) fn open(run: &RunFolder, step: u64) -> Result<Self, TrainError> {
        let path = run.path().to_owned();
        let metrics = run.table(METRICS, METRICS_HEADER, step)?;
        let epochs = run.table(EPOCHS, EPOCHS_HEADER, step + 1)?;
        let text = std::fs::read_to_string(path.join(EPOCHS)).unwrap_or_default();
        Ok(Self {
            metrics,
            epochs,
            path,
            accuracies: text.lines().filter_map(parse_epoch).collect(),
        })
    }

    pub(crate) fn log(&mut self, row: &FinetuneRow) -> Result<(), TrainError> {
        let FinetuneRow {
            epoch,
            step,
            images,
            loss,
            lr,
            data_wait_ms,
            step_ms,
            images_per_s,
            grad_norm,
        } = *row;
        let times = format!("{data_wait_ms:.2},{step_ms:.2},{images_per_s:.2}");
        let line = format!("{epoch},{step},{images},{loss},{lr},{times},{grad_norm}");
        writeln!(self.metrics, "{line}").map_err(|source| self.cannot_write(METRICS, source))
    }

    pub(crate) fn log_epoch(&mut self, found: EpochAccuracy) -> Result<(), TrainError> {
        let Accuracy { top1, top5 } = found.accuracy;
        let line = format!("{},{},{top1},{top5}", found.epoch, found.step);
        writeln!(self.epochs, "{line}").map_err(|source| self.cannot_write(EPOCHS, source))?;
        self.accuracies.push(found);
        Ok(())
    }

    fn cannot_write(&self, name: &str, source: std::io::Error) -> TrainError {
        TrainError::Io {
            action: "write",
            path: self.path.join(name),
            source,
        }
    }
}

/// A row of `epochs.csv`; its header is none.
fn parse_epoch(line: &str) -> Option<EpochAccuracy> {
    let cells: Vec<&str> = line.split(',').collect();
    let [epoch, step, top1, top5] = cells[..] else {
        return None;
    };
    Some(EpochAccuracy {
        epoch: epoch.parse().ok()?,
        step: step.parse().ok()?,
        accuracy: Accuracy {
            top1: top1.parse().ok()?,
            top5: top5.parse().ok()?,
        },
    })
}
