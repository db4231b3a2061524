//! `ijepa embed`: features of a data set.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ijepa_eval::{Embedded, Error, FeatureFormat, embed, embed_together};
use ijepa_model::Pooling;
use serde_json::json;

use crate::{
    args::{DataArgs, Extraction, ReadArgs, Resizing, value_name},
    context::{Compute, Context},
    error::CliError,
    features::{EncoderChoice, LoadedEncoder, WeightsArgs, skipped_json},
    picture,
    progress::StatusLine,
    report::{self, Report},
};

/// What becomes of the tokens of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pool {
    /// Mean over the tokens of the last layer
    Mean,
    /// Means of the last four layers
    Concat4,
    /// All tokens of the last layer
    Tokens,
    /// The same as a map of rows and columns
    Map,
}

impl Pool {
    fn pooling(self) -> Pooling {
        match self {
            Self::Mean => Pooling::Mean,
            Self::Concat4 => Pooling::Concat4,
            Self::Tokens => Pooling::Tokens,
            Self::Map => Pooling::Map,
        }
    }
}

/// Write the features of every image to .safetensors, .npy or .parquet
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa embed --weights IN1K-vit.h.14-300e.pth.tar \
                        --data folder:photos --out photos.safetensors"
)]
pub(crate) struct Embed {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Encoder of the weights [default: target, or the only one there is]
    #[arg(long, value_enum)]
    encoder: Option<EncoderChoice>,
    #[command(flatten)]
    data: DataArgs,
    /// File to write; its extension is the format
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// What becomes of the tokens of an image
    #[arg(long, value_enum, default_value = "mean")]
    pool: Pool,
    #[command(flatten)]
    read: ReadArgs,
}

impl Embed {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let pooling = self.pool.pooling();
        let many_vectors = match pooling {
            Pooling::Mean | Pooling::Concat4 => None,
            Pooling::Tokens => Some("embed --pool tokens"),
            Pooling::Map => Some("embed --pool map"),
        };
        if let Some(command) = many_vectors {
            context.alone(command)?;
        }
        if context.leads() {
            picture::check_name("out", &self.out)?;
        }
        FeatureFormat::of_new(&self.out, pooling).map_err(Error::from)?;
        let compute = context.compute()?;
        let source = self.data.open(context)?;
        let frozen = self.weights.load(self.encoder, context)?;
        frozen.wanted.check(source.as_ref())?;
        let Extraction { config, resizing } =
            self.read.extraction(pooling, frozen.wanted, None, context);
        if !context.quiet {
            let settings = describe(&frozen, resizing, compute);
            report::line(&format!("{} images; {settings}", source.len()));
        }
        let encoder = (&frozen.encoder, frozen.choice.name());
        let (config, device) = (&config, &compute.device);
        let (out, watch) = (
            &self.out,
            StatusLine::watch(context.quiet, &self.data.spec()),
        );
        let embedded = match pooling {
            Pooling::Tokens | Pooling::Map => {
                let source = source.as_ref();
                Some(embed(encoder, source, config, device, out, watch)?)
            }
            Pooling::Mean | Pooling::Concat4 => {
                let ranks = context.ranks().as_ref();
                embed_together(ranks, encoder, &source, config, device, out, watch)?
            }
        };
        let Some(embedded) = embedded else {
            return Ok(Report::default());
        };
        let mut report = self.report(&embedded, &frozen, resizing, compute);
        report.json["faults"] = json!(source.faults());
        Ok(report)
    }

    fn report(
        &self,
        embedded: &Embedded,
        frozen: &LoadedEncoder,
        resizing: Resizing,
        compute: &Compute,
    ) -> Report {
        let Embedded {
            shape,
            classes,
            skipped,
            list,
            elapsed,
        } = embedded;
        let (images, vectors, dim) = match shape[..] {
            [images, ref vectors @ .., dim] => (images, vectors, dim),
            _ => unreachable!("features have images and values"),
        };
        let images_per_s = images as f64 / elapsed.as_secs_f64();
        let mut text = format!(
            "wrote {} (embedding {shape:?}, {} classes, {images_per_s:.1} images/s)\n",
            self.out.display(),
            classes.len()
        );
        let format = FeatureFormat::of(&self.out);
        for path in format.map_or_else(|_| Vec::new(), |format| format.beside(&self.out)) {
            text += &format!("and {}\n", path.display());
        }
        if !skipped.is_empty() {
            let of = images + skipped.len();
            text += &format!("skipped {} of {of} images:\n", skipped.len());
        }
        for image in skipped {
            text += &format!("  {}: {}\n", image.path, image.why);
        }
        if let Some(list) = list {
            text += &format!("listed in {}\n", list.display());
        }
        let mut json = json!({
            "images": images,
            "dim": dim,
            "tokens": (!vectors.is_empty()).then(|| vectors.iter().product::<usize>()),
            "images_per_s": images_per_s,
            "classes": classes,
            "skipped": skipped_json(skipped),
            "out": self.out.to_string_lossy(),
            "encoder": frozen.choice.name(),
            "pool": value_name(self.pool),
            "image_size": frozen.encoder.config().image_size,
            "device": compute.spec.to_string(),
            "precision": compute.precision.name(),
            "threads": compute.threads,
        });
        resizing.add_to(&mut json);
        Report { text, json }
    }
}

/// Everything that was decided by defaults.
fn describe(frozen: &LoadedEncoder, resizing: Resizing, compute: &Compute) -> String {
    let [height, width] = frozen.encoder.config().image_size;
    format!(
        "{} encoder, {height}x{width}, {resizing}; device {}, {}, {} threads",
        frozen.choice.name(),
        compute.spec,
        compute.precision.name(),
        compute.threads
    )
}
