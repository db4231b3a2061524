//! What a table found, beside what the paper's found.

use std::path::PathBuf;

use serde::Serialize;

use super::{AblationConfig, AblationData, AblationRow, Metric, low_shot::LowShot};
use crate::sweep::{Comparison, Outcome, compare::mean_and_deviation};

/// A table with the paper's figures beside ours.
#[derive(Debug, Clone, Serialize)]
pub struct AblationReport {
    /// Its number in the paper.
    pub table: u8,
    /// What it is about.
    pub title: &'static str,
    /// What the names of its rows are values of.
    pub column: &'static str,
    /// The paper's encoder and epochs.
    pub paper: String,
    /// How rows are judged.
    pub metrics: Vec<Metric>,
    /// The row that the paper finds best, with which the others are compared.
    pub best: &'static str,
    /// Labelled images of low-shot evaluation.
    pub low_shot_images: usize,
    /// Of them, images of the class with the fewest and of that with the most.
    pub low_shot_per_class: [usize; 2],
    /// All labelled images to learn from.
    pub train_images: usize,
    /// Images that are classified.
    pub test_images: usize,
    /// Every row, run or not.
    pub rows: Vec<RowReport>,
}

/// A row of a table.
#[derive(Debug, Clone, Serialize)]
pub struct RowReport {
    /// Its name.
    pub name: &'static str,
    /// What it changes in the small recipe.
    pub changes: Vec<String>,
    /// The paper's accuracies, percent, one a metric.
    pub paper: &'static [f64],
    /// Ours over the seeds, one a metric; none if it was not run.
    pub accuracy: Vec<Option<Spread>>,
    /// How it differs from the best row over the seeds that both have, points, one a metric.
    pub difference: Vec<Option<Comparison>>,
    /// Its runs that ended, by seed.
    pub runs: Vec<AblationRunReport>,
}

/// Accuracies over seeds, percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation; none of a single one.
    pub deviation: Option<f64>,
    /// How many.
    pub runs: usize,
}

/// One run of a row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AblationRunReport {
    /// Its seed.
    pub seed: u64,
    /// Its directory.
    pub run: PathBuf,
    /// Completed steps.
    pub steps: u64,
    /// Images seen.
    pub images: u64,
    /// Loss of the last step.
    pub loss: Option<f64>,
    /// Minutes of training, evaluation apart.
    pub minutes: Option<f64>,
    /// Whether it can be believed.
    pub outcome: Outcome,
    /// Accuracies, percent, one a metric; none if it diverged.
    pub accuracy: Vec<Option<f64>>,
}

/// A row before it is compared: what it changes, its runs.
pub(super) type Found = (&'static AblationRow, Vec<String>, Vec<AblationRunReport>);

impl AblationReport {
    pub(super) fn new(
        config: &AblationConfig,
        data: &AblationData,
        low_shot: &LowShot,
        rows: Vec<Found>,
    ) -> Self {
        let table = config.table;
        let best = table.best().name;
        let metrics = 0..table.metrics.len();
        let of_best = rows.iter().find(|(row, ..)| row.name == best);
        let of_best = of_best.map_or(Vec::new(), |(_, _, runs)| runs.clone());
        let report = |(row, changes, runs): Found| RowReport {
            name: row.name,
            changes,
            paper: row.paper,
            accuracy: metrics.clone().map(|m| spread(&runs, m)).collect(),
            difference: metrics
                .clone()
                .map(|metric| (row.name != best).then(|| difference(&runs, &of_best, metric)))
                .map(Option::flatten)
                .collect(),
            runs,
        };
        Self {
            table: table.number,
            title: table.title,
            column: table.column,
            paper: format!("{}, {} epochs", table.arch, table.epochs),
            metrics: table.metrics.to_vec(),
            best,
            low_shot_images: low_shot.source.len(),
            low_shot_per_class: low_shot.per_class,
            train_images: data.train.1.len(),
            test_images: data.test.1.len(),
            rows: rows.into_iter().map(report).collect(),
        }
    }
}

fn spread(runs: &[AblationRunReport], metric: usize) -> Option<Spread> {
    let values: Vec<f64> = runs.iter().filter_map(|run| run.accuracy[metric]).collect();
    if values.is_empty() {
        return None;
    }
    let (mean, deviation) = mean_and_deviation(&values);
    Some(Spread {
        mean,
        deviation,
        runs: values.len(),
    })
}

/// `runs` less `others` over the seeds that both have.
fn difference(
    runs: &[AblationRunReport],
    others: &[AblationRunReport],
    metric: usize,
) -> Option<Comparison> {
    let pairs = runs.iter().filter_map(|run| {
        let other = others.iter().find(|other| other.seed == run.seed)?;
        Some((run.accuracy[metric]?, other.accuracy[metric]?))
    });
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.unzip();
    Comparison::paired(&a, &b)
}
