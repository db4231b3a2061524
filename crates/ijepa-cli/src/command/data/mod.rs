//! `ijepa data`: what is in a data set, and data sets in other forms.

mod index;
mod pack;
mod stats;
mod verify;

use clap::{Args, Subcommand};
use ijepa_data::{
    DataError, MAX_CHANNELS, Orientation, Reading, SixteenBit, Source, check_channels,
};
use ijepa_eval::{Progress, ProgressUnit};

use crate::{
    args::{self, DataArgs},
    context::Context,
    error::CliError,
    progress::StatusLine,
    report::Report,
};

/// Check, measure, pack and index images
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  ijepa data verify --data folder:photos\n  ijepa data stats --data folder:photos"
)]
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
    /// How 16-bit samples become 8: high_byte; scale to the bits that a picture uses; keep leaves
    /// them 16, and floats what they are [default: high_byte]
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

/// Which channels images have.
#[derive(Debug, Args)]
struct ChannelsArgs {
    /// Channels of the images, 1 to 16; all but 3 are read in full depth [default: 3]
    #[arg(long, value_name = "N", value_parser = channels)]
    channels: Option<usize>,
}

impl ChannelsArgs {
    /// `reading` with these channels, which the first image of `source` must have.
    fn reading(&self, mut reading: Reading, source: &dyn Source) -> Result<Reading, DataError> {
        if let Some(channels) = self.channels {
            reading.decoding.channels = channels;
        }
        check_channels(source, reading.decoding)?;
        Ok(reading)
    }
}

fn channels(text: &str) -> Result<usize, String> {
    args::whole(text, 1..=MAX_CHANNELS)
}

/// Shows how many of `total` images are done.
fn watch(data: &DataArgs, total: usize, context: &Context) -> impl FnMut(usize) + use<> {
    let mut watch = StatusLine::watch(context.quiet, &data.spec());
    let unit = ProgressUnit::Images;
    move |done| watch(Progress { done, total, unit })
}
