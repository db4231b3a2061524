//! A table as text.

use std::fmt;

use super::{AblationReport, RowReport, Spread};
use crate::sweep::table::{line, signed_in_words, trouble};

impl fmt::Display for AblationReport {
    /// A Markdown table: accuracies with their standard deviation over seeds, differences from
    /// the best row with half the width of their 95 % interval, `-` for what was not run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Table {}. {} (paper: {}).",
            self.table, self.title, self.paper
        )?;
        let [fewest, most] = self.low_shot_per_class;
        let per_class = match fewest == most {
            true => most.to_string(),
            false => format!("{fewest} to {most}"),
        };
        writeln!(
            f,
            "Here: {} of {} labels for low-shot evaluation ({per_class} a class), {} test images.\n",
            self.low_shot_images, self.train_images, self.test_images,
        )?;
        let mut header = [self.column, "changes", "seeds", "images"]
            .map(str::to_owned)
            .to_vec();
        for metric in &self.metrics {
            header.push(format!("{}, %", metric.name()));
            header.push(format!("against {}", self.best));
            header.push("paper, %".to_owned());
        }
        header.push(String::new());
        writeln!(f, "{}", line(&header))?;
        writeln!(f, "{}", line(&vec!["---".to_owned(); header.len()]))?;
        for row in &self.rows {
            writeln!(f, "{}", line(&row.cells()))?;
        }
        Ok(())
    }
}

impl RowReport {
    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.name.to_owned()];
        cells.push(match &self.changes[..] {
            [] => "nothing".to_owned(),
            changes => changes.join(" "),
        });
        let images = self.runs.iter().map(|run| run.images).max();
        match images {
            Some(images) => {
                cells.push(self.runs.len().to_string());
                cells.push(format!("{}k", images / 1000));
            }
            None => cells.extend(["-".to_owned(), "-".to_owned()]),
        }
        for (metric, paper) in self.paper.iter().enumerate() {
            cells.push(percent(self.accuracy[metric]));
            cells.push(signed_in_words(&self.difference[metric]));
            cells.push(format!("{paper:.1}"));
        }
        let outcomes = self.runs.iter().map(|run| &run.outcome);
        cells.push(trouble(outcomes));
        cells
    }
}

fn percent(spread: Option<Spread>) -> String {
    match spread {
        Some(Spread {
            mean,
            deviation: Some(deviation),
            ..
        }) => format!("{mean:.1} ± {deviation:.1}"),
        Some(Spread { mean, .. }) => format!("{mean:.1}"),
        None => "-".to_owned(),
    }
}
