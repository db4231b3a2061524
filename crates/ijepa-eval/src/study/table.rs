//! What a study found, as text.

use std::fmt;

use super::{Comparison, Equal, Outcome, PaperReport, RowReport, RunReport, Spread, StudyReport};

impl fmt::Display for StudyReport {
    /// A Markdown table: accuracies with their standard deviation over seeds, differences with
    /// half the width of their 95 % interval, `-` for what was not run; then how to read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(paper) = &self.paper {
            writeln!(f, "{paper}")?;
        }
        let header = self.header();
        writeln!(f, "{}", line(&header))?;
        writeln!(f, "{}", line(&vec!["---".to_owned(); header.len()]))?;
        for row in self.cells() {
            writeln!(f, "{}", line(&row))?;
        }
        writeln!(f, "\n{}", self.note())
    }
}

impl fmt::Display for PaperReport {
    /// A paragraph.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, title, paper) = (self.table, self.title, &self.paper);
        writeln!(f, "Table {table}. {title} (paper: {paper}).")?;
        let [fewest, most] = self.low_shot_per_class;
        let per_class = match fewest == most {
            true => most.to_string(),
            false => format!("{fewest} to {most}"),
        };
        writeln!(
            f,
            "Here: {} of {} labels for low-shot evaluation ({per_class} a class), {} test images.",
            self.low_shot_images, self.train_images, self.test_images,
        )
    }
}

impl StudyReport {
    /// The rows of the table.
    pub fn cells(&self) -> Vec<Vec<String>> {
        let cells = |row: &RowReport| row.cells(self.paper.is_some(), self.equal);
        self.rows.iter().map(cells).collect()
    }

    /// How to read the table.
    pub fn note(&self) -> String {
        format!(
            "Differences are paired by seed, with half of their 95 % interval (Student's t), from \
             {} seeds on. Better and worse are said after {}'s correction for the comparisons of a \
             column: together they are wrong with a chance of {:.0} % at most. Runs are compared \
             if they differ by at most {:.0} % in {} and in the part of their schedules.",
            self.statistics.least_seeds,
            self.statistics.correction,
            100.0 * self.statistics.level,
            100.0 * self.statistics.tolerance,
            self.equal.unit(),
        )
    }

    /// The names of the columns of the table.
    pub fn header(&self) -> Vec<String> {
        let mut header = match &self.paper {
            Some(paper) => vec![paper.column, "changes"],
            None => vec!["variant"],
        };
        header.extend(["seeds", "images"]);
        if self.equal != Equal::Images {
            header.push(self.equal.unit());
        }
        let mut header: Vec<String> = header.into_iter().map(str::to_owned).collect();
        for measure in &self.measures {
            header.push(format!("{measure}, %"));
            match &self.paper {
                Some(paper) => {
                    header.push(format!("against {}", paper.best));
                    header.push("paper, %".to_owned());
                }
                None => {
                    header.push("gain over its start".to_owned());
                    header.push("against the first".to_owned());
                }
            }
        }
        if self.paper.is_none() {
            header.extend(["RankMe", "loss", "minutes"].map(str::to_owned));
        }
        header.push(String::new());
        header
    }
}

impl RowReport {
    fn cells(&self, of_paper: bool, equal: Equal) -> Vec<String> {
        let spread =
            |value: fn(&RunReport) -> Option<f64>| Spread::of(self.runs.iter().filter_map(value));
        let mut cells = vec![self.name.clone()];
        if of_paper {
            cells.push(match &self.changes[..] {
                [] => "nothing".to_owned(),
                changes => changes.join(" "),
            });
        }
        let images = self.runs.iter().map(|run| run.images).max();
        cells.push(images.map_or(dash(), |_| self.runs.len().to_string()));
        cells.push(images.map_or(dash(), grouped));
        let costs = self.runs.iter().map(|run| run.cost);
        let costs = costs.filter(|cost| cost.is_finite());
        let most = costs.reduce(f64::max);
        match equal {
            Equal::Images => (),
            Equal::Flops => cells.push(most.map_or(dash(), |cost| format!("{cost:.3e}"))),
            Equal::Minutes => cells.push(most.map_or(dash(), |cost| format!("{cost:.2}"))),
        }
        for column in 0..self.accuracy.len() {
            cells.push(shown(self.accuracy[column], 1));
            if of_paper {
                cells.push(in_words(&self.difference[column]));
                cells.push(format!("{:.1}", self.paper[column]));
            } else {
                cells.push(signed(&self.gain[column]));
                cells.push(in_words(&self.difference[column]));
            }
        }
        if !of_paper {
            cells.push(shown(spread(|run| run.rankme), 1));
            cells.push(shown(spread(|run| run.loss), 4));
            cells.push(shown(spread(|run| Some(run.minutes)), 1));
        }
        cells.push(trouble(&self.runs));
        cells
    }
}

/// A line of a Markdown table.
fn line(cells: &[String]) -> String {
    let cells = cells.iter().map(|cell| cell.replace('|', "\\|"));
    format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
}

fn dash() -> String {
    "-".to_owned()
}

/// `12,800`.
fn grouped(number: u64) -> String {
    match number / 1000 {
        0 => number.to_string(),
        thousands => format!("{},{:03}", grouped(thousands), number % 1000),
    }
}

fn shown(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or(dash(), |spread| format!("{spread:.digits$}"))
}

fn signed(comparison: &Option<Comparison>) -> String {
    let Some(Comparison {
        mean, half_width, ..
    }) = comparison
    else {
        return dash();
    };
    let half = half_width.map(|half| format!(" ± {half:.1}"));
    format!("{mean:+.1}{}", half.unwrap_or_default())
}

/// As [`signed`], with what it says.
fn in_words(comparison: &Option<Comparison>) -> String {
    match comparison {
        Some(found) => format!("{} ({})", signed(comparison), found.verdict.words()),
        None => dash(),
    }
}

/// What happened to runs that cannot be believed.
fn trouble(runs: &[RunReport]) -> String {
    let count = |is: fn(&Outcome) -> bool, what: &str| {
        let number = runs.iter().filter(|run| is(&run.outcome)).count();
        (number > 0).then(|| format!("{number} {what}"))
    };
    let found = [
        count(|it| matches!(it, Outcome::Collapsed(_)), "collapsed"),
        count(|it| matches!(it, Outcome::Diverged(_)), "diverged"),
    ];
    found.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_bars_stay_in_their_cells() {
        let cells = ["a|b", "1"].map(str::to_owned);
        assert_eq!(line(&cells), r"| a\|b | 1 |");
    }
}
