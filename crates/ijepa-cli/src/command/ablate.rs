//! `ijepa ablate`: tables 6 to 14 of the paper as short runs.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::Args;
use ijepa_eval::{
    ExtractConfig,
    ablation::{
        AblationConfig, AblationData, AblationError, AblationReport, AblationRow,
        AblationRunReport, AblationTable, Labels, ablate, full_size_commands,
    },
    sweep::Outcome,
};
use ijepa_model::files::write_bytes;
use serde_json::json;

use crate::{
    args::{self, ReadArgs},
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
    table: &'static AblationTable,
    /// Print the commands of full size instead of running small ones, as without --data
    #[arg(long, conflicts_with_all = ["data", "rows"])]
    print: bool,
    /// Images to train on: folder:PATH or PATH, parquet:GLOB, cifar10:PATH, scenes[:key=value,...]
    #[arg(long, value_name = "SPEC", requires_all = ["eval_data", "eval_test", "out"])]
    data: Option<String>,
    /// Labelled images to learn from
    #[arg(long, value_name = "SPEC", requires = "data")]
    eval_data: Option<String>,
    /// Labelled images that are classified
    #[arg(long, value_name = "SPEC", requires = "data")]
    eval_test: Option<String>,
    /// The small recipe that rows change: name of a preset or path of a .toml file
    #[arg(long, value_name = "NAME|FILE", default_value = "cifar10_vit_nano")]
    recipe: String,
    /// Changes of single keys for all rows
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    overrides: Vec<String>,
    /// Images of a run, to which schedules are fitted [default: as the recipe says]
    #[arg(long, value_name = "N")]
    images: Option<u64>,
    /// Seeds of every row [default: --seed]
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        conflicts_with = "seed"
    )]
    seeds: Vec<u64>,
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
    label_fraction: f64,
    /// Labels of each class for low-shot evaluation, instead of a share
    #[arg(long, value_name = "N", value_parser = args::positive)]
    #[arg(conflicts_with = "label_fraction")]
    labels_per_class: Option<usize>,
    /// Folder of all runs and tables
    #[arg(long, value_name = "DIR", requires = "data")]
    out: Option<PathBuf>,
    #[command(flatten)]
    read: ReadArgs,
}

fn table(text: &str) -> Result<&'static AblationTable, String> {
    let found = text.parse().ok().and_then(AblationTable::find);
    found.ok_or_else(|| format!("expected one of {}", report::list(AblationTable::numbers())))
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        _ => Err("expected a number above 0 and at most 1".to_owned()),
    }
}

impl Ablate {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        match (&self.data, &self.eval_data, &self.eval_test, &self.out) {
            (Some(data), Some(train), Some(test), Some(out)) => {
                self.short_runs([data, train, test], out, context)
            }
            _ => Ok(self.full_size()),
        }
    }

    /// The commands of full size.
    fn full_size(&self) -> Report {
        let table = self.table;
        let rows = full_size_commands(table);
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
        specs: [&String; 3],
        out: &Path,
        context: &Context,
    ) -> Result<Report, CliError> {
        let recipe = args::load_recipe(&self.recipe, &self.overrides)?;
        let compute = context.compute_preferring(recipe.run.precision)?;
        let config = AblationConfig {
            table: self.table,
            recipe: recipe.with_overrides(&[compute.precision_override()])?,
            rows: self.rows.clone(),
            seeds: context.seeds(&self.seeds),
            images: self.images,
            labels: match self.labels_per_class {
                Some(labels) => Labels::PerClass(labels),
                None => Labels::Fraction(self.label_fraction),
            },
            extract: ExtractConfig {
                preprocess: self.read.preprocess.unwrap_or_default(),
                batch_size: context.feature_batch(),
                workers: context.workers(),
                ..ExtractConfig::default()
            },
        };
        let open = |spec: &String| Ok::<_, CliError>((spec.clone(), args::open_data(spec)?));
        let [data, train, test] = specs.map(open);
        let data = AblationData {
            data: data?,
            train: train?,
            test: test?,
        };
        let environment = compute.environment([("data", data.data.0.clone().into())]);
        let options = args::stopping_at_ctrl_c(context, environment)?;
        let mut say = |row: &AblationRow, run: &AblationRunReport| {
            if !context.quiet {
                report::line(&line(row, run));
            }
        };
        let found = ablate(&config, &data, out, &compute.device, &options, &mut say)?;
        self.write_table(&found, out)?;
        Ok(Report {
            text: found.to_string(),
            json: json!(found),
        })
    }

    fn write_table(&self, found: &AblationReport, out: &Path) -> Result<(), CliError> {
        let path = out.join(format!("table-{}.md", found.table));
        Ok(write_bytes(&path, found.to_string())?)
    }
}

/// A finished run on one line.
fn line(row: &AblationRow, run: &AblationRunReport) -> String {
    let accuracy = run.accuracy.iter();
    let accuracy =
        accuracy.map(|found| found.map_or("-".to_owned(), |found| format!("{found:.1} %")));
    let trouble = match &run.outcome {
        Outcome::Finished => String::new(),
        Outcome::Collapsed(reason) | Outcome::Diverged(reason) => format!("; {reason}"),
    };
    let (name, seed, steps) = (row.name, run.seed, run.steps);
    format!(
        "{name}, seed {seed}, {steps} steps: {}{trouble}",
        report::list(accuracy)
    )
}

impl From<AblationError> for CliError {
    fn from(error: AblationError) -> Self {
        match error {
            AblationError::Run(error) => error.into(),
            AblationError::Eval(error) => error.into(),
            other => Self::Ablation(other),
        }
    }
}
