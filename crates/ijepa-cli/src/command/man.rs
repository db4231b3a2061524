//! `ijepa man`: manual pages.

use std::{fs, path::PathBuf};

use clap::Args;
use ijepa_model::files::cannot;
use serde_json::json;

use crate::{context::Context, error::CliError, report::Report};

/// Write a manual page for every command
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Folder of the pages, which is created if need be
    #[arg(value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    pub(crate) fn run(&self, _: &Context) -> Result<Report, CliError> {
        let out = &self.out;
        let written = fs::create_dir_all(out);
        let written = written.and_then(|()| clap_mangen::generate_to(crate::command(), out));
        written.map_err(cannot("write", out))?;
        Ok(Report {
            text: format!("wrote the pages of `ijepa` to {}\n", out.display()),
            json: json!({"out": out.to_string_lossy()}),
        })
    }
}
