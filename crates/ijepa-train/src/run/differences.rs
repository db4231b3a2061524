//! What a run is given, and what of it is different where the run goes on.

use std::path::Path;

use ijepa_data::{Decoding, Fingerprint};
use ijepa_model::checkpoint::TrainingState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::task::{Rhythm, Task};
use crate::{
    error::TrainError,
    recipe::{Settings, diff},
    resolve::ResolveError,
};

/// What a checkpoint knows of the loader and its data.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct LoaderState {
    data: Option<Fingerprint>,
}

impl LoaderState {
    fn of(state: &TrainingState) -> Self {
        let found = state.loader.clone().map(serde_json::from_value);
        found.and_then(Result::ok).unwrap_or_default()
    }

    /// The step is there for whoever reads it.
    pub(super) fn json(step: u64, data: &Fingerprint) -> Value {
        serde_json::json!({ "next_step": step, "data": data })
    }
}

/// A run that goes on after `step` completed steps from a checkpoint with `state`.
pub(super) struct Differences<'a> {
    pub(super) state: &'a TrainingState,
    pub(super) step: u64,
    pub(super) rhythm: Rhythm,
}

impl Differences<'_> {
    /// A warning if the checkpoint knows its data and it was not `now`.
    pub(super) fn data(&self, now: &Fingerprint) -> Option<String> {
        let difference = LoaderState::of(self.state).data?.difference(now)?;
        let same_epochs = self.step / self.rhythm.steps_per_epoch == self.state.epoch;
        let what_becomes = match same_epochs {
            true => String::new(),
            false => format!("; {}", self.what_becomes()),
        };
        Some(format!(
            "the data is not what the run has seen so far: {difference}{what_becomes}"
        ))
    }

    /// A warning if the checkpoint knows its batch size and it is another one now.
    pub(super) fn batch_size(&self) -> Option<String> {
        let (then, now) = (self.state.batch_size?, self.rhythm.batch_size);
        // Official checkpoints have that of a device.
        let (of_run, images) = (self.state.step.is_some(), self.state.images?);
        (of_run && then != now).then(|| {
            format!(
                "steps have {now} images, not {then} as before; the {images} images seen so far \
                 count as they were; {}",
                self.what_becomes()
            )
        })
    }

    /// What becomes of epochs and schedules.
    fn what_becomes(&self) -> String {
        let Rhythm {
            steps_per_epoch,
            total_steps,
            ..
        } = self.rhythm;
        let epochs = self.step as f64 / steps_per_epoch as f64;
        format!(
            "an epoch has {steps_per_epoch} steps now, so {} completed ones become {epochs:.2}; \
             schedules go on at step {} of {total_steps}",
            self.state.epoch, self.step
        )
    }
}

/// `decoding` as checkpoints keep it, where it is not as by default.
pub fn described_decoding(decoding: Decoding) -> Option<Value> {
    (decoding != Decoding::default()).then(|| serde_json::json!(decoding))
}

/// What is known about how a run is carried out.
pub(super) fn described(environment: &Value, data: &Fingerprint) -> Value {
    let mut described = match environment {
        Value::Object(known) => known.clone(),
        Value::Null => serde_json::Map::new(),
        other => [("environment".to_owned(), other.clone())]
            .into_iter()
            .collect(),
    };
    described.insert("data_fingerprint".to_owned(), serde_json::json!(data));
    described.into()
}

/// What the task does differently from the one that a checkpoint is of; one that lacks parts of
/// that one's own is refused.
pub(super) fn changed<T: Task>(
    task: &T,
    state: &TrainingState,
    checkpoint: &Path,
) -> Result<Vec<(String, String, String)>, TrainError> {
    const OWN: &str = "the program's own";
    let (before, now) = (&state.own_parts, task.own_parts());
    if let Some(part) = before.iter().find(|part| !now.contains(&part.as_str())) {
        return Err(TrainError::OtherRecipe {
            path: checkpoint.to_owned(),
            key: part.clone(),
            found: OWN.to_owned(),
            expected: "nothing of it".to_owned(),
        });
    }
    let added = now
        .iter()
        .filter(|&&part| !before.iter().any(|it| it == part));
    let added = added.map(|&part| (part.to_owned(), "the recipe's".to_owned(), OWN.to_owned()));
    let Some(recipe) = &state.recipe else {
        return Ok(added.collect());
    };
    let recipe = T::Settings::from_toml(recipe, &checkpoint.to_string_lossy());
    let mut changed = diff(&recipe.map_err(ResolveError::from)?, task.settings());
    let learned = |key: &str| !key.starts_with("run.") || T::LEARNED.contains(&key);
    changed.retain(|(key, ..)| learned(key));
    changed.extend(added);
    Ok(changed)
}
