//! `ijepa completions`: what makes a shell complete the command line.

use clap::Args;
use clap_complete::{Shell, generate};
use serde_json::json;

use crate::{context::Context, error::CliError, report::Report};

/// Print a script that makes a shell complete commands and flags
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa completions bash > ~/.local/share/bash-completion/completions/ijepa"
)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, _: &Context) -> Result<Report, CliError> {
        let mut script = Vec::new();
        generate(self.shell, &mut crate::command(), "ijepa", &mut script);
        let text = String::from_utf8_lossy(&script).into_owned();
        let json = json!({"shell": self.shell.to_string(), "script": text});
        Ok(Report { text, json })
    }
}
