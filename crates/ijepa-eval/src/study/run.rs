//! One run of a study: trained as far as asked, judged, and remembered.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use ijepa_model::files::{FileError, read_file, write_bytes};
use ijepa_train::{
    PretrainPlan, Recipe,
    recipe::{Settings as _, diff},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    NamedSource, Outcome, StudyError,
    measure::{Judge, Score, Seen},
};
use crate::stop::unless_stopped;

/// What is remembered of a run, beside it.
const SCORES: &str = "scores.json";

/// A run and what it was worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// Name of the variant.
    pub variant: String,
    /// Its seed.
    pub seed: u64,
    /// Its directory.
    pub run: PathBuf,
    /// Completed steps.
    pub steps: u64,
    /// Steps of its whole schedule.
    pub schedule_steps: u64,
    /// Images seen.
    pub images: u64,
    /// What they cost in what is equal: images, operations, or minutes by the measured speed.
    pub cost: f64,
    /// Loss of the last step.
    pub loss: Option<f64>,
    /// Minutes of training, evaluation apart.
    pub minutes: f64,
    /// Whether it can be believed.
    pub outcome: Outcome,
    /// Accuracies, percent, one a measure; none if it diverged.
    pub accuracy: Vec<Option<f64>>,
    /// The same of the initial weights, of measures that look at them.
    pub at_start: Vec<Option<f64>>,
    /// Effective rank of the features of the first measure's training images, if it looked at it.
    pub rankme: Option<f64>,
}

impl fmt::Display for RunReport {
    /// A line that says how it ended.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (variant, seed, steps) = (&self.variant, self.seed, self.steps);
        write!(f, "{variant}, seed {seed}, {steps} steps")?;
        for (column, (accuracy, at_start)) in self.accuracy.iter().zip(&self.at_start).enumerate() {
            f.write_str(if column == 0 { ": " } else { ", " })?;
            match (accuracy, at_start) {
                (Some(now), Some(start)) => write!(f, "{now:.1} % ({:+.1})", now - start)?,
                (Some(now), None) => write!(f, "{now:.1} %")?,
                (None, _) => f.write_str("-")?,
            }
        }
        match &self.outcome {
            Outcome::Finished => Ok(()),
            Outcome::Collapsed(reason) | Outcome::Diverged(reason) => write!(f, "; {reason}"),
        }
    }
}

/// What is remembered.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(expecting = "what a study remembers of a run")]
struct Kept {
    /// What the results depend on beside the recipe.
    made_from: BTreeMap<String, String>,
    /// Of all processes that trained it.
    #[serde(default)]
    minutes: f64,
    /// By the number of steps after which they were made.
    reports: BTreeMap<u64, KeptReport>,
}

/// The run after some steps.
#[derive(Debug, Serialize, Deserialize)]
struct KeptReport {
    steps: u64,
    images: u64,
    loss: Option<f64>,
    #[serde(default)]
    minutes: f64,
    outcome: Outcome,
    /// By what they were measured with.
    #[serde(default)]
    scores: BTreeMap<String, Score>,
}

impl KeptReport {
    /// Measures that were not made, by number.
    fn missing(&self, keys: &[String]) -> Vec<usize> {
        let missing = |&column: &usize| !self.scores.contains_key(&keys[column]);
        match self.outcome {
            Outcome::Diverged(_) => Vec::new(),
            _ => (0..keys.len()).filter(missing).collect(),
        }
    }
}

/// A run as it is asked for.
pub(super) struct Run<'a> {
    pub(super) variant: &'a str,
    pub(super) plan: &'a PretrainPlan,
    /// What an image costs in what is equal.
    pub(super) cost_per_image: f64,
    /// Steps after which it is judged.
    pub(super) until: u64,
    pub(super) folder: PathBuf,
    pub(super) data: &'a NamedSource,
    /// What its results depend on beside the recipe.
    pub(super) made_from: &'a BTreeMap<String, String>,
    /// How its encoder is judged.
    pub(super) seen: &'a Seen,
}

impl Run<'_> {
    /// What an earlier call found; none if the run did not get there.
    pub(super) fn known(&self) -> Result<Option<RunReport>, StudyError> {
        let kept = self.kept()?;
        let found = kept.reports.get(&self.until);
        Ok(found.map(|report| self.report(report)))
    }

    /// Does what earlier calls have not done.
    pub(super) fn finish(&self, judge: &mut Judge<'_>) -> Result<RunReport, StudyError> {
        let mut kept = self.kept()?;
        if let Some(report) = kept.reports.get(&self.until)
            && report.missing(&self.seen.keys).is_empty()
        {
            return Ok(self.report(report));
        }
        kept.made_from.extend(self.made_from.clone());
        self.keep(&kept)?;
        let (plan, data) = (self.plan, &self.data.source);
        let what = format!("{}, seed {}", self.variant, plan.recipe().run.seed);
        let trained = judge
            .training
            .pretrain(&what, plan, self.until, &self.folder, data)?;
        kept.minutes += trained.minutes;
        let interrupted = || StudyError::Interrupted {
            step: trained.steps,
            run: self.folder.clone(),
        };
        if trained.interrupted {
            self.keep(&kept)?;
            return Err(interrupted());
        }
        if trained.steps > self.until {
            return Err(StudyError::TooFar {
                path: self.folder.clone(),
                step: trained.steps,
                until: self.until,
            });
        }
        let report = kept.reports.entry(self.until);
        let report = report.or_insert_with(|| KeptReport {
            steps: trained.steps,
            images: trained.images,
            loss: trained.loss,
            minutes: kept.minutes,
            outcome: trained.outcome,
            scores: BTreeMap::new(),
        });
        let missing = report.missing(&self.seen.keys);
        self.keep(&kept)?;
        for column in missing {
            if let Some(encoder) = &trained.encoder {
                let (recipe, folder) = (plan.recipe(), &self.folder);
                let score = judge.score(column, self.seen, encoder, recipe, folder);
                let stop = &judge.training.options.stop;
                let score = unless_stopped(stop, score)?.ok_or_else(interrupted)?;
                if let Some(report) = kept.reports.get_mut(&self.until) {
                    let key = self.seen.keys[column].clone();
                    report.scores.insert(key, score);
                }
                self.keep(&kept)?;
            }
        }
        Ok(self.report(&kept.reports[&self.until]))
    }

    fn report(&self, report: &KeptReport) -> RunReport {
        let keys = self.seen.keys.iter();
        let scores: Vec<_> = keys.map(|key| report.scores.get(key)).collect();
        let of = |value: fn(&Score) -> Option<f64>| -> Vec<Option<f64>> {
            scores.iter().map(|score| score.and_then(value)).collect()
        };
        RunReport {
            variant: self.variant.to_owned(),
            seed: self.plan.recipe().run.seed,
            run: self.folder.clone(),
            steps: report.steps,
            schedule_steps: self.plan.total_steps(),
            images: report.images,
            cost: self.cost_per_image * report.images as f64,
            loss: report.loss,
            minutes: report.minutes,
            outcome: report.outcome.clone(),
            accuracy: of(|score| Some(score.accuracy)),
            at_start: of(|score| score.at_start),
            rankme: of(|score| score.rankme).into_iter().flatten().next(),
        }
    }

    /// What was remembered, if it is of this run.
    fn kept(&self) -> Result<Kept, StudyError> {
        let kept: Kept = read(&self.folder.join(SCORES))?;
        let now = self.made_from;
        let mut known = kept.made_from.iter();
        let other = known.find_map(|(key, found)| {
            let expected = now.get(key).filter(|expected| *expected != found)?;
            Some((key.clone(), found.clone(), expected.clone()))
        });
        match self.other_recipe()?.or(other) {
            Some((key, found, expected)) => Err(StudyError::OtherRun {
                path: self.folder.clone(),
                key,
                found,
                expected,
            }),
            None => Ok(kept),
        }
    }

    /// How the recipe of the run in the folder, if there is one, differs from this one's: key,
    /// value there, value now.
    fn other_recipe(&self) -> Result<Option<(String, String, String)>, StudyError> {
        let path = self.folder.join(Recipe::FILE);
        let Some(text) = read_file(&path)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&text);
        let found = Recipe::from_toml(&text, &path.display().to_string())?;
        Ok(diff(&found, self.plan.recipe()).into_iter().next())
    }

    fn keep(&self, kept: &Kept) -> Result<(), FileError> {
        let text = serde_json::to_vec_pretty(kept).expect("a report is plain data");
        write_bytes(&self.folder.join(SCORES), text)
    }
}

/// What was written, or nothing if nothing was.
pub(super) fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, StudyError> {
    let Some(bytes) = read_file(path)? else {
        return Ok(T::default());
    };
    serde_json::from_slice(&bytes).map_err(|source| StudyError::Damaged {
        path: path.to_owned(),
        source,
    })
}
