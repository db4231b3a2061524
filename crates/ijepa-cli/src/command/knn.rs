//! `ijepa knn`: nearest-neighbour accuracy of frozen features.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use ijepa_eval::{Error, KnnConfig, KnnReport, check_voters, knn, with_classes_of};
use ijepa_model::Pooling;
use serde_json::json;

use crate::{
    args::{self, refuse_given},
    context::Context,
    error::CliError,
    features::{Pair, PairArgs, skipped_json, skipped_text},
    report::{self, Report},
};

/// What becomes of the tokens of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pool {
    /// Mean over the tokens of the last layer
    Mean,
    /// Means of the last four layers
    Concat4,
}

/// Classify test images by their nearest training images (DINO's protocol)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa knn --weights runs/nano --center \
    --train scenes:n=4000,size=32,seed=3 --test scenes:n=1000,size=32,seed=4\n  \
    ijepa knn --features-train train.safetensors --features-test test.safetensors")]
pub(crate) struct Knn {
    #[command(flatten)]
    pair: PairArgs,
    /// Numbers of neighbours [default: 10, 20, 100 and 200, of which no more than there are images]
    #[arg(long, value_name = "K,K", value_delimiter = ',', value_parser = args::positive)]
    k: Option<Vec<usize>>,
    /// Divides similarities before the exponential
    #[arg(long, value_name = "T", default_value = "0.07", value_parser = args::above_zero)]
    temperature: f64,
    /// Subtract the mean training feature first
    #[arg(long)]
    center: bool,
    /// Whiten with the training features first: all directions count the same
    #[arg(long, conflicts_with = "center")]
    whiten: bool,
    /// What becomes of the tokens of an image [default: mean]
    #[arg(long, value_enum, conflicts_with = "features_train")]
    pool: Option<Pool>,
}

/// Warns of test images that no vote can be right about.
fn warn_of_unseen(pair: &Pair, context: &Context) {
    let known: HashSet<Option<u32>> = pair.train.labels().iter().copied().collect();
    let labels = pair.test.labels().iter();
    let unseen = labels.filter(|label| label.is_some() && !known.contains(label));
    match unseen.count() {
        0 => {}
        images if context.leads() => report::line(&format!(
            "warning: {images} test images have classes that no training image shows, and count as \
             errors"
        )),
        _ => {}
    }
}

impl Knn {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        if self.pair.is_of_pixels() {
            let arch = ("arch", self.pair.weights.has_arch());
            let flags = [arch, ("pool", self.pool.is_some())];
            refuse_given(&flags, "with --encoder pixels")?;
        }
        if self.pair.is_of_files() {
            context.alone("knn --features-train")?;
        }
        let compute = context.compute()?;
        let pair = match self.pair.of_files()? {
            Some(pair) => Some(pair),
            None => {
                let images = self.pair.images(context, |train, test| {
                    let test = with_classes_of(train, test)?;
                    check_voters(train, test.as_ref())?;
                    self.config(train.len()).validate(train.len())?;
                    Ok(test)
                })?;
                let pooling = match self.pool {
                    Some(Pool::Concat4) => Pooling::Concat4,
                    Some(Pool::Mean) | None => Pooling::Mean,
                };
                let (pair, look) = (&self.pair, &images.look);
                let config = pair.extraction(look, pooling, None, context);
                pair.extract_both(&images, &config, context, None)?
            }
        };
        let Some(pair) = pair else {
            return Ok(Report::default());
        };
        let config = self.config(pair.train.images());
        let started = Instant::now();
        let found = knn(&pair.train, &pair.test, &config, &compute.device).map_err(Error::from)?;
        warn_of_unseen(&pair, context);
        Ok(self.report(&pair, &found, started.elapsed()))
    }

    /// How `train_images` vote.
    fn config(&self, train_images: usize) -> KnnConfig {
        let defaults = KnnConfig::for_images(train_images);
        KnnConfig {
            ks: self.k.clone().unwrap_or(defaults.ks),
            temperature: self.temperature,
            center: self.center,
            whiten: self.whiten,
            ..defaults
        }
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
        if let Some(resizing) = pair.resizing {
            text += &format!("{resizing}\n");
        }
        text += &skipped_text(&pair.skipped);
        let mut json = json!({
            "train_images": found.train_images,
            "test_images": found.test_images,
            "encoder": pair.encoder,
            "dim": pair.train.dim(),
            "k": found.k,
            "pool": pair.pool,
            "temperature": self.temperature,
            "center": self.center,
            "whiten": self.whiten,
            "knn_s": took.as_secs_f64(),
            "skipped": skipped_json(&pair.skipped),
            "faults": pair.faults,
        });
        if let Some(resizing) = pair.resizing {
            resizing.add_to(&mut json);
        }
        Report { text, json }
    }
}
