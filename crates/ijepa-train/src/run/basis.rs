//! What the scores of a run are measured on.

use std::path::{Path, PathBuf};

use ijepa_model::files::{FileError, write_bytes};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::table::read;

const FILE: &str = "evaluation.json";

/// What scores are measured on, as observers describe it, and from which completed step on.
///
/// It is written with the first score of its own: whoever is killed before measures again.
#[derive(Debug)]
pub(super) struct Basis {
    path: PathBuf,
    known: Known,
    /// Whether the file says something else, or nothing.
    is_new: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Known {
    measured_on: Vec<Value>,
    since_step: u64,
}

impl Basis {
    /// That of `now` for the run in `folder`, which goes on after `step` completed steps. Where
    /// nothing is described, what the folder knows stays true.
    pub(super) fn open(folder: &Path, step: u64, now: Vec<Value>) -> Result<Self, FileError> {
        let path = folder.join(FILE);
        let before = serde_json::from_str::<Known>(&read(&path)?).ok();
        let differs = |it: &Known| it.measured_on != now || it.since_step > step;
        let is_new = !now.is_empty() && before.as_ref().is_none_or(differs);
        let known = match is_new {
            true => Known {
                measured_on: now,
                since_step: step,
            },
            false => before.unwrap_or_default(),
        };
        Ok(Self {
            path,
            known,
            is_new,
        })
    }

    /// Whether scores after `step` completed steps that are there already were measured on it.
    pub(super) fn covers(&self, step: u64) -> bool {
        step > self.known.since_step || (step == self.known.since_step && !self.is_new)
    }

    /// Whether nothing has been measured on it yet.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes down that something was measured on it.
    pub(super) fn used(&mut self) -> Result<(), FileError> {
        if self.is_new {
            let text = serde_json::to_string_pretty(&self.known).expect("it is plain data");
            write_bytes(&self.path, format!("{text}\n"))?;
            self.is_new = false;
        }
        Ok(())
    }
}
