//! Numbers of a run, as rows of its tables.

use std::{fs::File, io::Write, path::PathBuf};

use ijepa_train::{RunFolder, StepTable, TrainError};
use serde::Serialize;

use crate::accuracy::Accuracy;

const EPOCHS: &str = "epochs.csv";
const EPOCHS_HEADER: &str = "epoch,step,top1,top5";

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
    pub(crate) steps: StepTable,
    epochs: File,
    path: PathBuf,
    /// All rows of `epochs.csv`.
    pub(crate) accuracies: Vec<EpochAccuracy>,
}

impl Tables {
    /// Opens both tables, cut back to the first `step` steps.
    pub(crate) fn open(run: &RunFolder, step: u64) -> Result<Self, TrainError> {
        let path = run.path().join(EPOCHS);
        let epochs = run.table(EPOCHS, EPOCHS_HEADER, step + 1)?;
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        Ok(Self {
            steps: StepTable::open(run, step)?,
            epochs,
            path,
            accuracies: text.lines().filter_map(parse_epoch).collect(),
        })
    }

    pub(crate) fn log_epoch(&mut self, found: EpochAccuracy) -> Result<(), TrainError> {
        let Accuracy { top1, top5 } = found.accuracy;
        let line = format!("{},{},{top1},{top5}", found.epoch, found.step);
        writeln!(self.epochs, "{line}").map_err(|source| TrainError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        })?;
        self.accuracies.push(found);
        Ok(())
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
