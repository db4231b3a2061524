//! `ijepa data index`: lists of large folders, kept for the starts to come.

use clap::Args;
use ijepa_data::{DataSpec, IndexCache, Kept};
use serde_json::json;

use crate::{context::Context, error::CliError, report::Report};

/// List folders and keep what was found, so that every start after that is fast
///
/// Folders of 10,000 images and more are kept unasked when they are first opened.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa data index --data folder:imagenet22k/train")]
pub(crate) struct Index {
    /// Folders, as `--data` of other commands
    #[arg(long = "data", value_name = "SPEC", required = true)]
    specs: Vec<String>,
}

impl Index {
    pub(super) fn run(&self, _: &Context) -> Result<Report, CliError> {
        let indexes = IndexCache::of_user().ok_or(CliError::NoCache)?;
        let (mut text, mut json) = (String::new(), Vec::new());
        for spec in &self.specs {
            for kept in spec.parse::<DataSpec>()?.renew_indexes(&indexes)? {
                let Kept {
                    path,
                    images,
                    folders,
                } = &kept;
                text += &format!("{spec}: {images} images, ");
                text += &match (path, folders) {
                    (Some(path), _) => format!("index {}\n", path.display()),
                    (None, 0) => "which need no index or keep one beside them\n".to_owned(),
                    (None, _) => "which are changing, so that no index is kept\n".to_owned(),
                };
                json.push(json!({
                    "data": spec, "images": images, "folders": folders, "index": path.as_ref().map(|path| path.to_string_lossy()),
                }));
            }
        }
        Ok(Report {
            text,
            json: json!({"indexes": json}),
        })
    }
}
