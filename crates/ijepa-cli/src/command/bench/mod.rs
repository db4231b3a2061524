//! `ijepa bench`: how fast a part of the method runs.

mod data;
mod encode;
mod masks;
mod model;
mod peak;
mod rates;
mod scale;
mod step;
mod sum;

use clap::Subcommand;

use crate::{context::Context, error::CliError, report::Report};

/// Measure speed: warm-up, then median, least and most of several rounds
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  ijepa bench step --arch vit_s16 --batch-size 16\n  ijepa bench data --data folder:photos"
)]
pub(crate) enum Bench {
    Step(step::Step),
    Encode(encode::Encode),
    Masks(masks::Masks),
    Data(data::Data),
    Scale(scale::Scale),
    Sum(sum::Sum),
}

impl Bench {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        match self {
            Self::Step(step) => step.run(context.alone("bench step")?),
            Self::Encode(encode) => encode.run(context.alone("bench encode")?),
            Self::Masks(masks) => masks.run(context.alone("bench masks")?),
            Self::Data(data) => data.run(context.alone("bench data")?),
            Self::Scale(scale) => scale.run(context.alone("bench scale")?),
            Self::Sum(sum) => sum.run(context),
        }
    }
}
