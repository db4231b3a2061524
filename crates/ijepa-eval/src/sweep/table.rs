//! What a sweep found: a row a variant.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{Comparison, Outcome, SweepConfig, Task, TrialReport, compare::mean_and_deviation};

/// All variants, in the order they were given.
#[derive(Debug, Clone, Serialize)]
pub struct SweepReport {
    /// Names of the tasks.
    pub tasks: Vec<String>,
    /// A row a variant.
    pub variants: Vec<VariantReport>,
}

/// One variant over its seeds.
#[derive(Debug, Clone, Serialize)]
pub struct VariantReport {
    /// Its name.
    pub name: String,
    /// What it changes.
    pub overrides: Vec<String>,
    /// Its runs, by seed.
    pub trials: Vec<TrialReport>,
    /// How it differs from its own initial weights on each task, points; none if a run diverged.
    pub gain: Vec<Option<Comparison>>,
    /// How it differs from the first variant on each task, points; none for the first itself and
    /// for what was trained shorter.
    pub difference: Vec<Option<Comparison>>,
}

impl SweepReport {
    pub(super) fn new(
        config: &SweepConfig,
        tasks: &[Task],
        results: &BTreeMap<usize, Vec<TrialReport>>,
    ) -> Self {
        let first = &results[&0];
        let row = |(&index, trials): (&usize, &Vec<TrialReport>)| {
            let comparable = index > 0 && images(trials) == images(first);
            let of_tasks = |compare: &dyn Fn(usize) -> Option<Comparison>| {
                (0..tasks.len()).map(compare).collect()
            };
            VariantReport {
                name: config.variants[index].name.clone(),
                overrides: config.variants[index].overrides.clone(),
                gain: of_tasks(&|task| {
                    Comparison::paired(&of_every_seed(trials, task)?, &at_start(trials, task))
                }),
                difference: of_tasks(&|task| {
                    let [ours, firsts] = [trials, first].map(|of| of_every_seed(of, task));
                    comparable.then_some(())?;
                    Comparison::paired(&ours?, &firsts?)
                }),
                trials: trials.clone(),
            }
        };
        Self {
            tasks: tasks.iter().map(|task| task.train.0.clone()).collect(),
            variants: results.iter().map(row).collect(),
        }
    }
}

/// Images seen per run, in thousands: batches of other sizes may miss the last few.
fn images(trials: &[TrialReport]) -> u64 {
    trials.iter().map(|trial| trial.images).sum::<u64>() / trials.len() as u64 / 1000
}

/// Accuracies on a task by seed; shorter than the trials if one diverged.
fn accuracies(trials: &[TrialReport], task: usize) -> Vec<f64> {
    let accuracy = |trial: &TrialReport| trial.knn.get(task).copied();
    trials.iter().filter_map(accuracy).collect()
}

/// Accuracies on a task by seed; none if a run diverged.
fn of_every_seed(trials: &[TrialReport], task: usize) -> Option<Vec<f64>> {
    let accuracies = accuracies(trials, task);
    (accuracies.len() == trials.len()).then_some(accuracies)
}

fn at_start(trials: &[TrialReport], task: usize) -> Vec<f64> {
    trials
        .iter()
        .map(|trial| trial.knn_at_start[task])
        .collect()
}

/// `mean ± deviation` with `digits` after the point.
fn spread(values: &[f64], digits: usize) -> String {
    match mean_and_deviation(values) {
        _ if values.is_empty() => "-".to_owned(),
        (mean, Some(deviation)) => format!("{mean:.digits$} ± {deviation:.digits$}"),
        (mean, None) => format!("{mean:.digits$}"),
    }
}

fn signed(comparison: &Option<Comparison>) -> String {
    match comparison {
        Some(Comparison {
            mean,
            half_width: Some(half),
            ..
        }) => format!("{mean:+.1} ± {half:.1}"),
        Some(Comparison { mean, .. }) => format!("{mean:+.1}"),
        None => "-".to_owned(),
    }
}

/// As [`signed`], with what the interval says.
pub(crate) fn signed_in_words(comparison: &Option<Comparison>) -> String {
    match comparison {
        Some(found) => format!("{} ({})", signed(comparison), found.verdict.words()),
        None => "-".to_owned(),
    }
}

/// What happened to runs that cannot be believed.
pub(crate) fn trouble<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> String {
    let (mut collapsed, mut diverged) = (0, 0);
    for outcome in outcomes {
        match outcome {
            Outcome::Finished => {}
            Outcome::Collapsed(_) => collapsed += 1,
            Outcome::Diverged(_) => diverged += 1,
        }
    }
    let count = |number: usize, what: &str| (number > 0).then(|| format!("{number} {what}"));
    let found = [count(collapsed, "collapsed"), count(diverged, "diverged")];
    found.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A line of a Markdown table.
pub(crate) fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

impl VariantReport {
    fn cells(&self, tasks: usize) -> Vec<String> {
        let values = |of: fn(&TrialReport) -> Option<f64>| -> Vec<f64> {
            self.trials.iter().filter_map(of).collect()
        };
        let thousands = images(&self.trials);
        let mut cells = vec![self.name.clone(), self.trials.len().to_string()];
        cells.push(format!("{thousands}k"));
        for task in 0..tasks {
            cells.push(spread(&accuracies(&self.trials, task), 1));
            cells.push(signed(&self.gain[task]));
            cells.push(signed_in_words(&self.difference[task]));
        }
        cells.push(spread(&values(|trial| trial.rankme), 1));
        cells.push(spread(&values(|trial| trial.loss), 4));
        cells.push(spread(&values(|trial| Some(trial.seconds / 60.0)), 1));
        cells.push(trouble(self.trials.iter().map(|trial| &trial.outcome)));
        cells
    }
}

impl fmt::Display for SweepReport {
    /// A Markdown table: accuracies with their standard deviation over seeds, differences with
    /// half the width of their 95 % interval.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut header = ["variant", "seeds", "images"].map(str::to_owned).to_vec();
        for task in &self.tasks {
            header.push(format!("{task}, %"));
            header.push("gain over its start".to_owned());
            header.push("against the first".to_owned());
        }
        header.extend(["RankMe", "loss", "minutes", ""].map(str::to_owned));
        let rows = self.variants.iter().map(|row| row.cells(self.tasks.len()));
        writeln!(f, "{}", line(&header))?;
        writeln!(f, "{}", line(&vec!["---".to_owned(); header.len()]))?;
        for cells in rows {
            writeln!(f, "{}", line(&cells))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Outcome;

    fn trials(knn: [Option<f64>; 2]) -> Vec<TrialReport> {
        let trial = |(seed, knn): (usize, Option<f64>)| TrialReport {
            variant: "a".to_owned(),
            seed: seed as u64,
            steps: 1,
            images: 1,
            knn: knn.into_iter().collect(),
            knn_at_start: vec![20.0],
            rankme: None,
            loss: None,
            seconds: 0.0,
            outcome: Outcome::Finished,
        };
        knn.into_iter().enumerate().map(trial).collect()
    }

    /// Otherwise the first seed of one variant would be set against the second of the other.
    #[test]
    fn variants_that_lost_different_seeds_are_not_compared() {
        let [first, second] = [[None, Some(30.0)], [Some(25.0), None]].map(trials);
        assert_eq!(accuracies(&first, 0).len(), accuracies(&second, 0).len());
        assert_eq!(of_every_seed(&first, 0), None);
        let both = trials([Some(25.0), Some(30.0)]);
        assert_eq!(of_every_seed(&both, 0), Some(vec![25.0, 30.0]));
    }
}
