//! `ijepa search`: images like another one.

use std::path::{Path, PathBuf};

use clap::Args;
use ijepa_data::{ListedSource, Preprocess, Reading, Skipped, Source};
use ijepa_eval::{Error, ExtractConfig, SearchIndex, Similar, extract, pick_images};
use ijepa_viz::contact_sheet;
use serde_json::json;

use crate::{
    args::{self, Resizing},
    context::Context,
    error::CliError,
    features::{EncoderChoice, WeightsArgs, skipped_json, skipped_text},
    picture,
    report::Report,
};

/// Side of the pictures of a sheet.
const SIDE: usize = 160;
/// Pictures beside each other.
const COLUMNS: usize = 5;

/// Find the images of a file of `ijepa embed` that are most like another image
///
/// By the cosine of their features; the image asked for is read and embedded as those of the file
/// were.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa embed --weights runs/b16 --data folder:photos \
    --out photos.parquet\n  ijepa search --weights runs/b16 --index photos.parquet \
    --query dog.jpg --out like_dog.png"
)]
pub(crate) struct Search {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Encoder of the weights [default: target, or the only one there is]
    #[arg(long, value_enum)]
    encoder: Option<EncoderChoice>,
    /// Features to search in, .parquet of `ijepa embed` with these weights
    #[arg(long, value_name = "FILE")]
    index: PathBuf,
    /// Image file to look for
    #[arg(long, value_name = "IMAGE")]
    query: PathBuf,
    /// Images to find
    #[arg(long, value_name = "K", default_value = "10", value_parser = args::positive)]
    k: usize,
    /// PNG file to write: the image, and below it those of the found that are files
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Search {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        if let Some(out) = &self.out {
            picture::check_png("out", out)?;
        }
        let query = ListedSource::files_there([&self.query])?;
        let index = SearchIndex::open(&self.index).map_err(Error::from)?;
        let frozen = self.weights.load_for(&index, self.encoder, context)?;
        let config = index.extraction(ExtractConfig {
            workers: context.workers(),
            reading: Reading {
                picture: frozen.wanted.picture,
                ..context.reading()
            },
            ..ExtractConfig::default()
        });
        let (config, device) = (config.map_err(Error::from)?, &context.compute()?.device);
        let query = extract(&frozen.encoder, &query, &config, device).map_err(Error::from)?;
        let found = index.search(&query.features, self.k)?;
        let drawn = self.out.as_ref();
        let drawn = drawn.map(|out| self.draw(out, &found, config.reading));
        let skipped = drawn.transpose()?.unwrap_or_default();
        let mut report = self.report(&index, &found, frozen.choice, &config);
        report.text += &skipped_text(&skipped);
        report.json["skipped"] = skipped_json(&skipped);
        Ok(report)
    }

    /// Writes the picture of `found`; gives those that cannot be shown.
    fn draw(
        &self,
        out: &Path,
        found: &[Similar<'_>],
        reading: Reading,
    ) -> Result<Vec<Skipped>, CliError> {
        let found = found.iter().map(|similar| Path::new(similar.name));
        let files = ListedSource::files([self.query.as_path()].into_iter().chain(found));
        let is_file = |&image: &usize| files.path(image).is_file();
        let (there, gone): (Vec<usize>, Vec<usize>) = (0..files.len()).partition(is_file);
        let (how, size) = (Preprocess::Fill, [SIDE; 2]);
        let mut picked = pick_images(&files, &there, how, size, reading).map_err(Error::from)?;
        picked.skipped.extend(gone.into_iter().map(|image| Skipped {
            index: image as u32,
            path: files.name(image),
            why: "not shown, there is no such file".to_owned(),
        }));
        let pictures: Vec<_> = picked.images.iter().map(|image| image.picture()).collect();
        let sheet = contact_sheet(&pictures[0], &pictures[1..], COLUMNS);
        picture::write_png(&sheet, out)?;
        Ok(picked.skipped)
    }

    fn report(
        &self,
        index: &SearchIndex,
        found: &[Similar<'_>],
        encoder: EncoderChoice,
        config: &ExtractConfig,
    ) -> Report {
        let line = |(rank, similar): (usize, &Similar<'_>)| {
            let class = similar.class.map(|class| format!("  {class}"));
            format!(
                "{:3}  {:.4}{}  {}\n",
                rank + 1,
                similar.similarity,
                class.unwrap_or_default(),
                similar.name
            )
        };
        let mut text: String = found.iter().enumerate().map(line).collect();
        if let Some(out) = &self.out {
            text += &format!("wrote {}\n", out.display());
        }
        let rows = found.iter().map(|similar| {
            json!({
                "path": similar.name,
                "label": similar.label,
                "class": similar.class,
                "similarity": similar.similarity,
            })
        });
        let mut json = json!({
            "query": self.query.to_string_lossy(),
            "index": self.index.to_string_lossy(),
            "images": index.images(),
            "encoder": encoder.name(),
            "pool": index.pooling(),
            "found": rows.collect::<Vec<_>>(),
            "out": self.out.as_deref().map(Path::to_string_lossy),
        });
        Resizing::of_file(config).add_to(&mut json);
        Report { text, json }
    }
}
