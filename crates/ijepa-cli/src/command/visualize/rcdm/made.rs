//! A decoder, and images with the vectors that it is to make images of.

use std::path::PathBuf;

use clap::Args;
use ijepa_viz::rcdm::{ConditionKind, Conditioner, Decoder, Sampling, Shown};

use super::inputs::InputArgs;
use crate::{args, context::Context, error::CliError, report};

/// What is made of which images.
#[derive(Debug, Args)]
pub(super) struct MadeArgs {
    /// Run directory of `train`, a checkpoint of it, or its decoder.safetensors
    #[arg(long, value_name = "DIR")]
    decoder: PathBuf,
    #[command(flatten)]
    inputs: InputArgs,
    /// Steps from noise to image, at most 1000
    #[arg(long, value_name = "N", default_value = "100", value_parser = sampling_steps)]
    steps: usize,
}

/// All that images are made with.
pub(super) struct Made {
    pub(super) decoder: Decoder,
    pub(super) conditioner: Conditioner,
    pub(super) shown: Shown,
    pub(super) sampling: Sampling,
}

impl MadeArgs {
    /// Reads `images` images, of each of which `samples` will be made.
    pub(super) fn open(
        &self,
        images: usize,
        samples: usize,
        context: &Context,
    ) -> Result<Made, CliError> {
        let inputs = &self.inputs;
        let compute = context.compute()?;
        let decoder = Decoder::from_pretrained(&self.decoder, &compute.device)?;
        let trained = decoder.config().condition;
        // A file of `embed` may stand for the encoder that it was taken from.
        let kind = match (&inputs.features, trained) {
            (Some(_), ConditionKind::Encoder) => ConditionKind::File,
            _ => trained,
        };
        let conditioner = inputs.conditioner(kind, None, context)?;
        let (source, seed) = (inputs.source(context)?, context.seed.unwrap_or(0));
        let device = &compute.device;
        let shown = Shown::read(
            &decoder,
            &conditioner,
            source.as_ref(),
            context.reading(),
            images,
            seed,
            device,
        )?;
        if !context.quiet {
            let (images, device) = (shown.images(), compute.spec);
            report::line(&format!(
                "{samples} images of each of {images} vectors on {device}"
            ));
        }
        Ok(Made {
            decoder,
            conditioner,
            shown,
            sampling: Sampling {
                steps: self.steps,
                seed,
            },
        })
    }
}

/// A number of the steps that decoders are trained with.
fn sampling_steps(text: &str) -> Result<usize, String> {
    args::whole(text, 1..=1000)
}
