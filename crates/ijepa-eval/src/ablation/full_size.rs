//! The rows of a table as the paper trained them, for those with the hardware.

use serde::Serialize;

use super::{AblationRow, AblationTable, Metric};

/// The commands that reproduce a row at full size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FullSizeCommands {
    /// Name of the row.
    pub row: &'static str,
    /// The paper's accuracies, percent, one a metric of the table.
    pub paper: &'static [f64],
    /// Pretraining, then one command a metric.
    pub commands: Vec<String>,
}

/// For every row of `table` the commands that pretrain and judge it on ImageNet.
///
/// They expect ImageNet in `imagenet/train` and `imagenet/val`, and the names of the images of
/// the 1 % subset in `1percent.txt`. None of them has been run by us.
pub fn full_size_commands(table: &AblationTable) -> Vec<FullSizeCommands> {
    let commands = |row: &AblationRow| {
        let run = format!("runs/table{}-{}", table.number, row.name);
        let metrics = table.metrics.iter().map(|metric| judge(*metric, &run));
        FullSizeCommands {
            row: row.name,
            paper: row.paper,
            commands: std::iter::once(pretrain(table, row, &run))
                .chain(metrics)
                .collect(),
        }
    };
    table.rows.iter().map(commands).collect()
}

fn pretrain(table: &AblationTable, row: &AblationRow, run: &str) -> String {
    let quoted = |change: String| match change.contains('[') {
        true => format!("'{change}'"),
        false => change,
    };
    let changes: Vec<String> = table.full_changes(row).into_iter().map(quoted).collect();
    let set = match &changes[..] {
        [] => String::new(),
        changes => format!(" --set {}", changes.join(" ")),
    };
    let recipe = table.recipe;
    format!("ijepa pretrain --recipe {recipe}{set} --data folder:imagenet/train --out {run}")
}

fn judge(metric: Metric, run: &str) -> String {
    let data = "--train folder:imagenet/train --test folder:imagenet/val";
    let few = "--train folder:imagenet/train --subset 1percent.txt --test folder:imagenet/val";
    match metric {
        Metric::LowShotLinear => {
            format!("ijepa probe --protocol lowshot-logistic --weights {run} {few}")
        }
        Metric::Linear => format!("ijepa probe --protocol vissl-in1k --weights {run} {data}"),
        Metric::LowShotFineTuning => format!(
            "ijepa finetune --protocol lowshot-1pct --weights {run} {few} --out {run}-finetuned"
        ),
    }
}
