//! Which images a picture shows, and where it goes.

use std::path::PathBuf;

use clap::Args;
use ijepa_data::evenly_spread;
use ijepa_eval::{ExtractConfig, Picked, pick_images};
use ijepa_masking::RgbPicture;
use ijepa_model::{Pooling, VisionTransformerConfig};
use serde_json::{Value, json};

use crate::{
    args::{self, DataArgs, Extraction, ReadArgs, Wanted},
    context::Context,
    error::CliError,
    features::{LoadedEncoder, skipped_json, skipped_text},
    picture,
    report::{self, Report},
};

/// Images and a file for their picture.
#[derive(Debug, Args)]
pub(super) struct ShownArgs {
    #[command(flatten)]
    data: DataArgs,
    /// PNG file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Images to show, spread evenly over the data
    #[arg(long, value_name = "N", default_value = "4", value_parser = args::positive)]
    images: usize,
    /// The images to show by number, counted from 0 in the order of the data
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        conflicts_with = "images"
    )]
    index: Vec<usize>,
    /// Picture pixels for each pixel of an image [default: panels about 224 pixels wide]
    #[arg(long, value_name = "N", value_parser = args::positive)]
    pub(super) scale: Option<usize>,
    /// Channels to show as red, green and blue, counted from 0 [default: `data.picture` of the run
    /// that the weights come from, else the first ones]
    #[arg(long, value_name = "N,N,N", value_parser = numbers::<3>)]
    bands: Option<[usize; 3]>,
    #[command(flatten)]
    read: ReadArgs,
}

impl ShownArgs {
    /// The images as an encoder takes them, and how; says what was decided by defaults.
    pub(super) fn pick_for(
        &self,
        frozen: &LoadedEncoder,
        context: &Context,
    ) -> Result<(Picked, Extraction), CliError> {
        let extraction = self.extraction(frozen.wanted, context)?;
        let picked = self.pick(frozen.encoder.config(), &extraction, context)?;
        let encoder = format!("{} encoder", frozen.choice.name());
        announce(&encoder, &extraction, context)?;
        Ok((picked, extraction))
    }

    /// The images as an encoder with the sizes `encoder` takes them.
    pub(super) fn pick(
        &self,
        encoder: &VisionTransformerConfig,
        extraction: &Extraction,
        context: &Context,
    ) -> Result<Picked, CliError> {
        picture::check_png("out", &self.out)?;
        let source = self.data.open_unlabelled(context)?;
        extraction.check(source.as_ref())?;
        let indices = if self.index.is_empty() {
            evenly_spread(source.len(), self.images)
        } else {
            self.index.clone()
        };
        let ExtractConfig {
            preprocess,
            reading,
            ..
        } = extraction.config;
        let size = encoder.image_size;
        let picked = pick_images(source.as_ref(), &indices, preprocess, size, reading);
        Ok(picked.map_err(ijepa_eval::Error::from)?)
    }

    /// How images reach an encoder whose weights want them so.
    pub(super) fn extraction(
        &self,
        own: Wanted,
        context: &Context,
    ) -> Result<Extraction, CliError> {
        let channels = own.decoding.channels;
        let mut bands = self.bands.iter().flatten();
        if let Some(&band) = bands.find(|&&band| band >= channels) {
            return Err(CliError::NoBand { band, channels });
        }
        let own = Wanted {
            picture: self.bands.or(own.picture),
            ..own
        };
        Ok(self.read.extraction(Pooling::Mean, own, None, context))
    }

    /// Writes the picture and completes the report about it.
    pub(super) fn finish(
        &self,
        picture: &RgbPicture,
        picked: &Picked,
        extraction: &Extraction,
        context: &Context,
        report: Report,
    ) -> Result<Report, CliError> {
        let compute = context.compute()?;
        picture::write_png(picture, &self.out)?;
        let [width, height] = [picture.width, picture.height];
        let mut text = report.text;
        text += &skipped_text(&picked.skipped);
        text += &format!("wrote {} ({width}x{height} pixels)\n", self.out.display());
        let mut json = report.json;
        json["skipped"] = skipped_json(&picked.skipped);
        json["out"] = json!(self.out.to_string_lossy());
        json["width"] = json!(width);
        json["height"] = json!(height);
        extraction.resizing.add_to(&mut json);
        json["device"] = json!(compute.spec.to_string());
        json["precision"] = Value::from(compute.precision.name());
        Ok(Report { text, json })
    }
}

/// Says what was decided by defaults.
pub(super) fn announce(
    what: &str,
    Extraction { resizing, .. }: &Extraction,
    context: &Context,
) -> Result<(), CliError> {
    let compute = context.compute()?;
    if !context.quiet {
        let (device, precision) = (compute.spec, compute.precision.name());
        report::line(&format!("{what}, {resizing}; device {device}, {precision}"));
    }
    Ok(())
}

/// Whole numbers separated by commas, such as ROW,COL.
pub(super) fn numbers<const N: usize>(text: &str) -> Result<[usize; N], String> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|part| part.parse().ok()).collect();
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| format!("expected {N} whole numbers separated by commas"))
}
