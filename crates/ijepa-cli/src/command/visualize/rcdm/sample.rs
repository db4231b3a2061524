//! `ijepa visualize rcdm sample`: a picture of what a decoder makes of some images' vectors.

use std::path::PathBuf;

use clap::Args;
use ijepa_viz::rcdm::decoded_grid;
use serde_json::json;

use super::made::{Made, MadeArgs};
use crate::{
    args::positive,
    context::Context,
    error::CliError,
    features::{skipped_json, skipped_text},
    picture::{check_png, write_png},
    report::Report,
};

/// Show what a decoder makes of the vectors of some images
///
/// A row for each image: the original, for predicted vectors the context with the hidden patches
/// blanked, then images made of the vector, with a green rectangle around the predicted block.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa visualize rcdm sample --decoder runs/decoder --weights runs/nano \
        --data cifar10:cifar-10 \\\n    --images 8 --samples 6 --out decoded.png"
)]
pub(crate) struct Sample {
    #[command(flatten)]
    made: MadeArgs,
    /// Images to show, spread over the data
    #[arg(long, value_name = "N", default_value = "8", value_parser = positive)]
    images: usize,
    /// Images made of each vector
    #[arg(long, value_name = "K", default_value = "6", value_parser = positive)]
    samples: usize,
    /// Picture to write, PNG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Sample {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        check_png("out", &self.out)?;
        let Made {
            decoder,
            shown,
            sampling,
            ..
        } = self.made.open(self.images, self.samples, context)?;
        let made = shown.decode(&decoder, self.samples, sampling);
        let side = decoder.config().unet.image_size;
        let picture = decoded_grid(&shown, &made, side);
        write_png(&picture, &self.out)?;
        let (images, samples) = (shown.images(), self.samples);
        let out = self.out.display();
        Ok(Report {
            text: format!("{samples} images of each of {images} vectors in {out}\n")
                + &skipped_text(&shown.skipped),
            json: json!({
                "images": images,
                "samples": samples,
                "steps": sampling.steps,
                "size": side,
                "condition": decoder.config().condition,
                "skipped": skipped_json(&shown.skipped),
                "out": self.out.to_string_lossy(),
                "device": context.compute()?.spec.to_string(),
            }),
        })
    }
}
