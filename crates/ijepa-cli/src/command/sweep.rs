//! `ijepa sweep`: short runs of changed recipes, compared over seeds.

use std::{fs, path::PathBuf};

use clap::{Args, ValueEnum};
use ijepa_eval::study::{Equal, NamedSource, RunReport, Study, StudyReport, Task, Variant};
use ijepa_model::files;
use ijepa_report::{Overview, Report as Page, RunRecord};
use serde_json::{Value, json};

use super::study::{StudyArgs, task};
use crate::{
    args::{self, DataArgs},
    context::Context,
    error::CliError,
    report::Report,
};

/// Train variants of a recipe for a short time and compare them over seeds
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa sweep --recipe scenes_vit_nano --data scenes:n=20000,size=32 \
    --images 40000 --seeds 0,1,2 \\\n    --eval-data scenes:kind=texture,n=4000,size=32,seed=3 \
    --eval-test scenes:kind=texture,n=1000,size=32,seed=4 \\\n    --try base: \
    --try 'normal init: model.init=normal' --try optimizer.lr=2e-3 --out runs/sweep\n  \
    ijepa sweep --equal minutes --minutes 12 --halving 2 --seeds 0,1,2 ...\n\n\
    The same command goes on where it was stopped."
)]
pub(crate) struct Sweep {
    /// Name of a preset (see `ijepa recipes list`) or path of a .toml file
    #[arg(long, value_name = "NAME|FILE")]
    recipe: String,
    /// A variant, such as 'large: run.batch_size=64 mask.group_size=64' or 'base:'; the first is
    /// what the others are compared with
    #[arg(long = "try", value_name = "NAME: KEY=VALUE ...")]
    variants: Vec<Variant>,
    /// File of variants, one a line; # begins a comment
    #[arg(long, value_name = "FILE")]
    tries: Option<PathBuf>,
    /// What all variants get equally much of: images, operations by formula, or minutes by a speed
    /// that is measured first
    #[arg(long, value_enum, default_value = "images")]
    equal: EqualTo,
    /// Minutes of a whole run with --equal minutes [default: as long as the first variant needs for
    /// its images]
    #[arg(long, value_name = "M", value_parser = args::above_zero, conflicts_with = "images")]
    minutes: Option<f64>,
    /// Successive halving: keep the best one in N variants after 1/N^2, 1/N, ... of the schedule
    #[arg(long, value_name = "N", value_parser = args::positive)]
    halving: Option<usize>,
    #[command(flatten)]
    data: DataArgs,
    /// Labelled images that vote; once for every task, the first decides
    #[arg(long, value_name = "SPEC", required = true)]
    eval_data: Vec<String>,
    /// Labelled images that are classified, one for every --eval-data
    #[arg(long, value_name = "SPEC", required = true)]
    eval_test: Vec<String>,
    /// Folder of all runs
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    study: StudyArgs,
}

impl Sweep {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let of_images = self.minutes.is_some() && self.equal != EqualTo::Minutes;
        args::refuse_given(&[("minutes", of_images)], "without --equal minutes")?;
        let (recipe, _) = self.study.open(&self.recipe, context)?;
        let variants = self.variants()?;
        let data = NamedSource::new(self.data.spec(), self.data.open_unlabelled(context)?);
        let study = Study {
            halving: self.halving,
            equal: self.equal.into(),
            minutes: self.minutes,
            ..Study::sweep(recipe, variants, self.tasks(context)?)
        };
        let found = self
            .study
            .run(study, &data, &self.out, "sweep.md", context)?;
        let page = self.out.join("report.html");
        files::write_bytes(&page, html(&found)?)?;
        let mut json = as_json(&found);
        json["page"] = json!(page.to_string_lossy());
        Ok(Report {
            text: format!("{found}wrote {}\n", page.display()),
            json,
        })
    }

    /// Variants of the command line, then those of the file.
    fn variants(&self) -> Result<Vec<Variant>, CliError> {
        let mut variants = self.variants.clone();
        let Some(path) = &self.tries else {
            return Ok(variants);
        };
        let bad = |why: String| CliError::VariantFile {
            path: path.clone(),
            why,
        };
        let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
        for line in text.trim_start_matches('\u{feff}').lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                variants.push(line.parse().map_err(|error| bad(format!("{error}")))?);
            }
        }
        Ok(variants)
    }

    fn tasks(&self, context: &Context) -> Result<Vec<Task>, CliError> {
        let (train, test) = (self.eval_data.len(), self.eval_test.len());
        if train != test {
            return Err(CliError::TaskPairs { train, test });
        }
        let pairs = self.eval_data.iter().zip(&self.eval_test);
        pairs
            .map(|(train, test)| task(train, test, context))
            .collect()
    }
}

/// What all variants get equally much of
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EqualTo {
    /// Minutes of training, at the speed measured before
    Minutes,
    /// Floating-point operations by formula
    Flops,
    /// Training images
    Images,
}

impl From<EqualTo> for Equal {
    fn from(equal: EqualTo) -> Self {
        match equal {
            EqualTo::Minutes => Self::Minutes,
            EqualTo::Flops => Self::Flops,
            EqualTo::Images => Self::Images,
        }
    }
}

/// The table and the curves of all runs on one page.
fn html(found: &StudyReport) -> Result<String, CliError> {
    let runs = found.rows.iter().flat_map(|row| &row.runs);
    let records: Result<_, _> = runs.map(|run| RunRecord::read(&run.run)).collect();
    let mut page = Page::new(records?);
    page.set_overview(Overview {
        title: "Variants".to_owned(),
        header: found.header(),
        rows: found.cells(),
        note: found.note(),
    });
    Ok(page.to_html())
}

/// The report under the names that this command has for its parts.
fn as_json(found: &StudyReport) -> Value {
    let trial = |run: &RunReport| {
        let start = run.at_start.iter().flatten();
        json!({
            "variant": run.variant,
            "seed": run.seed,
            "steps": run.steps,
            "images": run.images,
            "cost": run.cost,
            "knn": run.accuracy.iter().flatten().collect::<Vec<_>>(),
            "knn_at_start": start.collect::<Vec<_>>(),
            "rankme": run.rankme,
            "loss": run.loss,
            "seconds": 60.0 * run.minutes,
            "outcome": run.outcome,
        })
    };
    let rows = found.rows.iter().map(|row| {
        json!({
            "name": row.name,
            "overrides": row.changes,
            "pace": row.pace,
            "trials": row.runs.iter().map(trial).collect::<Vec<_>>(),
            "gain": row.gain,
            "difference": row.difference,
        })
    });
    json!({
        "tasks": found.measures,
        "equal": found.equal,
        "variants": rows.collect::<Vec<_>>(),
        "statistics": found.statistics,
    })
}
