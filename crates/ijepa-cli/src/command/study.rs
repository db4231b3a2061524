//! What `sweep` and `ablate` share: flags, and the way from a study to its table.

use std::path::Path;

use clap::Args;
use ijepa_eval::{
    ExtractConfig,
    study::{NamedSource, Study, StudyError, StudyReport},
};
use ijepa_model::files;
use ijepa_train::Recipe;

use crate::{
    args::{self, Compute, ComputeArgs, Precision, ReadArgs},
    error::CliError,
    report,
};

/// How long and how often everything is trained, and with what.
#[derive(Debug, Args)]
pub(crate) struct StudyArgs {
    /// Changes of single keys for all runs
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    overrides: Vec<String>,
    /// Images of a whole run, to which schedules are fitted [default: as the recipe says]
    #[arg(long, value_name = "N")]
    images: Option<u64>,
    /// Seeds of everything that is compared; differences are judged from three on
    #[arg(id = "seed", long = "seeds", visible_alias = "seed")]
    #[arg(value_name = "N,N", value_delimiter = ',', default_value = "0")]
    seeds: Vec<u64>,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
}

impl StudyArgs {
    /// The recipe that is changed, and what computes.
    pub(crate) fn open(&self, recipe: &str) -> Result<(Recipe, Compute), CliError> {
        let recipe = args::load_recipe(recipe, &self.overrides)?;
        let wanted = Precision::of(recipe.run.precision);
        let compute = self.compute.open_preferring(wanted)?;
        let precision = format!("run.precision={}", compute.precision.name());
        Ok((recipe.with_overrides(&[precision])?, compute))
    }

    /// Runs `study` as the flags say and writes its table to the file `table` of `out`.
    pub(crate) fn run(
        &self,
        study: Study,
        data: &NamedSource,
        out: &Path,
        table: &str,
        compute: &Compute,
    ) -> Result<StudyReport, CliError> {
        let study = Study {
            seeds: self.seeds.clone(),
            images: self.images,
            extract: ExtractConfig {
                preprocess: self.read.preprocess.unwrap_or_default(),
                batch_size: self.read.batch_size,
                workers: self.read.workers.count(),
                ..study.extract
            },
            ..study
        };
        let environment = compute.environment([("data", data.0.clone().into())]);
        let options = args::stopping_at_ctrl_c(&self.read.workers, environment)?;
        let found = study.run(data, out, &compute.device, &options, &mut |run| {
            if !self.quiet {
                report::line(&run.to_string());
            }
        })?;
        files::write_bytes(&out.join(table), found.to_string())?;
        Ok(found)
    }
}

/// The images of `spec`, under that name.
pub(crate) fn named(spec: &str) -> Result<NamedSource, CliError> {
    Ok((spec.to_owned(), args::open_data(spec)?))
}

impl From<StudyError> for CliError {
    fn from(error: StudyError) -> Self {
        match error {
            StudyError::Interrupted { step, run } => Self::Interrupted { step, run },
            StudyError::Train(error) => error.into(),
            StudyError::Eval(error) => error.into(),
            StudyError::Recipe(error) => error.into(),
            StudyError::File(error) => error.into(),
            other => Self::Study(other),
        }
    }
}
