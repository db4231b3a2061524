//! `ijepa data`: what is in a data set, and data sets in other forms.

mod index;
mod pack;
mod stats;
mod verify;

use clap::{Args, Subcommand};
use ijepa_data::{Orientation, Reading, SixteenBit};
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

/// What pixels are where there is a choice.
#[derive(Debug, Args)]
struct DecodingArgs {
    /// Whether pictures are turned upright as their EXIF data says: ignore, exif [default: ignore]
    #[arg(long, value_name = "HOW")]
    orientation: Option<Orientation>,
    /// How 16-bit samples become 8: high_byte; scale to the bits that a picture uses [default:
    /// high_byte]
    #[arg(long, value_name = "HOW")]
    sixteen_bit: Option<SixteenBit>,
}

impl DecodingArgs {
    fn reading(&self, context: &Context) -> Reading {
        let mut reading = context.reading();
        reading.decoding.orientation = self.orientation.unwrap_or_default();
        reading.decoding.sixteen_bit = self.sixteen_bit.unwrap_or_default();
        reading
    }
}

/// Shows how many of `total` images are done.
fn watch(data: &DataArgs, total: usize, context: &Context) -> impl FnMut(usize) + use<> {
    let mut watch = StatusLine::watch(context.quiet, &data.spec());
    let unit = ProgressUnit::Images;
    move |done| watch(Progress { done, total, unit })
}
