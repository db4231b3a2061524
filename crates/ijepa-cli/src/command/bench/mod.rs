//! `ijepa bench`: how fast a part of the method runs.

mod data;
mod encode;
mod masks;
mod model;
mod peak;
mod rates;
mod step;

use clap::Subcommand;

use crate::{error::CliError, report::Report};

/// Measure speed: warm-up, then median, least and most of several rounds
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    Step(step::Step),
    Encode(encode::Encode),
    Masks(masks::Masks),
    Data(data::Data),
}

impl Bench {
    pub(crate) fn run(&self) -> Result<Report, CliError> {
        match self {
            Self::Step(step) => step.run(),
            Self::Encode(encode) => encode.run(),
            Self::Masks(masks) => masks.run(),
            Self::Data(data) => data.run(),
        }
    }
}
