//! `ijepa visualize rcdm sample`: a picture of what a decoder makes of some images' vectors.

use std::path::PathBuf;

use clap::Args;
use ijepa_viz::rcdm::{Decoder, Sampling, decoded_grid};
use serde_json::json;

use super::inputs::InputArgs;
use crate::{
    args::positive,
    error::CliError,
    picture::{check_name, write_png},
    report::{self, Report},
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
    /// Run directory of `train`, a checkpoint of it, or its decoder.safetensors
    #[arg(long, value_name = "DIR")]
    decoder: PathBuf,
    #[command(flatten)]
    inputs: InputArgs,
    /// Images to show, spread over the data
    #[arg(long, value_name = "N", default_value = "8", value_parser = positive)]
    images: usize,
    /// Images made of each vector
    #[arg(long, value_name = "K", default_value = "6", value_parser = positive)]
    samples: usize,
    /// Steps from noise to image, at most 1000
    #[arg(long, value_name = "N", default_value = "100", value_parser = sampling_steps)]
    steps: usize,
    /// Picture to write, PNG
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// A number of the steps that decoders are trained with.
pub(super) fn sampling_steps(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(steps) if (1..=1000).contains(&steps) => Ok(steps),
        _ => Err("expected a whole number from 1 to 1000".to_owned()),
    }
}

impl Sample {
    pub(crate) fn run(&self) -> Result<Report, CliError> {
        check_name("out", &self.out)?;
        let compute = self.inputs.compute()?;
        let decoder = Decoder::from_pretrained(&self.decoder, &compute.device)?;
        let (_, shown) = self.inputs.show(&decoder, self.images, &compute)?;
        let sampling = Sampling {
            steps: self.steps,
            seed: self.inputs.seed(),
        };
        if !self.inputs.quiet {
            let (images, samples, device) = (shown.images(), self.samples, compute.spec);
            report::line(&format!(
                "{samples} images of each of {images} vectors on {device}"
            ));
        }
        let made = shown.decode(&decoder, self.samples, sampling);
        let side = decoder.config().unet.image_size;
        let picture = decoded_grid(&shown, &made, side);
        write_png(&picture, &self.out)?;
        let (images, samples) = (shown.images(), self.samples);
        let out = self.out.display();
        Ok(Report {
            text: format!("{samples} images of each of {images} vectors in {out}\n"),
            json: json!({
                "images": images,
                "samples": samples,
                "steps": self.steps,
                "size": side,
                "condition": decoder.config().condition,
                "out": self.out,
                "device": compute.spec.to_string(),
            }),
        })
    }
}
