//! `ijepa data`: what is in a data set, and data sets in other forms.

mod index;
mod pack;
mod stats;
mod verify;

use clap::Subcommand;
use ijepa_eval::{Progress, ProgressUnit};

use crate::{
    args::DataArgs, context::Context, error::CliError, progress::StatusLine, report::Report,
};

/// Check, measure, pack and index images
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    Verify(verify::Verify),
    Stats(stats::Stats),
    Pack(pack::Pack),
    Index(index::Index),
}

impl Data {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        match self {
            Self::Verify(verify) => verify.run(context),
            Self::Stats(stats) => stats.run(context),
            Self::Pack(pack) => pack.run(context),
            Self::Index(index) => index.run(context),
        }
    }
}

/// Shows how many of `total` images are done.
fn watch(data: &DataArgs, total: usize, context: &Context) -> impl FnMut(usize) + use<> {
    let mut watch = StatusLine::watch(context.quiet, &data.spec());
    let unit = ProgressUnit::Images;
    move |done| watch(Progress { done, total, unit })
}
