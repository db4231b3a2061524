//! `ijepa bench encode`: features of whole images.

use burn::tensor::{Distribution, Tensor};
use clap::Args;
use ijepa_model::Compute;
use ijepa_train::flops;

use super::model::{ModelArgs, Subject};
use crate::{context::Context, error::CliError, report::Report};

/// Encode whole images with frozen random weights
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa bench encode --arch vit_s16 --batch-size 8 --threads 2")]
pub(crate) struct Encode {
    #[command(flatten)]
    model: ModelArgs,
}

impl Encode {
    pub(super) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let subject = self.model.open(context, false)?;
        let Subject {
            recipe,
            compute,
            batch_size,
            model,
            ..
        } = &subject;
        let config = &model.encoder;
        let encoder = config
            .init(&compute.device)
            .with_compute(Compute {
                precision: compute.precision,
                ..recipe.compute()
            })
            .frozen();
        let [height, width] = config.image_size;
        let images = Tensor::<4>::random(
            [*batch_size, config.in_chans, height, width],
            Distribution::Normal(0.0, 1.0),
            &compute.device,
        );
        let patches = encoder.grid().num_patches();
        let round = |_| {
            // Reading one value waits for all of them.
            let features = encoder.forward_features(images.clone());
            std::hint::black_box(features.slice([0..1, 0..1, 0..1]).into_data());
            flops::encoder_forward(config, patches)
        };
        Ok(subject.measure(round))
    }
}
