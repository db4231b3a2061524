//! `ijepa knn`: nearest-neighbour accuracy of frozen features.

use std::time::{Duration, Instant};

use clap::Args;
use ijepa_data::Preprocess;
use ijepa_eval::{KnnConfig, KnnReport, knn};
use ijepa_model::Pooling;
use serde_json::json;

use crate::{
    args::{self, ComputeArgs},
    error::CliError,
    features::{Pair, PairArgs, Pool, skipped_json, skipped_text},
    report::Report,
};

/// Classify test images by their nearest training images (DINO's protocol)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa knn --weights runs/nano --center \
    --train scenes:n=4000,size=32,seed=3 --test scenes:n=1000,size=32,seed=4\n  \
    ijepa knn --features-train train.safetensors --features-test test.safetensors")]
pub(crate) struct Knn {
    #[command(flatten)]
    pair: PairArgs,
    /// Numbers of neighbours
    #[arg(long, value_name = "K,K", value_delimiter = ',', default_value = "10,20,100,200",
          value_parser = args::positive)]
    k: Vec<usize>,
    /// Divides similarities before the exponential
    #[arg(long, value_name = "T", default_value = "0.07", value_parser = args::above_zero)]
    temperature: f64,
    /// Subtract the mean training feature first
    #[arg(long)]
    center: bool,
    /// Whiten with the training features first: all directions count the same
    #[arg(long, conflicts_with = "center")]
    whiten: bool,
    /// What becomes of the tokens of an image: mean or concat4
    #[arg(
        long,
        value_enum,
        default_value = "mean",
        conflicts_with = "features_train"
    )]
    pool: Pool,
    #[command(flatten)]
    compute: ComputeArgs,
}

impl Knn {
    pub(crate) fn run(&self) -> Result<Report, CliError> {
        let compute = self.compute.open()?;
        let pair = match self.pair.of_files()? {
            Some(pair) => pair,
            None => {
                let pooling = match self.pool {
                    Pool::Mean => Pooling::Mean,
                    Pool::Concat4 => Pooling::Concat4,
                    Pool::Tokens => return Err(CliError::TokensToKnn),
                };
                let images = self.pair.images(&compute)?;
                let config = self
                    .pair
                    .extraction(&images.look, pooling, Preprocess::Eval);
                self.pair.extract_both(&images, &config, &compute, None)?
            }
        };
        let config = KnnConfig {
            ks: self.k.clone(),
            temperature: self.temperature,
            center: self.center,
            whiten: self.whiten,
            ..KnnConfig::default()
        };
        let started = Instant::now();
        let found = knn(&pair.train, &pair.test, &config, &compute.device)
            .map_err(ijepa_eval::Error::from)?;
        Ok(self.report(&pair, &found, started.elapsed()))
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
        text += &skipped_text(&pair.skipped);
        let json = json!({
            "train_images": found.train_images,
            "test_images": found.test_images,
            "encoder": pair.encoder,
            "dim": pair.train.dim(),
            "k": found.k,
            "center": self.center,
            "whiten": self.whiten,
            "knn_s": took.as_secs_f64(),
            "skipped": skipped_json(&pair.skipped),
        });
        Report { text, json }
    }
}
