//! `ijepa visualize`: pictures of what encoders and predictors represent.

mod attention;
mod pca;
mod predictor;
mod shown;

use clap::Subcommand;

use crate::{error::CliError, report::Report};

/// Draw what an encoder or predictor represents, as PNG
#[derive(Debug, Subcommand)]
pub(crate) enum Visualize {
    Pca(pca::Pca),
    Attention(attention::Attention),
    Predictor(predictor::Predictor),
}

impl Visualize {
    pub(crate) fn run(&self) -> Result<Report, CliError> {
        match self {
            Self::Pca(pca) => pca.run(),
            Self::Attention(attention) => attention.run(),
            Self::Predictor(predictor) => predictor.run(),
        }
    }
}
