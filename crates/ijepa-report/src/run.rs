//! What a run directory says.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ijepa_train::{
    EpochScores, Monitors, Recipe,
    flops::{self, StepTokens},
};
use serde_json::Value;

use crate::verdict::{History, Judgement, judge};
use crate::{error::ReportError, table::Table};

/// Names of results and the files that hold them.
const RESULTS: [(&str, &str); 3] = [
    ("knn", "knn.json"),
    ("probe", "probe.json"),
    ("lowshot", "lowshot.json"),
];
/// The protocol of `ijepa probe` that uses few labels.
const LOW_SHOT: &str = "lowshot-logistic";

/// The files of a run, finished or not, as far as they can be read.
///
/// ```no_run
/// use ijepa_report::RunRecord;
///
/// let run = RunRecord::read("runs/nano")?;
/// println!("{}: {}", run.name(), run.judgement().verdict.words());
/// # Ok::<(), ijepa_report::ReportError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RunRecord {
    path: PathBuf,
    name: String,
    pub(crate) recipe: Option<Recipe>,
    pub(crate) recipe_text: String,
    pub(crate) environment: Value,
    pub(crate) metrics: Table,
    pub(crate) monitors: Table,
    pub(crate) epochs: Table,
    /// Results that other commands left in the directory: `knn.json`, `probe.json`,
    /// `lowshot.json`.
    pub(crate) results: Vec<(&'static str, Value)>,
}

impl RunRecord {
    /// Reads the run in `path`. Files that are missing or unreadable as what they should be leave
    /// their part of the report out.
    ///
    /// # Errors
    ///
    /// A [`ReportError`] if there is no run or a file of it cannot be read from disk.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, ReportError> {
        let path = path.into();
        let text = |name: &str| text_of(&path.join(name));
        let (recipe, metrics) = (text("recipe.toml")?, text("metrics.csv")?);
        if recipe.is_none() && metrics.is_none() {
            return Err(ReportError::NoRun { path });
        }
        let table = |text: Option<String>| Table::parse(&text.unwrap_or_default());
        let json = |text: Option<String>| serde_json::from_str(&text?).ok();
        let recipe_text = recipe.unwrap_or_default();
        let mut results = Vec::new();
        for (name, file) in RESULTS {
            results.extend(json(text(file)?).map(|value| (name, value)));
        }
        Ok(Self {
            name: name_of(&path),
            recipe: Recipe::from_toml(&recipe_text, "recipe.toml").ok(),
            recipe_text,
            environment: json(text("environment.json")?).unwrap_or_default(),
            metrics: table(metrics),
            monitors: table(text("monitors.csv")?),
            epochs: table(text("epochs.csv")?),
            results,
            path,
        })
    }

    /// The run directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last part of its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names the run by its whole path.
    pub(crate) fn use_path_as_name(&mut self) {
        self.name = self.path.display().to_string();
    }

    /// The recipe, if it is one of this version.
    pub fn recipe(&self) -> Option<&Recipe> {
        self.recipe.as_ref()
    }

    /// The training data as its command line named them.
    pub fn data_spec(&self) -> Option<&str> {
        if let Some(spec) = self.environment["data"].as_str() {
            return Some(spec);
        }
        let words = self.environment["command"].as_array()?;
        let flag = words.iter().position(|word| word == "--data")?;
        words.get(flag + 1)?.as_str()
    }

    /// Whether the run is learning or collapsing.
    pub fn judgement(&self) -> Judgement {
        judge(&self.history())
    }

    /// What [`judge`] looks at.
    pub fn history(&self) -> History {
        let column = |name: &str| self.monitors.column(name);
        let [std, patch, image, ratio] =
            ["feature_std", "patch_cosine", "image_cosine", "loss_ratio"].map(column);
        let monitors = (0..self.monitors.len()).filter_map(|row| {
            Some(Monitors {
                feature_std: std[row]?,
                patch_cosine: patch[row]?,
                image_cosine: image[row]?,
                loss_ratio: ratio[row]?,
            })
        });
        let score = |name: &str| self.epochs.column(name);
        let [rank, centered, knn, probe] = ["rankme", "rankme_centered", "knn", "probe"].map(score);
        let epochs = (0..self.epochs.len()).map(|row| EpochScores {
            rankme: rank[row],
            rankme_centered: centered[row],
            knn: knn[row],
            probe: probe[row],
            ..EpochScores::default()
        });
        History {
            steps: self.steps(),
            monitors: monitors.collect(),
            epochs: epochs.collect(),
        }
    }

    /// Completed steps, as far as they were logged, evaluated or saved.
    pub fn steps(&self) -> u64 {
        let logged = self.metrics.last("step").map_or(0, |step| step as u64 + 1);
        let evaluated = self.epochs.last("step").map_or(0, |step| step as u64);
        let latest = fs::read_link(self.path.join("checkpoints/latest")).ok();
        let saved = latest.and_then(|name| name.to_str()?.strip_prefix("step-")?.parse().ok());
        logged.max(evaluated).max(saved.unwrap_or(0))
    }

    /// Steps of the whole schedule, if the files say it.
    pub fn total_steps(&self) -> Option<u64> {
        if let Some(steps) = self.environment["total_steps"].as_u64() {
            return Some(steps);
        }
        let optimizer = &self.recipe.as_ref()?.optimizer;
        let per_epoch = match optimizer.steps_per_epoch {
            0 => self.epochs.last("step")? / (self.epochs.last("epoch")? + 1.0),
            steps => steps as f64,
        };
        Some((per_epoch * optimizer.epochs as f64) as u64)
    }

    /// Top-1 accuracy of a linear probe on all labels that was left in the directory, percent.
    pub(crate) fn linear(&self) -> Option<f64> {
        let probe = self
            .result("probe")
            .filter(|probe| probe["protocol"] != LOW_SHOT);
        probe?["top1"].as_f64()
    }

    /// Top-1 accuracy with few labels that was left in the directory, percent.
    pub(crate) fn low_shot(&self) -> Option<f64> {
        let probe = || {
            self.result("probe")
                .filter(|probe| probe["protocol"] == LOW_SHOT)
        };
        self.result("lowshot").or_else(probe)?["top1"].as_f64()
    }

    fn result(&self, wanted: &str) -> Option<&Value> {
        let found = self.results.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value)
    }

    /// For every row of the metrics, hours of computing up to it; rows without a speed count
    /// nothing.
    pub(crate) fn hours(&self) -> Vec<Option<f64>> {
        let speed = self.metrics.column("images_per_s");
        self.accumulate(|row, images| match speed[row] {
            Some(speed) if speed > 0.0 => images / speed / 3600.0,
            _ => 0.0,
        })
    }

    /// For every row of the metrics, operations up to it by [`flops::step`]; empty without a recipe.
    pub(crate) fn flop(&self) -> Vec<Option<f64>> {
        let config = self.recipe.as_ref().and_then(|recipe| {
            let targets = recipe.mask.num_targets;
            Some((
                recipe.model_config().ok()?,
                recipe.mask.num_contexts,
                targets,
            ))
        });
        let Some((config, contexts, targets)) = config else {
            return Vec::new();
        };
        let context = self.metrics.column("context_patches");
        let target = self.metrics.column("target_patches");
        self.accumulate(|row, images| {
            let tokens = StepTokens {
                contexts,
                context: context[row].unwrap_or(0.0).round() as usize,
                targets,
                target: target[row].unwrap_or(0.0).round() as usize,
            };
            images * flops::step(&config, tokens)
        })
    }

    /// Sums `cost(row, images since the row before)` over the rows.
    fn accumulate(&self, cost: impl Fn(usize, f64) -> f64) -> Vec<Option<f64>> {
        let (mut sum, mut before) = (0.0, 0.0);
        let images = self.metrics.column("images").into_iter().enumerate();
        images
            .map(|(row, images)| {
                let images = images?;
                sum += cost(row, (images - before).max(0.0));
                before = images;
                Some(sum)
            })
            .collect()
    }

    /// For every evaluated epoch the value of `totals` (one per row of the metrics) at its step.
    pub(crate) fn at_epochs(&self, totals: &[Option<f64>]) -> Vec<Option<f64>> {
        let steps = self.metrics.column("step");
        let ends = self.epochs.column("step");
        let at = |end: Option<f64>| {
            let end = end?;
            let before = steps.iter().zip(totals);
            let before = before.take_while(|(step, _)| step.is_some_and(|step| step < end));
            before.filter_map(|(_, total)| *total).last()
        };
        ends.into_iter().map(at).collect()
    }
}

fn text_of(path: &Path) -> Result<Option<String>, ReportError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReportError::Read {
            path: path.to_owned(),
            source,
        }),
    }
}

fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().unwrap_or(whole.as_os_str());
    name.to_string_lossy().into_owned()
}
