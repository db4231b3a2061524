//! What `sweep` and `ablate` share: flags, and the way from a study to its table.

use std::path::Path;

use clap::Args;
use ijepa_eval::{
    Error, ExtractConfig,
    study::{NamedSource, RunReport, Study, StudyError, StudyReport, Task},
    with_classes_of,
};
use ijepa_model::files;
use ijepa_train::{Learner, Recipe, run::Observer};

use crate::{
    args::{self, ReadArgs, Wanted},
    context::{Compute, Context},
    error::CliError,
    progress::RunProgress,
    report,
};

/// How long and how often everything is trained, and with what.
#[derive(Debug, Args)]
pub(crate) struct StudyArgs {
    /// Changes of single keys for all runs
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    overrides: Vec<String>,
    /// Images of a whole run at most, to which schedules are fitted: whole epochs of whole batches
    /// [default: as the recipe says]
    #[arg(long, value_name = "N")]
    images: Option<u64>,
    /// Seeds of everything that is compared [default: --seed]; differences are judged from three on
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        conflicts_with = "seed"
    )]
    seeds: Vec<u64>,
    #[command(flatten)]
    read: ReadArgs,
}

impl StudyArgs {
    /// Refuses what changes nothing where nothing is trained.
    pub(crate) fn refuse(&self, place: &str) -> Result<(), CliError> {
        let given = [
            ("set", !self.overrides.is_empty()),
            ("images", self.images.is_some()),
            ("seeds", !self.seeds.is_empty()),
        ];
        args::refuse_given(&given, place)?;
        args::refuse_given(&self.read.given(), place)
    }

    /// The recipe that is changed, and what computes.
    pub(crate) fn open<'a>(
        &self,
        recipe: &str,
        context: &'a Context,
    ) -> Result<(Recipe, &'a Compute), CliError> {
        let recipe = args::load_recipe(recipe, &self.overrides, context)?;
        let compute = context.compute_run(recipe.run.precision, &self.overrides)?;
        let recipe = recipe.with_overrides(&[compute.precision_override()])?;
        Ok((recipe, compute))
    }

    /// Runs `study` as the flags say and writes its table to the file `table` of `out`.
    pub(crate) fn run(
        &self,
        study: Study,
        data: &NamedSource,
        out: &Path,
        table: &str,
        context: &Context,
    ) -> Result<StudyReport, CliError> {
        let compute = context.compute()?;
        let ExtractConfig {
            pooling,
            normalization,
            reading,
            ..
        } = study.extract;
        let wanted = Wanted::decoded(reading.decoding, normalization);
        let read = self.read.extraction(pooling, wanted, None, context);
        let study = Study {
            seeds: context.seeds(&self.seeds),
            images: self.images,
            extract: read.config,
            ..study
        };
        let environment = compute.environment([("data", data.name.clone().into())]);
        let options = args::stopping_at_ctrl_c(context, environment)?;
        let mut watch = |what: &str, steps: u64| -> Option<Box<dyn Observer<Learner>>> {
            let mut progress = RunProgress::new(steps, context.quiet);
            progress.say(&format!("{what}: {steps} steps"));
            Some(Box::new(progress))
        };
        let mut on_run = |run: &RunReport| {
            if !context.quiet {
                report::line(&run.to_string());
            }
        };
        let device = &compute.device;
        let found = study.run(data, out, device, &options, &mut watch, &mut on_run)?;
        files::write_bytes(&out.join(table), found.to_string())?;
        Ok(found)
    }
}

/// The images of `spec`, under that name.
pub(crate) fn named(spec: &str, context: &Context) -> Result<NamedSource, CliError> {
    Ok(NamedSource::new(spec, args::open_data(spec, context)?))
}

/// The task to learn from the images of one spec and be tested on those of another.
pub(crate) fn task(train: &str, test: &str, context: &Context) -> Result<Task, CliError> {
    let (train, mut test) = (named(train, context)?, named(test, context)?);
    test.source = with_classes_of(train.source.as_ref(), test.source).map_err(Error::from)?;
    Ok(Task { train, test })
}

impl From<StudyError> for CliError {
    fn from(error: StudyError) -> Self {
        match error {
            StudyError::Interrupted { step, run } => Self::Interrupted {
                step,
                run,
                again: args::SAME_COMMAND,
            },
            StudyError::Train(error) => error.into(),
            StudyError::Eval(error) => error.into(),
            StudyError::Recipe(error) => error.into(),
            StudyError::File(error) => error.into(),
            other => Self::Study(other),
        }
    }
}
