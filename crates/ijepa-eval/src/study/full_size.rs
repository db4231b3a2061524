//! The rows of a table as the paper trained them, for those with the hardware.

use serde::Serialize;

use super::{Metric, PaperRow, PaperTable};

/// The commands that reproduce a row at full size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FullSizeCommands<'a> {
    /// Name of the row.
    pub row: &'a str,
    /// The paper's accuracies, percent, one a metric of the table.
    pub paper: &'a [f64],
    /// Pretraining, then one command a metric.
    pub commands: Vec<String>,
}

impl PaperTable {
    /// For every row the commands that pretrain and judge it on ImageNet.
    ///
    /// They expect ImageNet in `imagenet/train` and `imagenet/val`, and the names of the images of
    /// the 1 % subset in `1percent.txt`. None of them has been run by us.
    pub fn full_size_commands(&self) -> Vec<FullSizeCommands<'_>> {
        let commands = |row: &'_ PaperRow| {
            let run = format!("runs/table{}-{}", self.number, row.name);
            let metrics = self.metrics.iter().map(|metric| judge(*metric, &run));
            std::iter::once(self.pretrain(row, &run))
                .chain(metrics)
                .collect()
        };
        let rows = self.rows.iter().map(|row| FullSizeCommands {
            row: &row.name,
            paper: &row.paper,
            commands: commands(row),
        });
        rows.collect()
    }

    fn pretrain(&self, row: &PaperRow, run: &str) -> String {
        let quoted = |change: String| match change.contains('[') {
            true => format!("'{change}'"),
            false => change,
        };
        let changes: Vec<String> = self.full_changes(row).into_iter().map(quoted).collect();
        let set = match &changes[..] {
            [] => String::new(),
            changes => format!(" --set {}", changes.join(" ")),
        };
        let recipe = &self.recipe;
        format!("ijepa pretrain --recipe {recipe}{set} --data folder:imagenet/train --out {run}")
    }
}

fn judge(metric: Metric, run: &str) -> String {
    let data = "--train folder:imagenet/train --test folder:imagenet/val";
    let few = "--train folder:imagenet/train --subset 1percent.txt --test folder:imagenet/val";
    match metric {
        Metric::Neighbours => format!("ijepa knn --weights {run} {data}"),
        Metric::LowShotLinear => {
            format!("ijepa probe --protocol lowshot-logistic --weights {run} {few}")
        }
        Metric::Linear => format!("ijepa probe --protocol vissl-in1k --weights {run} {data}"),
        Metric::LowShotFineTuning => format!(
            "ijepa finetune --protocol lowshot-1pct --weights {run} {few} --out {run}-finetuned"
        ),
    }
}
