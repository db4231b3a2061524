//! `ijepa data verify`: which images cannot be used, and why.

use clap::Args;
use ijepa_data::verify;
use serde_json::json;

use super::{ChannelsArgs, watch};
use crate::{
    args::DataArgs,
    context::Context,
    error::CliError,
    features::{skipped_json, skipped_text},
    report::Report,
};

/// Read and decode every image and list those that cannot be used, each with its reason
///
/// Exits with 4 if there is one, or a file that stops early.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa data verify --data folder:photos\n  \
                        ijepa data verify --data tar:shards --json | jq -r '.bad[].path'")]
pub(crate) struct Verify {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    channels: ChannelsArgs,
}

impl Verify {
    pub(super) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let source = self.data.open_unlabelled(context)?;
        let images = source.len();
        let reading = self.channels.reading(context.reading(), source.as_ref())?;
        let progress = watch(&self.data, images, context);
        let bad = verify(source.as_ref(), reading, context.workers(), progress)?;
        let faults = source.faults();
        let report = Report {
            text: match (bad.len(), faults.len()) {
                (0, 0) => format!("all {images} images can be used\n"),
                (0, _) => format!("all {images} images that are there can be used\n"),
                (count, _) => format!(
                    "{}{count} of {images} images cannot be used\n",
                    skipped_text(&bad)
                ),
            },
            json: json!({
                "data": self.data.spec(),
                "images": images,
                "good": images - bad.len(),
                "bad": skipped_json(&bad),
                "faults": faults,
            }),
        };
        let error = match (bad.len(), faults.len()) {
            (0, 0) => return Ok(report),
            (0, files) => CliError::NotWhole { files },
            (bad, _) => CliError::BadImages { bad, images },
        };
        report.print(context.json)?;
        Err(error)
    }
}
