//! What a study found: a row a variant.

use std::fmt;

use serde::Serialize;

use super::{
    Comparison, Equal, LEAST_SEEDS, LEVEL, Metric, Outcome, Pace, PaperRow, RunReport, Study,
    statistics::{holm, mean_and_deviation},
};

/// Runs are compared if what is to be equal, and their shares of their schedules, differ by at most
/// this part of the larger.
const TOLERANCE: f64 = 0.01;

/// What a study found.
#[derive(Debug, Clone, Serialize)]
pub struct StudyReport {
    /// What was measured, a column each.
    pub measures: Vec<String>,
    /// The variant that the others are compared with.
    pub reference: String,
    /// What all runs had equally much of.
    pub equal: Equal,
    /// A row a variant, run or not.
    pub rows: Vec<RowReport>,
    /// What differences were tested with.
    pub statistics: Statistics,
    /// The table of the paper whose rows the variants are.
    #[serde(flatten)]
    pub paper: Option<PaperReport>,
}

/// One variant over its seeds. Everything but its runs has one value a measure.
#[derive(Debug, Clone, Serialize)]
pub struct RowReport {
    /// Its name.
    pub name: String,
    /// What it changes.
    pub changes: Vec<String>,
    /// What an image cost it, unless images are what is equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// The paper's accuracies, percent, if it is of the paper.
    pub paper: Vec<f64>,
    /// Accuracy over the seeds; none if it was not run.
    pub accuracy: Vec<Option<Spread>>,
    /// How it differs from its own initial weights, points; none if that was not measured or a run
    /// diverged.
    pub gain: Vec<Option<Comparison>>,
    /// How it differs from the reference over the seeds that both have, points; none for the
    /// reference itself, if a run diverged, and for what was trained longer or shorter.
    pub difference: Vec<Option<Comparison>>,
    /// Its runs, by seed.
    pub runs: Vec<RunReport>,
}

/// Values over seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation; none of a single one.
    pub deviation: Option<f64>,
    /// How many.
    pub runs: usize,
}

/// What differences were tested with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Statistics {
    /// The test of one difference.
    pub test: &'static str,
    /// Seeds below which there is none.
    pub least_seeds: usize,
    /// The correction for the comparisons of a column.
    pub correction: &'static str,
    /// Largest chance of one wrong verdict in a column.
    pub level: f64,
    /// Runs are compared if what is to be equal, and their shares of their schedules, differ by at
    /// most this part of the larger.
    pub tolerance: f64,
}

/// What the paper's table is, and what it was made with here.
#[derive(Debug, Clone, Serialize)]
pub struct PaperReport {
    /// Its number.
    pub table: u8,
    /// What it is about.
    pub title: &'static str,
    /// What the names of its rows are values of.
    pub column: &'static str,
    /// The paper's encoder and epochs.
    pub paper: String,
    /// How rows are judged.
    pub metrics: &'static [Metric],
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
    /// Its rows, with the paper's figures.
    #[serde(skip)]
    pub rows: &'static [PaperRow],
}

impl Spread {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let (mean, deviation) = mean_and_deviation(&values);
        (!values.is_empty()).then_some(Self {
            mean,
            deviation,
            runs: values.len(),
        })
    }
}

impl fmt::Display for Spread {
    /// `mean ± deviation` with as many digits as are asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(1);
        write!(f, "{:.digits$}", self.mean)?;
        match self.deviation {
            Some(deviation) => write!(f, " ± {deviation:.digits$}"),
            None => Ok(()),
        }
    }
}

impl StudyReport {
    /// `runs` are those of each variant.
    pub(super) fn new(
        study: &Study,
        paces: &[Option<Pace>],
        runs: impl Iterator<Item = Vec<RunReport>>,
    ) -> Self {
        let names = study.variants.iter().map(|variant| variant.name.as_str());
        let paper = study.paper.as_ref();
        let first = study.variants[0].name.as_str();
        let reference = paper.map_or(first, |paper| paper.best);
        let runs: Vec<Vec<RunReport>> = runs.collect();
        let position = names.clone().position(|name| name == reference);
        let of_reference = position.map_or(&[][..], |position| &runs[position]);
        let columns = 0..study.measures.len();
        let row = |(index, runs): (usize, &Vec<RunReport>)| RowReport {
            name: study.variants[index].name.clone(),
            changes: study.variants[index].overrides.clone(),
            pace: paces[index].clone(),
            paper: paper.map_or(Vec::new(), |paper| paper.rows[index].paper.clone()),
            accuracy: columns
                .clone()
                .map(|column| Spread::of(runs.iter().filter_map(|run| run.accuracy[column])))
                .collect(),
            gain: columns.clone().map(|column| gain(runs, column)).collect(),
            difference: columns
                .clone()
                .map(|column| {
                    let others = (Some(index) != position).then_some(of_reference)?;
                    difference(runs, others, column)
                })
                .collect(),
            runs: runs.clone(),
        };
        let mut rows: Vec<RowReport> = runs.iter().enumerate().map(row).collect();
        for column in columns {
            holm(rows.iter_mut().filter_map(|row| row.gain[column].as_mut()));
            holm(
                rows.iter_mut()
                    .filter_map(|row| row.difference[column].as_mut()),
            );
        }
        Self {
            measures: study
                .measures
                .iter()
                .map(|it| it.name().to_owned())
                .collect(),
            reference: reference.to_owned(),
            equal: study.equal,
            rows,
            statistics: Statistics {
                test: "paired Student's t",
                least_seeds: LEAST_SEEDS,
                correction: "Holm",
                level: LEVEL,
                tolerance: TOLERANCE,
            },
            paper: study.paper.clone(),
        }
    }
}

/// Accuracies less those of the initial weights; none if a run diverged.
fn gain(runs: &[RunReport], column: usize) -> Option<Comparison> {
    let pair = |run: &RunReport| Some((run.accuracy[column]?, run.at_start[column]?));
    let pairs: Option<Vec<(f64, f64)>> = runs.iter().map(pair).collect();
    compare(pairs?)
}

/// `runs` less `others` over the seeds that both were judged with; none if one of them diverged or
/// they were not trained alike.
fn difference(runs: &[RunReport], others: &[RunReport], column: usize) -> Option<Comparison> {
    let judged = |run: &&RunReport| {
        run.accuracy[column].is_some() || matches!(run.outcome, Outcome::Diverged(_))
    };
    let pairs = runs.iter().filter(judged).filter_map(|run| {
        let mut others = others.iter().filter(judged);
        Some((run, others.find(|other| other.seed == run.seed)?))
    });
    let accuracies = |(run, other): (&RunReport, &RunReport)| {
        trained_alike(run, other).then_some(())?;
        Some((run.accuracy[column]?, other.accuracy[column]?))
    };
    let pairs: Option<Vec<(f64, f64)>> = pairs.map(accuracies).collect();
    compare(pairs?)
}

fn compare(pairs: Vec<(f64, f64)>) -> Option<Comparison> {
    let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    Comparison::paired(&a, &b)
}

/// Whether both cost as much in as large a part of their schedules, as far as whole batches allow.
fn trained_alike(a: &RunReport, b: &RunReport) -> bool {
    let alike = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * a.max(b);
    let share = |run: &RunReport| run.steps as f64 / run.schedule_steps as f64;
    alike(a.cost, b.cost) && alike(share(a), share(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run a seed after `steps` of `schedule_steps`; one without an accuracy diverged.
    fn runs(steps: u64, schedule_steps: u64, batch: u64, accuracies: &[f64]) -> Vec<RunReport> {
        let run = |(seed, &accuracy): (usize, &f64)| RunReport {
            variant: "a".to_owned(),
            seed: seed as u64,
            run: "a".into(),
            steps,
            schedule_steps,
            images: steps * batch,
            cost: (steps * batch) as f64,
            loss: None,
            minutes: 0.0,
            outcome: match accuracy.is_finite() {
                true => Outcome::Finished,
                false => Outcome::Diverged(String::new()),
            },
            accuracy: vec![Some(accuracy).filter(|it| it.is_finite())],
            at_start: vec![Some(20.0)],
            rankme: None,
        };
        accuracies.iter().enumerate().map(run).collect()
    }

    fn mean(runs: &[RunReport], others: &[RunReport]) -> Option<f64> {
        difference(runs, others, 0).map(|found| found.mean)
    }

    #[test]
    fn runs_of_equal_length_are_compared_whatever_their_batches() {
        let (better, base) = ([30.0, 31.0, 32.0], [29.0, 29.5, 30.0]);
        let base = runs(3125, 3125, 32, &base);
        // 99,968, 99,200 and 98,816 images instead of 100,000.
        for (steps, batch, alike) in [(781, 128, true), (775, 128, true), (772, 128, false)] {
            let found = mean(&runs(steps, steps, batch, &better), &base);
            assert_eq!(found.is_some(), alike, "{steps} steps of {batch}");
        }
    }

    #[test]
    fn runs_of_other_lengths_are_not_compared_however_short() {
        let accuracies = [30.0, 31.0, 32.0];
        let whole = runs(30, 30, 6, &accuracies);
        assert!(mean(&whole, &whole).is_some());
        assert_eq!(mean(&runs(7, 30, 6, &accuracies), &whole), None);
        // As many images, but in the middle of a longer schedule.
        assert_eq!(mean(&runs(30, 60, 6, &accuracies), &whole), None);
    }

    #[test]
    fn runs_are_paired_by_seed() {
        let (mut few, base) = (runs(9, 9, 6, &[30.0, 41.0, 52.0]), [10.0, 20.0, 30.0]);
        let base = runs(9, 9, 6, &base);
        assert_eq!(mean(&few, &base), Some(21.0));
        // The seed that only one of them has counts for nothing.
        few.remove(0);
        few.reverse();
        assert_eq!(mean(&few, &base), Some(21.5));
        // Nor does one that was not judged by this measure.
        few[0].accuracy = vec![None];
        assert_eq!(mean(&few, &base), Some(21.0));
    }

    /// The seeds that are left might be the lucky ones.
    #[test]
    fn variants_with_a_run_that_diverged_are_not_compared() {
        let base = runs(9, 9, 6, &[25.0, 30.0, 28.0]);
        let lost = runs(9, 9, 6, &[f64::NAN, 30.0, 28.0]);
        assert_eq!((mean(&lost, &base), mean(&base, &lost)), (None, None));
        assert_eq!(
            (gain(&lost, 0), gain(&base, 0).map(|it| it.mean > 7.0)),
            (None, Some(true))
        );
    }
}
