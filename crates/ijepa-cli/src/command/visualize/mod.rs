//! `ijepa visualize`: pictures of what encoders and predictors represent.

mod attention;
mod pca;
mod predictor;
mod rcdm;
mod shown;

use clap::Subcommand;
use ijepa_masking::{MaskSampler, MultiBlockConfig, PatchGrid};
use ijepa_train::Recipe;

use crate::{context::Context, error::CliError, report::Report};

/// Draw what an encoder or predictor represents, as PNG
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Example:\n  ijepa visualize pca --weights runs/nano --data folder:photos --out pca.png"
)]
pub(crate) enum Visualize {
    Pca(pca::Pca),
    Attention(attention::Attention),
    Predictor(predictor::Predictor),
    #[command(subcommand)]
    Rcdm(rcdm::Rcdm),
}

impl Visualize {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        match self {
            Self::Pca(pca) => pca.run(context),
            Self::Attention(attention) => attention.run(context),
            Self::Predictor(predictor) => predictor.run(context),
            Self::Rcdm(command) => command.run(context),
        }
    }
}

/// What draws masks as `recipe` does, the paper's on `grid` without one.
fn mask_sampler(
    recipe: Option<&Recipe>,
    grid: PatchGrid,
) -> Result<Box<dyn MaskSampler>, CliError> {
    Ok(match recipe {
        Some(recipe) => recipe.mask_sampler()?,
        None => Box::new(
            MultiBlockConfig::default()
                .build(grid)
                .map_err(CliError::PaperMasks)?,
        ),
    })
}
