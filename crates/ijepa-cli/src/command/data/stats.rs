//! `ijepa data stats`: what a data set is made of.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use clap::Args;
use ijepa_data::{Source, Spread, Statistics, StatisticsConfig};
use ijepa_masking::RgbPicture;
use serde_json::{Map, Value, json};

use super::{ChannelsArgs, DecodingArgs, watch};
use crate::{
    args::{DataArgs, positive},
    context::Context,
    error::CliError,
    features::{skipped_json, skipped_text},
    picture,
    report::{self, Report},
};

/// Measure sizes, kinds of files, labels and colours, and draw some of the images
///
/// Means and deviations are per channel where white is 1 (of floats as they are), each image with
/// the same weight.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa data stats --data folder:photos --most 10000 \
                        --out photos.png"
)]
pub(crate) struct Stats {
    #[command(flatten)]
    data: DataArgs,
    /// Images that are measured, drawn by `--seed` [default: all]
    #[arg(long, value_name = "N", value_parser = positive)]
    most: Option<usize>,
    /// PNG of up to 64 of them
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    channels: ChannelsArgs,
    #[command(flatten)]
    decoding: DecodingArgs,
}

impl Stats {
    pub(super) fn run(&self, context: &Context) -> Result<Report, CliError> {
        if let Some(out) = &self.out {
            picture::check_png("out", out)?;
        }
        let source = self.data.open(context).or_else(|error| match error {
            ijepa_data::DataError::MixedFolder { .. } => self.data.open_unlabelled(context),
            error => Err(error),
        })?;
        let reading = self.decoding.reading(context);
        let reading = self.channels.reading(reading, source.as_ref())?;
        let config = StatisticsConfig {
            most: self.most.unwrap_or(usize::MAX),
            seed: context.seed.unwrap_or(0),
            reading,
            workers: context.workers(),
        };
        let total = config.most.min(source.len());
        let progress = watch(&self.data, total, context);
        let found = Statistics::of(source.as_ref(), config, progress)?;
        if let Some(out) = &self.out {
            let sheet = &found.sheet;
            let picture = RgbPicture {
                width: sheet.width(),
                height: sheet.height(),
                pixels: sheet.pixels().to_vec(),
            };
            picture::write_png(&picture, out)?;
        }
        Ok(self.report(source.as_ref(), &found))
    }

    fn text(&self, found: &Statistics) -> String {
        let kinds = found
            .kinds
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"));
        let digits = |values: &[f64]| values.iter().copied().map(short).collect::<Vec<_>>();
        let mut text = format!(
            "images   {}, {} measured, {} of them grey\nlabels   {}\nwidth    {}\nheight   {}\n\
             aspect   {}\n",
            found.images,
            found.measured,
            found.grey,
            labels(found),
            spread(found.width, 0),
            spread(found.height, 0),
            spread(found.aspect, 2),
        );
        if let Some(bytes) = found.bytes {
            text += &format!("bytes    {}\n", spread(bytes, 0));
        }
        text += &format!(
            "files    {}\nmean     {}\nstd      {}\n",
            report::list(kinds),
            report::list(digits(&found.mean)),
            report::list(digits(&found.std))
        );
        if let Some(channels) = self.channels.channels {
            let [mean, std] = [&found.mean, &found.std].map(|values| digits(values).join(","));
            text += &format!(
                "recipe   --set data.channels={channels} data.mean=[{mean}] data.std=[{std}]\n"
            );
        }
        text + &skipped_text(&found.bad)
    }

    fn report(&self, source: &dyn Source, found: &Statistics) -> Report {
        Report {
            text: self.text(found),
            json: json!({
                "data": self.data.spec(),
                "images": found.images,
                "measured": found.measured,
                "grey": found.grey,
                "classes": by_name(source.classes(), &found.classes),
                "unlabelled": found.unlabelled,
                "width": found.width,
                "height": found.height,
                "aspect": found.aspect,
                "bytes": found.bytes,
                "kinds": found.kinds,
                "mean": found.mean,
                "std": found.std,
                "skipped": skipped_json(&found.bad),
                "faults": source.faults(),
                "out": self.out.as_deref().map(Path::to_string_lossy),
            }),
        }
    }
}

/// Images by the names of their classes, with the number where several have the same one.
fn by_name(names: &[String], images: &BTreeMap<u32, usize>) -> Map<String, Value> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let name = |label: &u32| match names.get(*label as usize) {
        Some(name) if counts[name.as_str()] > 1 => format!("{name} ({label})"),
        Some(name) => name.clone(),
        None => label.to_string(),
    };
    let images = images.iter();
    images
        .map(|(label, count)| (name(label), json!(count)))
        .collect()
}

/// `1000 classes of 732 to 1300 images`
fn labels(found: &Statistics) -> String {
    let counts = || found.classes.values();
    match (counts().min(), counts().max()) {
        (Some(least), Some(most)) => format!(
            "{} classes of {least} to {most} images, {} without a label",
            found.classes.len(),
            found.unlabelled
        ),
        _ => "none".to_owned(),
    }
}

/// Four digits behind the point, or behind the first one of a small number.
fn short(value: f64) -> String {
    match value.abs() < 0.01 && value != 0.0 {
        true => format!("{value:.4e}"),
        false => format!("{value:.4}"),
    }
}

fn spread(values: Spread, digits: usize) -> String {
    let Spread {
        min,
        median,
        mean,
        max,
    } = values;
    format!(
        "{min:.digits$} to {max:.digits$}, median {median:.digits$}, mean {mean:.more$}",
        more = digits.max(1)
    )
}
