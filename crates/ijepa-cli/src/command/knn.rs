//! `ijepa knn`: nearest-neighbour accuracy of frozen features.

use clap::Args;
use ijepa_data::{DataError, DataSpec, Preprocess};
use ijepa_eval::{ExtractConfig, KnnConfig, extract, knn};
use ijepa_model::Pooling;
use serde_json::json;

use crate::{
    args::{self, ComputeArgs},
    error::CliError,
    features::{EncoderArgs, Pool},
    report::{self, Report},
};

/// Classify test images by their nearest training images (DINO's protocol)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa knn --weights runs/nano --center \
    --train scenes:n=4000,size=32,seed=3 --test scenes:n=1000,size=32,seed=4")]
pub(crate) struct Knn {
    #[command(flatten)]
    encoder: EncoderArgs,
    /// Labelled images that vote
    #[arg(long, value_name = "SPEC")]
    train: String,
    /// Labelled images that are classified
    #[arg(long, value_name = "SPEC")]
    test: String,
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
    /// eval: short side to 8/7 of the size, then the centre; squash: to the exact size; none
    #[arg(long, value_name = "HOW", default_value = "eval", value_parser = args::preprocess)]
    preprocess: Preprocess,
    /// Images that go through the encoder together
    #[arg(long, value_name = "N", default_value = "64", value_parser = args::positive)]
    batch_size: usize,
    /// Threads that read images, 0 for none of their own [default: all cores, at most 8]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    #[command(flatten)]
    compute: ComputeArgs,
    /// No progress on stderr
    #[arg(short, long)]
    quiet: bool,
}

impl Knn {
    pub(crate) fn run(&self) -> Result<Report, CliError> {
        let pooling = match self.pool {
            Pool::Mean => Pooling::Mean,
            Pool::Concat4 => Pooling::Concat4,
            Pool::Tokens => return Err(CliError::TokensToKnn),
        };
        let compute = self.compute.open()?;
        let frozen = self.encoder.load(&compute)?;
        let config = ExtractConfig {
            pooling,
            preprocess: self.preprocess,
            normalization: frozen.normalization,
            batch_size: self.batch_size,
            workers: self.workers.unwrap_or_else(args::default_workers),
        };
        let features = |spec: &str| -> Result<_, ijepa_eval::Error> {
            let source = spec.parse::<DataSpec>().and_then(|spec| spec.open());
            let source = source.map_err(|error: DataError| ijepa_eval::Error::from(error))?;
            if !self.quiet {
                report::line(&format!(
                    "{spec}: {} images on {}",
                    source.len(),
                    compute.spec
                ));
            }
            Ok(extract(&frozen.encoder, source.as_ref(), &config, &compute.device)?.features)
        };
        let (train, test) = (features(&self.train)?, features(&self.test)?);
        let config = KnnConfig {
            ks: self.k.clone(),
            temperature: self.temperature,
            center: self.center,
            ..KnnConfig::default()
        };
        let found =
            knn(&train, &test, &config, &compute.device).map_err(ijepa_eval::Error::from)?;
        let mut text = format!(
            "{} encoder, {} training and {} test images\n",
            frozen.choice.name(),
            found.train_images,
            found.test_images
        );
        for (k, accuracy) in &found.k {
            text += &format!(
                "{k:4}-NN  top-1 {:5.2} %  top-5 {:5.2} %\n",
                accuracy.top1, accuracy.top5
            );
        }
        let json = json!({
            "train_images": found.train_images,
            "test_images": found.test_images,
            "encoder": frozen.choice.name(),
            "k": found.k,
            "center": self.center,
        });
        Ok(Report { text, json })
    }
}
