//! What a run directory says.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use ijepa_model::{
    checkpoint::run_folder,
    files::{FileError, read_file},
};
use ijepa_train::{
    EpochScores, Monitors, Recipe,
    recipe::{self, Settings as _},
    run::files,
};
use serde::Serialize;
use serde_json::Value;

use crate::verdict::{History, Judgement, judge, judge_supervised};
use crate::{error::ReportError, table::Table};

/// Names of results and the files that hold them.
const RESULTS: [(&str, &str); 4] = [
    ("baselines", files::BASELINES),
    ("knn", "knn.json"),
    ("probe", "probe.json"),
    ("lowshot", "lowshot.json"),
];
/// The protocol of `ijepa probe` that uses few labels.
const LOW_SHOT: &str = "lowshot-logistic";
/// The one whose heads are not linear.
const ATTENTIVE: &str = "attentive";

/// What a run trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// An encoder, without labels.
    Pretraining,
    /// A classifier.
    FineTuning,
    /// A decoder that makes images of representations.
    Decoder,
}

impl RunKind {
    /// All kinds with the names of their settings.
    const SETTINGS: [(Self, &'static str); 3] = [
        (Self::Pretraining, Recipe::FILE),
        (Self::FineTuning, files::FINE_TUNING),
        (Self::Decoder, files::DECODER),
    ];

    /// What is done, in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Pretraining => "pretraining",
            Self::FineTuning => "fine-tuning",
            Self::Decoder => "decoder training",
        }
    }
}

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
    kind: RunKind,
    pub(crate) recipe: Option<Recipe>,
    pub(crate) recipe_text: String,
    pub(crate) environment: Value,
    pub(crate) metrics: Table,
    pub(crate) monitors: Table,
    pub(crate) epochs: Table,
    /// The step from which on scores can be compared.
    pub(crate) measured_since: f64,
    /// Results that commands left in the directory: `baselines.json`, `knn.json`, `probe.json`,
    /// `lowshot.json`.
    pub(crate) results: Vec<(&'static str, Value)>,
    /// Files that are no JSON or no table of steps.
    unread: Vec<&'static str>,
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
        if path.is_file() {
            return Err(ReportError::NoRun { path });
        }
        let text = |name: &str| text_of(&path.join(name));
        let mut settings = None;
        for (kind, file) in RunKind::SETTINGS {
            settings = settings.or(text(file)?.map(|text| (kind, text)));
        }
        let metrics = text(files::METRICS)?;
        if settings.is_none() && metrics.is_none() {
            return Err(match path.exists() {
                true => ReportError::NoRun { path },
                false => ReportError::Missing { path },
            });
        }
        let json = |text: Option<String>| serde_json::from_str(&text?).ok();
        let (kind, recipe_text) = settings.unwrap_or((RunKind::Pretraining, String::new()));
        let (mut results, mut unread) = (Vec::new(), Vec::new());
        for (name, file) in RESULTS {
            let Some(found) = text(file)? else {
                continue;
            };
            match json(Some(found)) {
                Some(value) => results.push((name, value)),
                None => unread.push(file),
            }
        }
        let mut table = |file, text: Option<String>| {
            Table::parse(&text.unwrap_or_default()).unwrap_or_else(|| {
                unread.push(file);
                Table::default()
            })
        };
        let metrics = table(files::METRICS, metrics);
        let monitors = table(files::MONITORS, text(files::MONITORS)?);
        let epochs = table(files::EPOCHS, text(files::EPOCHS)?);
        Ok(Self {
            name: name_of(&path),
            kind,
            recipe: recipe_of(kind, &recipe_text),
            recipe_text,
            environment: json(text(files::ENVIRONMENT)?).unwrap_or_default(),
            metrics,
            monitors,
            epochs,
            measured_since: since(json(text(files::EVALUATION)?)),
            results,
            unread,
            path,
        })
    }

    /// The runs in `path`: the one that it is, or those that are folders of it, by name, as a sweep
    /// leaves them; and why others of its folders cannot be read.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), if there is none.
    pub fn read_all(
        path: impl Into<PathBuf>,
    ) -> Result<(Vec<Self>, Vec<ReportError>), ReportError> {
        let path = path.into();
        let none = match Self::read(&path) {
            Ok(run) => return Ok((vec![run], Vec::new())),
            Err(error @ ReportError::NoRun { .. }) if path.is_dir() => error,
            Err(error) => return Err(error),
        };
        let (mut runs, mut unread) = (Vec::new(), Vec::new());
        for folder in folders_of(&path).map_err(|source| ReportError::Read { path, source })? {
            match Self::read(folder) {
                Ok(run) => runs.push(run),
                Err(ReportError::NoRun { .. }) => (),
                Err(error) => unread.push(error),
            }
        }
        match runs.is_empty() {
            true => Err(unread.into_iter().next().unwrap_or(none)),
            false => Ok((runs, unread)),
        }
    }

    /// What it trains.
    pub fn kind(&self) -> RunKind {
        self.kind
    }

    /// Whether both have the same data and settings but for the seed.
    pub(crate) fn repeats(&self, other: &Self) -> bool {
        let [own, others] = [self, other].map(|run| {
            let lines = run.recipe_text.lines();
            lines.filter(|line| !line.starts_with("seed ="))
        });
        let same_data = self.data_spec() == other.data_spec();
        !self.recipe_text.is_empty() && same_data && own.eq(others)
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

    /// Every setting of it as `section.key` with its value; `None` if they cannot be read.
    pub(crate) fn settings(&self) -> Option<BTreeMap<String, String>> {
        match &self.recipe {
            Some(recipe) => Some(recipe.flatten()),
            None => recipe::flatten_text(&self.recipe_text).filter(|all| !all.is_empty()),
        }
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

    /// Files that cannot be read as what they should be, and have no part in the report.
    pub fn unread(&self) -> &[&'static str] {
        &self.unread
    }

    /// Whether the run is learning or collapsing.
    pub fn judgement(&self) -> Judgement {
        match self.kind {
            RunKind::Pretraining => judge(&self.history()),
            RunKind::FineTuning | RunKind::Decoder => {
                let present = |table: &Table, name| table.column(name).into_iter().flatten();
                let losses: Vec<f64> = present(&self.metrics, "loss").collect();
                let accuracies: Vec<f64> = present(&self.epochs, "top1").collect();
                judge_supervised(self.steps(), &losses, &accuracies)
            }
        }
    }

    /// What [`judge`] looks at.
    pub fn history(&self) -> History {
        let monitors = self.monitors.each(|cell| Monitors::read(cell));
        History {
            steps: self.steps(),
            monitors: monitors.into_iter().flatten().collect(),
            epochs: self.compared().each(|cell| EpochScores::read(cell)),
        }
    }

    /// The evaluated epochs whose scores can be compared.
    pub(crate) fn compared(&self) -> Table {
        self.epochs.since(self.measured_since)
    }

    /// Completed steps, as far as they were logged, evaluated or saved.
    pub fn steps(&self) -> u64 {
        let logged = self.metrics.last("step");
        let logged = logged.map_or(0, |step| (step as u64).saturating_add(1));
        let evaluated = self.epochs.last("step").map_or(0, |step| step as u64);
        let saved = run_folder::newest(&self.path).unwrap_or(0);
        logged.max(evaluated).max(saved)
    }

    /// Steps of the whole schedule, if the files say it.
    pub fn total_steps(&self) -> Option<u64> {
        if let Some(steps) = self.environment["total_steps"].as_u64() {
            return Some(steps);
        }
        let optimizer = &self.recipe.as_ref()?.optimizer;
        let per_epoch = match optimizer.steps_per_epoch {
            // Epochs that ended early have fewer.
            0 => {
                let ends = self.epochs.each(|cell| {
                    let step = cell("step").filter(|&step| step > 0.0)?;
                    Some(step / (cell("epoch")? + 1.0))
                });
                ends.into_iter().flatten().reduce(f64::max)?
            }
            steps => steps as f64,
        };
        Some((per_epoch * optimizer.epochs as f64) as u64)
    }

    /// Top-1 accuracy of a linear probe on all labels that was left in the directory, percent.
    pub(crate) fn linear(&self) -> Option<f64> {
        let probe = self.result("probe").filter(|probe| {
            ![LOW_SHOT, ATTENTIVE]
                .iter()
                .any(|it| probe["protocol"] == *it)
        });
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
}

/// The recipe of pretraining, which a run need not have.
fn recipe_of(kind: RunKind, text: &str) -> Option<Recipe> {
    let is_one = kind == RunKind::Pretraining && !text.trim().is_empty();
    let recipe = || Recipe::from_toml(text, Recipe::FILE).ok();
    is_one.then(recipe).flatten()
}

/// The folders in `path`, by name.
fn folders_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    let mut folders: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    folders.retain(|path| path.is_dir());
    folders.sort();
    Ok(folders)
}

fn text_of(path: &Path) -> Result<Option<String>, ReportError> {
    let bytes = read_file(path)
        .map_err(|FileError { path, source, .. }| ReportError::Read { path, source })?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn since(evaluation: Option<Value>) -> f64 {
    evaluation.map_or(0.0, |found| found["since_step"].as_f64().unwrap_or(0.0))
}

fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().unwrap_or(whole.as_os_str());
    name.to_string_lossy().into_owned()
}
