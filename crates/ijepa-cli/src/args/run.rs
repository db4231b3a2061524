//! How commands that train are started, stopped and gone on with.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use ijepa_report::RunRecord;
use ijepa_train::{Resume, TrainOptions, TrainSummary, run::Folder};
use serde_json::{Value, json};

use crate::{
    context::Context,
    error::CliError,
    features::skipped_text,
    progress,
    report::{self, Report},
    signals::stop_at_signals,
};

/// What goes on with a run that was told to stop.
pub(crate) const SAME_COMMAND: &str = "the same command";

/// The directory of a run, where it starts and when it stops.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Run directory
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// auto: go on from the newest checkpoint of the run directory; never; or a checkpoint
    #[arg(long, value_name = "auto|never|FILE", default_value = "auto", value_parser = resume)]
    pub(crate) resume: Resume,
    /// Stop after this step, leaving the schedules as they are
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// Stop after this time, leaving the schedules as they are
    #[arg(long, value_name = "M", value_parser = minutes)]
    max_minutes: Option<Duration>,
}

impl RunArgs {
    /// Steps after which it stops at the latest, of `total`.
    pub(crate) fn steps(&self, total: u64) -> u64 {
        self.max_steps.unwrap_or(total).min(total)
    }

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

    /// `error`, after a word about what the run in `folder` could go on from if its newest checkpoint
    /// is of no use.
    pub(crate) fn advised(
        &self,
        error: impl Into<CliError>,
        folder: &Folder,
        context: &Context,
    ) -> CliError {
        let error = error.into();
        let asked = matches!(self.resume, Resume::Auto) && context.leads();
        let broken = asked && error.is_of_checkpoint();
        let newest = broken.then(|| folder.newest_two()).flatten();
        // The errors of a checkpoint that is being written are about another one.
        let said = error.to_string();
        let about = |newest: &Path| {
            let name = newest.file_name().unwrap_or_default().to_string_lossy();
            said.contains(&format!("{name}/")) || said.contains(&format!("{name}`"))
        };
        if let Some([_, earlier]) = newest.filter(|[newest, _]| about(newest)) {
            let earlier = earlier.display();
            report::line(&format!(
                "note: --resume {earlier} goes on from the checkpoint before"
            ));
        }
        error
    }

    /// What every run has to say, after the lines and beside the keys of `own`.
    ///
    /// # Errors
    ///
    /// [`CliError::Interrupted`] if it was told to stop.
    pub(crate) fn report(&self, summary: &TrainSummary, own: Report) -> Result<Report, CliError> {
        if summary.interrupted {
            return Err(CliError::Interrupted {
                step: summary.steps,
                run: self.out.clone(),
                again: match self.resume {
                    Resume::Auto => SAME_COMMAND,
                    Resume::Never | Resume::File(_) => "the same command with --resume auto",
                },
            });
        }
        let judgement = RunRecord::read(&self.out)?.judgement();
        let rate = match summary.steps_made {
            0 => "nothing left to do".to_owned(),
            _ => format!("{:.1} images/s", summary.images_per_s),
        };
        let loss = match summary.loss_last.is_nan() {
            true => String::new(),
            false => format!(
                ", loss {:.4} -> {:.4}",
                summary.loss_first, summary.loss_last
            ),
        };
        let mut text = format!(
            "{} steps, {} images{loss}, {rate}; {}\n",
            summary.steps,
            summary.images,
            self.out.display()
        );
        let scores = summary.scores();
        if !scores.is_empty() {
            text += &format!("{}\n", progress::scores(&scores));
        }
        text += &own.text;
        text += &format!("{}: {}\n", judgement.verdict.words(), judgement.reason);
        text += &skipped_text(&summary.skipped);
        let loss_mean = summary.logged.as_ref().and_then(|row| row.get("loss_mean"));
        let mut json = json!({
            "steps": summary.steps,
            "images": summary.images,
            "loss_first": summary.loss_first,
            "loss_last": summary.loss_last,
            "loss_mean": loss_mean,
            "images_per_s": summary.images_per_s,
            "device_hours": summary.device_time.as_secs_f64() / 3600.0,
            "run": self.out.to_string_lossy(),
            "verdict": judgement.verdict,
            "reason": judgement.reason,
            "skipped": summary.skipped.len(),
        });
        if let Value::Object(own) = own.json {
            own.into_iter().for_each(|(key, value)| json[key] = value);
        }
        Ok(Report { text, json })
    }
}

/// Options of a whole run that Ctrl-C stops after a step, with a checkpoint, or the second one
/// at once.
pub(crate) fn stopping_at_ctrl_c(
    context: &Context,
    mut environment: Value,
) -> Result<TrainOptions, CliError> {
    let (workers, reading) = (context.workers(), context.reading());
    environment["processes"] = context.ranks().size().into();
    environment["workers"] = workers.into();
    environment["io_depth"] = reading.io_depth.into();
    environment["retries"] = reading.retry.retries.into();
    let options = TrainOptions {
        workers,
        reading,
        environment,
        ..TrainOptions::default()
    };
    stop_at_signals(Arc::clone(&options.stop)).map_err(CliError::Signals)?;
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
