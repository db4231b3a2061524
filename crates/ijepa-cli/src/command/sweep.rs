//! `ijepa sweep`: short runs of changed recipes, compared over seeds.

use std::{fs, path::PathBuf};

use clap::Args;
use ijepa_eval::study::{RunReport, Study, StudyReport, Task, Variant};
use serde_json::{Value, json};

use super::study::{StudyArgs, named};
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
    --try 'normal init: model.init=normal' --try optimizer.lr=2e-3 --out runs/sweep\n\n\
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
        let (recipe, _) = self.study.open(&self.recipe, context)?;
        let variants = self.variants()?;
        let data = (self.data.spec(), self.data.open_unlabelled(context)?);
        let study = Study {
            halving: self.halving,
            ..Study::sweep(recipe, variants, self.tasks(context)?)
        };
        let found = self
            .study
            .run(study, &data, &self.out, "sweep.md", context)?;
        Ok(Report {
            text: found.to_string(),
            json: as_json(&found),
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
        for line in text.lines() {
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
        let open = |(train, test): (&String, &String)| {
            Ok(Task {
                train: named(train, context)?,
                test: named(test, context)?,
            })
        };
        pairs.map(open).collect()
    }
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
            "trials": row.runs.iter().map(trial).collect::<Vec<_>>(),
            "gain": row.gain,
            "difference": row.difference,
        })
    });
    json!({
        "tasks": found.measures,
        "variants": rows.collect::<Vec<_>>(),
        "statistics": found.statistics,
    })
}
