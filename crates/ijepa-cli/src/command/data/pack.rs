//! `ijepa data pack`: any data set as a few large files.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ijepa_data::{PackConfig, PackError, PackFormat, Shrink, pack};
use serde_json::json;

use super::{DecodingArgs, watch};
use crate::{
    args::{DataArgs, positive, refuse_given, value_name},
    context::Context,
    error::CliError,
    features::{skipped_json, skipped_text},
    report::{self, Report},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// WebDataset archives
    Tar,
    /// Parquet as Hugging Face writes it
    Parquet,
}

/// Write images into a few large files, which other storage than a local disk reads much faster
///
/// Files keep their bytes unless `--short-side` is given, labels and class names are kept.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa data pack --data folder:imagenet/train --to tar \
                        --out shards --shuffle\n  ijepa data pack --data folder:photos --to parquet \
                        --short-side 512 --quality 90 --out small"
)]
pub(crate) struct Pack {
    #[command(flatten)]
    data: DataArgs,
    /// Layout of the files
    #[arg(long, value_enum)]
    to: Layout,
    /// Folder to write, which must not be there yet
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Beginning of the names of the files
    #[arg(long, value_name = "NAME", default_value = "shard")]
    name: String,
    /// Images of a file
    #[arg(long, value_name = "N", default_value = "10000", value_parser = positive)]
    shard_images: usize,
    /// Size of the images of a file in MiB
    #[arg(long, value_name = "N", default_value = "512", value_parser = positive)]
    shard_mib: usize,
    /// Writes images anew as JPEG, with this short side unless they are smaller
    #[arg(long, value_name = "N", value_parser = positive)]
    short_side: Option<usize>,
    /// Quality of these JPEGs, 1 to 100
    #[arg(long, value_name = "Q", default_value = "90", requires = "short_side",
          value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// Shuffles the images by `--seed`
    #[arg(long)]
    shuffle: bool,
    #[command(flatten)]
    decoding: DecodingArgs,
}

impl Pack {
    pub(super) fn run(&self, context: &Context) -> Result<Report, CliError> {
        if self.short_side.is_none() {
            let DecodingArgs {
                orientation,
                sixteen_bit,
            } = &self.decoding;
            let given = [
                ("orientation", orientation.is_some()),
                ("sixteen-bit", sixteen_bit.is_some()),
            ];
            refuse_given(&given, "without `--short-side`")?;
        }
        let quality = self.quality;
        let config = PackConfig {
            format: match self.to {
                Layout::Tar => PackFormat::Tar,
                Layout::Parquet => PackFormat::Parquet,
            },
            name: self.name.clone(),
            most_images: self.shard_images,
            most_bytes: (self.shard_mib as u64).saturating_mul(1 << 20),
            shrink: self.short_side.map(|short_side| Shrink {
                short_side,
                quality,
            }),
            shuffle: self.shuffle.then(|| context.seed.unwrap_or(0)),
            reading: self.decoding.reading(context),
            workers: context.workers(),
        };
        config.validate().map_err(PackError::from)?;
        let source = self.data.open(context)?;
        let progress = watch(&self.data, source.len(), context);
        let packed = pack(source.as_ref(), &self.out, &config, progress)?;
        let mut text = format!(
            "wrote {} images in {} files to {} ({})\n",
            packed.images,
            packed.shards.len(),
            self.out.display(),
            report::bytes(packed.bytes)
        );
        text += &skipped_text(&packed.skipped);
        let shards = packed.shards.iter().map(|path| path.to_string_lossy());
        Ok(Report {
            text,
            json: json!({
                "data": self.data.spec(),
                "to": value_name(self.to),
                "out": self.out.to_string_lossy(),
                "images": packed.images,
                "bytes": packed.bytes,
                "shards": shards.collect::<Vec<_>>(),
                "classes": source.classes(),
                "skipped": skipped_json(&packed.skipped),
                "faults": source.faults(),
            }),
        })
    }
}
