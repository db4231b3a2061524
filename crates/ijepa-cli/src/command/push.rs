//! `ijepa push`: weights to the Hugging Face hub.

use std::path::PathBuf;

use clap::Args;
use ijepa_model::{
    CheckpointError,
    hub::{Hub, HubName},
};
use serde_json::json;

use crate::{context::Context, error::CliError, hub::watch, report::Report};

/// Upload a folder of weights to the Hugging Face hub
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    ijepa convert runs/b16 vitb16 --to hf --license apache-2.0\n  \
    HF_TOKEN=hf_... ijepa push vitb16 hf:ORG/vitb16")]
pub(crate) struct Push {
    /// Folder that `ijepa convert --to hf` has written, or another one of weights; what lies in its
    /// folders is left out
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Repository `hf:ORG/NAME[@BRANCH]`, made if there is none
    #[arg(value_name = "NAME", value_parser = repository)]
    name: HubName,
    /// Let only the owners see a repository that is made
    #[arg(long)]
    private: bool,
}

fn repository(text: &str) -> Result<HubName, String> {
    let name = text.parse::<HubName>().ok();
    let name = name.filter(|name| name.file().is_none());
    name.ok_or_else(|| "expected hf:ORG/NAME[@BRANCH]".to_owned())
}

impl Push {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let Self {
            folder,
            name,
            private,
        } = self;
        let watch = watch(name.to_string(), context.quiet);
        let pushed = Hub::from_env().push(folder, name, *private, watch);
        let url = pushed.map_err(CheckpointError::from)?;
        Ok(Report {
            text: format!("{url}\n"),
            json: json!({"name": name.to_string(), "folder": folder.to_string_lossy(), "url": url}),
        })
    }
}
