//! `ijepa knn`: nearest-neighbour accuracy of frozen features.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use ijepa_data::{Skipped, Source};
use ijepa_eval::{
    ExtractConfig, Extracted, Features, KnnConfig, KnnReport, extract, extract_pixels, knn,
};
use ijepa_model::Pooling;
use serde_json::json;

use crate::{
    args::{self, Compute, ComputeArgs, ReadArgs},
    error::CliError,
    features::{EncoderChoice, Pool, WeightsArgs, read_features},
    report::{self, Report},
};

/// Largest side at which pixels are compared unless `--image-size` says otherwise.
const PIXEL_SIDE: usize = 224;

/// What turns an image into numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// The average that the paper evaluates
    Target,
    /// The trained one
    Context,
    /// Initial weights of the same sizes, the floor to compare with
    Random,
    /// No encoder: the pixels of the image, which need no weights
    Pixels,
}

/// Classify test images by their nearest training images (DINO's protocol)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa knn --weights runs/nano --center \
    --train scenes:n=4000,size=32,seed=3 --test scenes:n=1000,size=32,seed=4\n  \
    ijepa knn --features-train train.safetensors --features-test test.safetensors")]
pub(crate) struct Knn {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Encoder of the weights [default: target, or the only one there is]
    #[arg(long, value_enum)]
    encoder: Option<Choice>,
    /// Labelled images that vote
    #[arg(long, value_name = "SPEC", requires = "test")]
    #[arg(required_unless_present = "features_train")]
    train: Option<String>,
    /// Labelled images that are classified
    #[arg(long, value_name = "SPEC", requires = "train")]
    test: Option<String>,
    /// Features that vote, .safetensors or .npy of `ijepa embed`
    #[arg(long, value_name = "FILE", requires = "features_test")]
    #[arg(conflicts_with_all = ["train", "test", "weights", "arch", "encoder", "image_size",
          "normalize", "pool", "preprocess"])]
    features_train: Option<PathBuf>,
    /// Features that are classified
    #[arg(long, value_name = "FILE", requires = "features_train")]
    features_test: Option<PathBuf>,
    /// Numbers of neighbours
    #[arg(long, value_name = "K,K", value_delimiter = ',', default_value = "10,20,100,200",
          value_parser = args::positive)]
    k: Vec<usize>,
    /// Divides similarities before the exponential
    #[arg(long, value_name = "T", default_value = "0.07")]
    temperature: f64,
    /// Subtract the mean training feature first
    #[arg(long)]
    center: bool,
    /// What becomes of the tokens of an image: mean or concat4
    #[arg(long, value_enum, default_value = "mean")]
    pool: Pool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    compute: ComputeArgs,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
}

/// Two sets of features and where they come from.
struct Pair {
    encoder: &'static str,
    train: Features,
    test: Features,
    skipped: Vec<Skipped>,
}

impl Knn {
    pub(crate) fn run(&self) -> Result<Report, CliError> {
        let compute = self.compute.open()?;
        let pair = match (&self.features_train, &self.features_test) {
            (Some(train), Some(test)) => of_files(train, test)?,
            _ => self.of_images(&compute)?,
        };
        let config = KnnConfig {
            ks: self.k.clone(),
            temperature: self.temperature,
            center: self.center,
            ..KnnConfig::default()
        };
        let started = Instant::now();
        let found = knn(&pair.train, &pair.test, &config, &compute.device)
            .map_err(ijepa_eval::Error::from)?;
        Ok(self.report(&pair, &found, started.elapsed()))
    }

    fn of_images(&self, compute: &Compute) -> Result<Pair, CliError> {
        let [train, test] = [&self.train, &self.test].map(|spec| {
            let spec = spec.as_deref().expect("clap asks for images or features");
            Ok::<_, CliError>((spec, args::open_data(spec)?))
        });
        let (train, test) = (train?, test?);
        let config = ExtractConfig {
            pooling: match self.pool {
                Pool::Mean => Pooling::Mean,
                Pool::Concat4 => Pooling::Concat4,
                Pool::Tokens => return Err(CliError::TokensToKnn),
            },
            preprocess: self.read.preprocess,
            batch_size: self.read.batch_size,
            workers: self.read.workers.count(),
            ..ExtractConfig::default()
        };
        let choice = self.encoder.map(|choice| match choice {
            Choice::Target => Some(EncoderChoice::Target),
            Choice::Context => Some(EncoderChoice::Context),
            Choice::Random => Some(EncoderChoice::Random),
            Choice::Pixels => None,
        });
        if choice == Some(None) {
            let (size, normalization) = self.weights.pixels()?;
            let size = size.map_or_else(|| size_of_first(train.1.as_ref()), Ok)?;
            let config = ExtractConfig {
                normalization,
                ..config
            };
            return self.extract_pair([train, test], "pixels", compute, |source| {
                Ok(extract_pixels(source, size, &config)?)
            });
        }
        let frozen = self.weights.load(choice.flatten(), compute)?;
        let config = ExtractConfig {
            normalization: frozen.normalization,
            ..config
        };
        self.extract_pair([train, test], frozen.choice.name(), compute, |source| {
            Ok(extract(&frozen.encoder, source, &config, &compute.device)?)
        })
    }

    fn extract_pair(
        &self,
        sources: [(&str, Arc<dyn Source>); 2],
        encoder: &'static str,
        compute: &Compute,
        extract: impl Fn(&dyn Source) -> Result<Extracted, ijepa_eval::Error>,
    ) -> Result<Pair, CliError> {
        let [train, test] = sources.map(|(spec, source)| {
            if !self.quiet {
                let (images, device) = (source.len(), compute.spec);
                report::line(&format!("{spec}: {images} images on {device}"));
            }
            extract(source.as_ref())
        });
        let (train, test) = (train?, test?);
        Ok(Pair {
            encoder,
            train: train.features,
            test: test.features,
            skipped: [train.skipped, test.skipped].concat(),
        })
    }

    fn report(&self, pair: &Pair, found: &KnnReport, took: Duration) -> Report {
        let mut text = format!(
            "{} encoder, {} training and {} test images\n",
            pair.encoder, found.train_images, found.test_images
        );
        for (k, accuracy) in &found.k {
            text += &format!(
                "{k:4}-NN  top-1 {:5.2} %  top-5 {:5.2} %\n",
                accuracy.top1, accuracy.top5
            );
        }
        for image in &pair.skipped {
            text += &format!("skipped {}: {}\n", image.path, image.why);
        }
        let skipped = pair.skipped.iter();
        let json = json!({
            "train_images": found.train_images,
            "test_images": found.test_images,
            "encoder": pair.encoder,
            "dim": pair.train.dim(),
            "k": found.k,
            "center": self.center,
            "knn_s": took.as_secs_f64(),
            "skipped": skipped
                .map(|image| json!({ "path": image.path, "why": image.why }))
                .collect::<Vec<_>>(),
        });
        Report { text, json }
    }
}

fn of_files(train: &Path, test: &Path) -> Result<Pair, CliError> {
    Ok(Pair {
        encoder: "unknown",
        train: read_features(train)?,
        test: read_features(test)?,
        skipped: Vec::new(),
    })
}

/// A square as large as the first readable image allows, for pixels that no weights give a size.
fn size_of_first(source: &dyn Source) -> Result<[usize; 2], CliError> {
    let mut images = (1..source.len()).filter_map(|index| source.read(index).ok());
    let first = source.read(0).or_else(|error| images.next().ok_or(error))?;
    Ok([first.width().min(first.height()).min(PIXEL_SIDE); 2])
}
