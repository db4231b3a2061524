//! One run of a table: trained, judged, remembered.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ijepa_report::RunRecord;
use ijepa_train::PretrainPlan;
use serde::{Deserialize, Serialize};

use super::{AblationError, AblationRunReport, Metric, metric::Judge};
use crate::sweep::{OtherRun, Outcome, Variant, kept, training::Training};

/// What is remembered of a run, beside it.
const KEPT: &str = "ablation.json";

/// One run.
pub(super) struct Run<'a> {
    pub(super) metrics: &'static [Metric],
    /// What the recipe changes, which names the folder.
    pub(super) changes: Vec<String>,
    pub(super) plan: &'a PretrainPlan,
    pub(super) out: &'a Path,
    pub(super) judge: &'a Judge<'a>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Kept {
    /// The images it was trained on.
    data: String,
    training: Option<Facts>,
    /// Accuracies in percent by what they were measured with.
    accuracy: BTreeMap<String, f64>,
}

/// How training ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Facts {
    steps: u64,
    images: u64,
    loss: Option<f64>,
    minutes: Option<f64>,
    outcome: Outcome,
}

impl Run<'_> {
    /// What an earlier call found; none if the run did not end.
    pub(super) fn known(&self) -> Result<Option<AblationRunReport>, AblationError> {
        let kept = self.kept()?;
        Ok(kept
            .training
            .as_ref()
            .map(|facts| self.report(facts, &kept)))
    }

    /// Does what an earlier call has not done.
    pub(super) fn finish(&self) -> Result<AblationRunReport, AblationError> {
        let mut kept = self.kept()?;
        let measured = |metric: &&Metric| kept.accuracy.contains_key(&self.judge.key(**metric));
        let diverged = |facts: &Facts| matches!(facts.outcome, Outcome::Diverged(_));
        let missing: Vec<Metric> = self
            .metrics
            .iter()
            .filter(|m| !measured(m))
            .copied()
            .collect();
        if let Some(facts) = &kept.training
            && (missing.is_empty() || diverged(facts))
        {
            return Ok(self.report(facts, &kept));
        }
        let folder = self.folder();
        kept.data = self.judge.data.data.0.clone();
        self.keep(&kept)?;
        let training = Training {
            plan: self.plan,
            until: self.plan.total_steps(),
            folder: &folder,
            data: &self.judge.data.data.1,
            device: self.judge.device,
            options: self.judge.options,
        };
        let trained = training.run()?;
        let facts = kept.training.take().unwrap_or_else(|| Facts {
            steps: trained.steps,
            images: trained.images,
            loss: trained.loss,
            minutes: minutes(&folder),
            outcome: trained.outcome,
        });
        for metric in missing {
            if let Some(encoder) = &trained.encoder {
                let recipe = self.plan.recipe();
                let accuracy = self.judge.accuracy(metric, encoder, &folder, recipe)?;
                kept.accuracy.insert(self.judge.key(metric), accuracy);
            }
        }
        kept.training = Some(facts.clone());
        self.keep(&kept)?;
        Ok(self.report(&facts, &kept))
    }

    fn folder(&self) -> PathBuf {
        let name = match &self.changes[..] {
            [] => "base".to_owned(),
            changes => changes.join(" "),
        };
        let variant = Variant {
            name,
            overrides: Vec::new(),
        };
        let seed = self.plan.recipe().run.seed;
        self.out.join(format!("{}-seed{seed}", variant.folder()))
    }

    /// What was remembered, if it is of this run.
    fn kept(&self) -> Result<Kept, AblationError> {
        let folder = self.folder();
        let kept: Kept = kept::read(&folder.join(KEPT))?;
        if let Some(other) = kept::other_recipe(&folder, self.plan.recipe())? {
            return Err(other.into());
        }
        let data = &self.judge.data.data.0;
        if !kept.data.is_empty() && kept.data != *data {
            let other = OtherRun {
                path: folder,
                key: "data".to_owned(),
                found: kept.data,
                expected: data.clone(),
            };
            return Err(other.into());
        }
        Ok(kept)
    }

    fn keep(&self, kept: &Kept) -> Result<(), AblationError> {
        Ok(kept::write(&self.folder().join(KEPT), kept)?)
    }

    fn report(&self, facts: &Facts, kept: &Kept) -> AblationRunReport {
        let accuracy = |metric: &Metric| kept.accuracy.get(&self.judge.key(*metric)).copied();
        AblationRunReport {
            seed: self.plan.recipe().run.seed,
            run: self.folder(),
            steps: facts.steps,
            images: facts.images,
            loss: facts.loss,
            minutes: facts.minutes,
            outcome: facts.outcome.clone(),
            accuracy: self.metrics.iter().map(accuracy).collect(),
        }
    }
}

/// Minutes that the logged steps took, those before a resumption included.
fn minutes(folder: &Path) -> Option<f64> {
    let record = RunRecord::read(folder).ok()?;
    Some(record.summary().device_hours? * 60.0)
}
