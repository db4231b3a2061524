//! `ijepa sweep`: short runs of changed recipes, compared over seeds.

use std::{fs, path::PathBuf};

use clap::Args;
use ijepa_eval::{
    ExtractConfig,
    sweep::{Outcome, SweepConfig, SweepError, SweepReport, Task, TrialReport, Variant, sweep},
};
use ijepa_model::files::write_bytes;
use serde_json::json;

use crate::{
    args::{self, DataArgs, ReadArgs},
    context::Context,
    error::CliError,
    report::{self, Report},
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
    /// Changes of single keys for all variants
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    overrides: Vec<String>,
    /// A variant, such as 'large: run.batch_size=64 mask.group_size=64' or 'base:'; the first is
    /// what the others are compared with
    #[arg(long = "try", value_name = "NAME: KEY=VALUE ...")]
    variants: Vec<Variant>,
    /// File of variants, one a line; # begins a comment
    #[arg(long, value_name = "FILE")]
    tries: Option<PathBuf>,
    /// Seeds of every variant [default: --seed]
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        conflicts_with = "seed"
    )]
    seeds: Vec<u64>,
    /// Images of a full run, to which schedules are fitted [default: as the recipe says]
    #[arg(long, value_name = "N")]
    images: Option<u64>,
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
    read: ReadArgs,
}

impl Sweep {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let recipe = args::load_recipe(&self.recipe, &self.overrides)?;
        let compute = context.compute_preferring(recipe.run.precision)?;
        let config = SweepConfig {
            recipe: recipe.with_overrides(&[compute.precision_override()])?,
            variants: self.variants()?,
            seeds: context.seeds(&self.seeds),
            images: self.images,
            halving: self.halving,
            extract: ExtractConfig {
                preprocess: self.read.preprocess.unwrap_or_default(),
                batch_size: context.feature_batch(),
                workers: context.workers(),
                ..ExtractConfig::default()
            },
        };
        let data = (self.data.spec.clone(), self.data.open()?);
        let tasks = self.tasks()?;
        let options = args::stopping_at_ctrl_c(context, compute.environment([]))?;
        let mut say = |trial: &TrialReport| {
            if !context.quiet {
                report::line(&line(trial));
            }
        };
        let found = sweep(
            &config,
            &data,
            &tasks,
            &self.out,
            &compute.device,
            &options,
            &mut say,
        )?;
        self.write_table(&found)?;
        Ok(Report {
            text: found.to_string(),
            json: json!(found),
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

    fn tasks(&self) -> Result<Vec<Task>, CliError> {
        let (train, test) = (self.eval_data.len(), self.eval_test.len());
        if train != test {
            return Err(CliError::TaskPairs { train, test });
        }
        let pairs = self.eval_data.iter().zip(&self.eval_test);
        let named = |spec: &String| Ok::<_, CliError>((spec.clone(), args::open_data(spec)?));
        let open = |(train, test)| {
            Ok(Task {
                train: named(train)?,
                test: named(test)?,
            })
        };
        pairs.map(open).collect()
    }

    fn write_table(&self, found: &SweepReport) -> Result<(), CliError> {
        let path = self.out.join("sweep.md");
        Ok(write_bytes(&path, found.to_string())?)
    }
}

/// A finished trial on one line.
fn line(trial: &TrialReport) -> String {
    let accuracies = trial.knn.iter().zip(&trial.knn_at_start);
    let accuracies = accuracies.map(|(now, start)| format!("{now:.1} % ({:+.1})", now - start));
    let trouble = match &trial.outcome {
        Outcome::Finished => String::new(),
        Outcome::Collapsed(reason) | Outcome::Diverged(reason) => format!("; {reason}"),
    };
    format!(
        "{}, seed {}, {} steps: {}{trouble}",
        trial.variant,
        trial.seed,
        trial.steps,
        report::list(accuracies)
    )
}

impl From<SweepError> for CliError {
    fn from(error: SweepError) -> Self {
        match error {
            SweepError::Interrupted { step, run } => Self::Interrupted { step, run },
            SweepError::Train(error) => error.into(),
            SweepError::Eval(error) => error.into(),
            SweepError::Recipe(error) => error.into(),
            other => Self::Sweep(other),
        }
    }
}
