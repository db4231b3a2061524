//! `ijepa data index`: lists of large folders, kept for the starts to come.

use clap::Args;
use ijepa_data::{DataSpec, Kept};
use serde_json::json;

use crate::{args::DataArgs, context::Context, error::CliError, home, report::Report};

/// List folders and keep what was found, so that every start after that is fast
///
/// Folders of 10,000 images and more are kept unasked when they are first opened.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa data index --data folder:imagenet22k/train")]
pub(crate) struct Index {
    #[command(flatten)]
    data: DataArgs,
}

impl Index {
    pub(super) fn run(&self, _: &Context) -> Result<Report, CliError> {
        let indexes = home::indexes().ok_or(CliError::NoCache)?;
        let (mut text, mut json) = (String::new(), Vec::new());
        for spec in &self.data.specs {
            for kept in spec.parse::<DataSpec>()?.renew_indexes(&indexes)? {
                let Kept {
                    path,
                    images,
                    folders,
                } = &kept;
                text += &match path {
                    Some(path) => format!("{spec}: {images} images, index {}\n", path.display()),
                    None => format!("{spec}: {images} images, no index to keep\n"),
                };
                json.push(json!({
                    "data": spec, "images": images, "folders": folders, "index": path,
                }));
            }
        }
        Ok(Report {
            text,
            json: json!({"indexes": json}),
        })
    }
}
