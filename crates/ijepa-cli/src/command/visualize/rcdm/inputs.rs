//! The vectors and the images that a decoder is trained on, shown with or measured by.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use ijepa_data::{Decoding, Source};
use ijepa_eval::{FeatureFormat, read_features, read_names};
use ijepa_model::VisionTransformerConfig;
use ijepa_viz::rcdm::{ConditionKind, Conditioner};

use crate::{
    args::{self, DataArgs, refuse_given},
    command::visualize::mask_sampler,
    context::Context,
    error::CliError,
    features::{EncoderChoice, WeightsArgs, warn_of_decoding},
};

/// Images, and what turns them into vectors.
#[derive(Debug, Args)]
pub(super) struct InputArgs {
    #[command(flatten)]
    pub(super) weights: WeightsArgs,
    /// Encoder of the weights [default: target, or the only one there is]; of a predictor: context
    #[arg(long, value_enum)]
    encoder: Option<EncoderChoice>,
    /// File of `ijepa embed` with a vector for each image, instead of weights
    #[arg(long, value_name = "F",
          conflicts_with_all = ["weights", "arch", "encoder", "image_size", "normalize"])]
    pub(super) features: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
}

impl InputArgs {
    pub(super) fn source(&self, context: &Context) -> Result<Arc<dyn Source>, CliError> {
        Ok(self.data.open_unlabelled(context)?)
    }

    /// What turns images into vectors of `kind`. Where training images are decoded otherwise than its
    /// own were, it says so.
    pub(super) fn conditioner(
        &self,
        kind: ConditionKind,
        trains_on: Option<Decoding>,
        context: &Context,
    ) -> Result<Conditioner, CliError> {
        let place = format!("for vectors of kind {}", kind.name());
        if kind == ConditionKind::File {
            let missing = || CliError::MissingFeatures;
            let features = self.features.as_ref().ok_or_else(missing)?;
            let stored = read_features(features).map_err(ijepa_eval::Error::from)?;
            let names = match FeatureFormat::of(features) {
                Ok(FeatureFormat::Parquet) => read_names(features),
                // The other formats have none.
                _ => Ok(Vec::new()),
            };
            return Ok(Conditioner::File {
                features: stored.features,
                weights: stored.weights,
                names: names.map_err(ijepa_eval::Error::from)?,
            });
        }
        refuse_given(&[("features", self.features.is_some())], &place)?;
        if kind == ConditionKind::Encoder {
            let loaded = self.weights.load(self.encoder, context)?;
            only_colors(loaded.encoder.config())?;
            if let Some(decoding) = trains_on {
                warn_of_decoding(loaded.wanted.decoding, decoding);
            }
            return Ok(Conditioner::Encoder {
                encoder: Box::new(loaded.encoder),
                normalization: loaded.wanted.normalization,
            });
        }
        let other = |choice| choice != EncoderChoice::Context;
        let flags = [
            ("encoder", self.encoder.is_some_and(other)),
            ("image-size", self.weights.image_size.is_some()),
        ];
        refuse_given(&flags, &place)?;
        let loaded = self.weights.load_predictor(context)?;
        only_colors(loaded.networks.encoder.config())?;
        args::check_predicts(loaded.recipe.as_ref())?;
        let grid = loaded.networks.encoder.grid();
        Ok(Conditioner::Predictor {
            sampler: mask_sampler(loaded.recipe.as_ref(), grid)?,
            networks: Box::new(loaded.networks),
            normalization: loaded.normalization,
        })
    }
}

/// Decoders draw red, green and blue.
fn only_colors(encoder: &VisionTransformerConfig) -> Result<(), CliError> {
    match encoder.in_chans {
        3 => Ok(()),
        channels => Err(CliError::OnlyColors { channels }),
    }
}
