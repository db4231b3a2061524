//! How commands that train are started, stopped and gone on with.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use clap::Args;
use ijepa_train::{Resume, TrainOptions};
use serde_json::Value;

use crate::{context::Context, error::CliError};

/// The directory of a run, where it starts and when it stops.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Run directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// auto: go on from the newest checkpoint of the run directory; never; or a checkpoint
    #[arg(long, value_name = "auto|never|FILE", default_value = "auto", value_parser = resume)]
    resume: Resume,
    /// Stop after this step, leaving the schedules as they are
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// Stop after this time, leaving the schedules as they are
    #[arg(long, value_name = "M", value_parser = minutes)]
    max_minutes: Option<Duration>,
}

impl RunArgs {
    /// What is asked for, and to stop at Ctrl-C.
    pub(crate) fn options(
        &self,
        context: &Context,
        environment: Value,
    ) -> Result<TrainOptions, CliError> {
        Ok(TrainOptions {
            max_steps: self.max_steps,
            max_time: self.max_minutes,
            resume: self.resume.clone(),
            ..stopping_at_ctrl_c(context, environment)?
        })
    }
}

/// Options of a whole run that Ctrl-C stops after a step, with a checkpoint.
pub(crate) fn stopping_at_ctrl_c(
    context: &Context,
    mut environment: Value,
) -> Result<TrainOptions, CliError> {
    let workers = context.workers();
    environment["workers"] = workers.into();
    let options = TrainOptions {
        workers,
        environment,
        ..TrainOptions::default()
    };
    let stop = Arc::clone(&options.stop);
    ctrlc::set_handler(move || stop.store(true, Ordering::Relaxed)).map_err(CliError::Signals)?;
    Ok(options)
}

/// A time in minutes.
fn minutes(text: &str) -> Result<Duration, String> {
    let minutes: Option<f64> = text.parse().ok();
    let time = minutes.and_then(|minutes| Duration::try_from_secs_f64(60.0 * minutes).ok());
    time.ok_or_else(|| "expected a number of minutes of at least 0".to_owned())
}

/// Where a run starts.
fn resume(text: &str) -> Result<Resume, String> {
    Ok(match text {
        "auto" => Resume::Auto,
        "never" => Resume::Never,
        path => Resume::File(path.into()),
    })
}
