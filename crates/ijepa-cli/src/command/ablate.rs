//! `ijepa ablate`: tables 6 to 14 of the paper as short runs.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use ijepa_eval::study::{Labels, PaperTable, Study};
use serde_json::json;

use super::study::{StudyArgs, named, task};
use crate::{
    args,
    context::Context,
    error::CliError,
    report::{self, Report},
};

/// Make a table of the paper of short runs, or print its recipes of full size
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa ablate 6 --data cifar10:cifar10 --eval-data cifar10:cifar10 \
    --eval-test cifar10:cifar10/test \\\n    --images 100000 --seeds 0,1,2 --out runs/ablations\n  \
    ijepa ablate 6 --print\n\n\
    The same command goes on where it was stopped, and tables that share --out share their runs."
)]
pub(crate) struct Ablate {
    /// Number of the table, 6 to 14
    #[arg(value_name = "TABLE", value_parser = table)]
    table: &'static PaperTable,
    /// Print the commands of full size instead of running small ones, as without --data
    #[arg(long, conflicts_with_all = ["data", "rows"])]
    print: bool,
    /// Images to train on (forms: see `ijepa embed --help`)
    #[arg(long, value_name = "SPEC", requires_all = ["eval_data", "eval_test", "out"])]
    data: Option<String>,
    /// Labelled images to learn from
    #[arg(long, value_name = "SPEC", requires = "data")]
    eval_data: Option<String>,
    /// Labelled images that are classified
    #[arg(long, value_name = "SPEC", requires = "data")]
    eval_test: Option<String>,
    /// The small recipe that rows change: name of a preset or path of a .toml file
    #[arg(
        long,
        value_name = "NAME|FILE",
        default_value = "cifar10_vit_nano_plain",
        requires = "data"
    )]
    recipe: String,
    /// Rows to train now; the others are taken from earlier calls [default: all]
    #[arg(
        long,
        value_name = "NAME,NAME",
        value_delimiter = ',',
        requires = "data"
    )]
    rows: Vec<String>,
    /// Share of the labels for low-shot evaluation, but at least five a class
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share)]
    #[arg(requires = "data")]
    label_fraction: f64,
    /// Labels of each class for low-shot evaluation, instead of a share
    #[arg(long, value_name = "N", value_parser = args::positive)]
    #[arg(conflicts_with = "label_fraction", requires = "data")]
    labels_per_class: Option<usize>,
    /// Folder of all runs and tables
    #[arg(long, value_name = "DIR", requires = "data")]
    out: Option<PathBuf>,
    #[command(flatten)]
    study: StudyArgs,
}

fn table(text: &str) -> Result<&'static PaperTable, String> {
    let found = text.parse().ok().and_then(PaperTable::find);
    found.ok_or_else(|| format!("expected one of {}", report::list(PaperTable::numbers())))
}

fn share(text: &str) -> Result<f64, String> {
    let fits = |share| share > 0.0 && share <= 1.0;
    args::number(text, fits, "above 0 and at most 1")
}

impl Ablate {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        match (&self.data, &self.eval_data, &self.eval_test, &self.out) {
            (Some(data), Some(train), Some(test), Some(out)) => {
                self.short_runs([data, train, test], out, context)
            }
            _ => {
                self.study.refuse("without `--data`")?;
                Ok(self.full_size())
            }
        }
    }

    /// The commands of full size.
    fn full_size(&self) -> Report {
        let table = self.table;
        let rows = table.full_size_commands();
        let mut text = format!(
            "Table {}. {} ({}, {} epochs of ImageNet). Never run by us.\n",
            table.number, table.title, table.arch, table.epochs
        );
        for row in &rows {
            let paper = table.metrics.iter().zip(row.paper);
            let paper = paper.map(|(metric, paper)| format!("{} {paper:.1} %", metric.name()));
            let _ = write!(text, "\n# {} (paper: {})\n", row.row, report::list(paper));
            for command in &row.commands {
                let _ = writeln!(text, "{command}");
            }
        }
        let json = json!({
            "table": table.number,
            "title": table.title,
            "recipe": table.recipe,
            "metrics": table.metrics,
            "rows": rows,
        });
        Report { text, json }
    }

    fn short_runs(
        &self,
        [data, train, test]: [&String; 3],
        out: &Path,
        context: &Context,
    ) -> Result<Report, CliError> {
        let (recipe, _) = self.study.open(&self.recipe, context)?;
        let data = named(data, context)?;
        let task = task(train, test, context)?;
        let labels = match self.labels_per_class {
            Some(labels) => Labels::PerClass(labels),
            None => Labels::Fraction(self.label_fraction),
        };
        let study = Study {
            only: self.rows.clone(),
            ..self.table.study(recipe, task, labels)?
        };
        let table = format!("table-{}.md", self.table.number);
        let found = self.study.run(study, &data, out, &table, context)?;
        Ok(Report {
            text: found.to_string(),
            json: json!(found),
        })
    }
}
