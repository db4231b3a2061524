//! `ijepa visualize rcdm`: images made of representations.

mod check;
mod inputs;
mod made;
mod sample;
mod train;

use clap::Subcommand;

use crate::{context::Context, error::CliError, report::Report};

/// Make images of representations with a diffusion decoder (RCDM)
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  ijepa visualize rcdm train --weights runs/nano --data folder:photos --out runs/decoder"
)]
pub(crate) enum Rcdm {
    Train(train::Train),
    Sample(sample::Sample),
    Check(check::Check),
}

impl Rcdm {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        match self {
            Self::Train(command) => command.run(context),
            Self::Sample(command) => command.run(context),
            Self::Check(command) => command.run(context),
        }
    }
}
