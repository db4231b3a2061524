//! `ijepa probe`: classifiers on frozen features.

mod dense;
mod found;
mod images;

use std::{path::PathBuf, time::Instant};

use clap::{Args, ValueEnum};
use ijepa_data::DataSpec;
use ijepa_eval::{
    Error, HeadNorm, LogisticConfig, Pools, ProbeConfig, ProbeReport, Protocol, logistic,
    probe_with_progress,
};
use ijepa_model::Pooling;

use crate::{
    args::{self, refuse_given, value_name},
    context::Context,
    error::CliError,
    features::{Look, Pair, PairArgs},
    progress::StatusLine,
    report::Report,
};
use found::Found;

/// How heads learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Seconds: Nesterov's gradient descent on features that are extracted once
    Quick,
    /// ImageNet: LARS with batches of 16384, 50 epochs
    VisslIn1k,
    /// CIFAR-100, Places205, iNaturalist 2018: gradient descent; the schedule is that of the data
    VisslTransfer,
    /// CLEVR: whole images, a cosine schedule
    Clevr,
    /// Logistic regression on few images
    LowshotLogistic,
    /// V-JEPA's pooling head, which attends to the patches, with AdamW
    Attentive,
    /// Linear segmentation: a linear layer on each patch, tested by the mean intersection over
    /// union; data with masks (voc:PATH, scenes:)
    Dense,
    /// Linear depth regression: a linear layer from each patch to metres, tested by the root mean
    /// squared error; data with depths (voc:PATH, scenes:kind=distance)
    Depth,
}

/// What a head sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pool {
    /// Mean over the tokens of the last layer
    Mean,
    /// Means of the last four layers
    Concat4,
    /// Heads on each of the two
    Both,
}

impl Pool {
    fn pools(self) -> Pools {
        match self {
            Self::Mean => Pools::Mean,
            Self::Concat4 => Pools::Concat4,
            Self::Both => Pools::Both,
        }
    }

    /// The pooling of `ijepa embed` whose features have what heads see.
    fn of_features(self) -> &'static str {
        match self {
            Self::Mean => Pooling::Mean.name(),
            Self::Concat4 | Self::Both => Pooling::Concat4.name(),
        }
    }
}

/// What happens to training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Augment {
    /// Nothing: features of every image are computed once
    None,
    /// What the protocol says, anew in every epoch
    Protocol,
}

/// What happens to features before a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Norm {
    None,
    /// Learned scale and offset, epsilon 1e-5
    Vissl,
    /// Neither, epsilon 1e-6
    Mae,
}

/// Train classifiers on frozen features and test them
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa probe --weights runs/nano --pool both \
    --train scenes:n=4000,size=32,seed=3 --test scenes:n=1000,size=32,seed=4\n  \
    ijepa probe --weights runs/b16 --protocol vissl-in1k --augment none --cache features \
    --train imagenet/train --test imagenet/val"
)]
pub(crate) struct Probe {
    #[command(flatten)]
    pair: PairArgs,
    /// How heads learn
    #[arg(long, value_enum, default_value = "quick")]
    protocol: Name,
    /// What heads see [default: both in published protocols if the encoder has four blocks, else
    /// mean; files of features as they are]
    #[arg(long, value_enum)]
    pool: Option<Pool>,
    /// What happens to training images [default: protocol, none with files of features]
    #[arg(long, value_enum)]
    augment: Option<Augment>,
    /// Passes over the images [default: the protocol's]
    #[arg(long, value_name = "N", value_parser = args::positive)]
    epochs: Option<usize>,
    /// Images of a training step of the heads [default: the protocol's]
    #[arg(long, value_name = "N", value_parser = args::positive)]
    head_batch: Option<usize>,
    /// Learning rates for 256 images, which grow with the batch (of attentive, dense and depth: as they are) [default:
    /// the protocol's]
    #[arg(long, value_name = "LR,LR", value_delimiter = ',')]
    lr: Option<Vec<f64>>,
    /// Weight decays [default: the protocol's]
    #[arg(long, value_name = "WD,WD", value_delimiter = ',')]
    weight_decay: Option<Vec<f64>>,
    /// Batch norms before the heads [default: the protocol's]
    #[arg(long, value_enum, value_name = "NORM,NORM", value_delimiter = ',')]
    batch_norm: Option<Vec<Norm>>,
    /// L2 penalties of lowshot-logistic times the number of images [default: 0.00025 to 2.5]
    #[arg(long, value_name = "P,P", value_delimiter = ',')]
    penalty: Option<Vec<f64>>,
    /// Folder that keeps features which are extracted once, for the next time
    #[arg(long, value_name = "DIR", conflicts_with = "features_train")]
    cache: Option<PathBuf>,
}

/// How heads get their weights.
enum Heads {
    Trained(Protocol, ProbeConfig),
    Solved(LogisticConfig),
}

impl Probe {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        self.check_flags()?;
        if self.pair.is_of_files() {
            context.alone("probe --features-train")?;
        }
        if self.cache.is_some() {
            context.alone("probe --cache")?;
        }
        context.compute()?;
        match self.protocol {
            Name::Dense => return self.dense(context),
            Name::Depth => return self.depth(context),
            _ => {}
        }
        let found = match self.pair.of_files()? {
            Some(pair) => {
                let heads = self.heads(None, self.pools_of_file(&pair)?, context)?;
                Some(self.on_features(pair, &heads, context)?)
            }
            None => self.on_images(context)?,
        };
        let protocol = value_name(self.protocol);
        let report = found.map(|found| found.of_classes(&protocol));
        Ok(report.unwrap_or_default())
    }

    /// Heads on features that do not change.
    fn on_features(
        &self,
        pair: Pair,
        heads: &Heads,
        context: &Context,
    ) -> Result<Found<ProbeReport>, CliError> {
        let (train, test, device) = (&pair.train, &pair.test, &context.compute()?.device);
        let started = Instant::now();
        let report = match heads {
            Heads::Trained(_, config) => {
                let watch = StatusLine::watch(context.quiet, "training heads");
                probe_with_progress(train, test, config, device, watch)
            }
            Heads::Solved(config) => logistic(train, test, config, device),
        };
        Ok(Found {
            report: report.map_err(Error::from)?,
            encoder: pair.encoder,
            augment: Some("none"),
            took: started.elapsed(),
            skipped: pair.skipped,
            faults: pair.faults,
            resizing: pair.resizing,
        })
    }

    fn check_flags(&self) -> Result<(), CliError> {
        let protocol = value_name(self.protocol);
        let needs_tokens = matches!(self.protocol, Name::Attentive | Name::Dense | Name::Depth);
        if needs_tokens && (self.pair.is_of_pixels() || self.pair.is_of_files()) {
            return Err(CliError::NeedsTokens { protocol });
        }
        let augment = ("augment protocol", self.augment == Some(Augment::Protocol));
        let penalty = ("penalty", self.penalty.is_some());
        if self.pair.is_of_pixels() {
            let flags = [
                augment,
                ("pool", self.pool.is_some()),
                ("cache", self.cache.is_some()),
                ("arch", self.pair.weights.has_arch()),
            ];
            refuse_given(&flags, "with --encoder pixels")?;
        }
        if self.pair.is_of_files() {
            refuse_given(&[augment], "on features of files")?;
        }
        let place = format!("in protocol {protocol}");
        match self.protocol {
            Name::Quick => refuse_given(&[augment, penalty], &place),
            Name::VisslIn1k | Name::VisslTransfer | Name::Clevr => refuse_given(&[penalty], &place),
            Name::Attentive => {
                let pool = ("pool", self.pool.is_some());
                let flags = [penalty, pool, ("batch-norm", self.batch_norm.is_some())];
                refuse_given(&flags, &place)
            }
            Name::Dense | Name::Depth => {
                let flags = [
                    augment,
                    penalty,
                    ("pool", self.pool.is_some()),
                    ("batch-norm", self.batch_norm.is_some()),
                ];
                refuse_given(&flags, &place)
            }
            Name::LowshotLogistic => {
                let flags = [
                    augment,
                    ("epochs", self.epochs.is_some()),
                    ("head-batch", self.head_batch.is_some()),
                    ("lr", self.lr.is_some()),
                    ("weight-decay", self.weight_decay.is_some()),
                    ("batch-norm", self.batch_norm.is_some()),
                ];
                refuse_given(&flags, &place)
            }
        }
    }

    /// How heads that see `pools` learn of `data`, if that can be computed.
    fn heads(
        &self,
        data: Option<&DataSpec>,
        pools: Pools,
        context: &Context,
    ) -> Result<Heads, CliError> {
        let protocol = match self.protocol {
            Name::Quick => Protocol::Quick,
            Name::VisslIn1k => Protocol::VisslIn1k,
            Name::VisslTransfer => data.map_or(Protocol::VisslCifar100, Protocol::transfer),
            Name::Clevr => data.map_or(Protocol::ClevrCount, Protocol::clevr),
            Name::Attentive => Protocol::Attentive,
            Name::Dense | Name::Depth => unreachable!("they have heads of their own"),
            Name::LowshotLogistic => {
                let defaults = LogisticConfig::default();
                let config = LogisticConfig {
                    pools,
                    penalties: self.penalty.clone().unwrap_or(defaults.penalties),
                    ..defaults
                };
                config.validate().map_err(Error::from)?;
                return Ok(Heads::Solved(config));
            }
        };
        let config = self.config(protocol, pools, context);
        config.validate().map_err(Error::from)?;
        Ok(Heads::Trained(protocol, config))
    }

    /// What heads see of the features of `look`.
    fn pools(&self, look: &Look) -> Pools {
        let Look::Encoder(frozen) = look else {
            return Pools::Given;
        };
        if self.protocol == Name::Attentive {
            return Pools::attentive(&frozen.encoder);
        }
        let is_deep = frozen.encoder.config().depth >= Pooling::Concat4.layers();
        match self.pool {
            Some(pool) => pool.pools(),
            None if self.protocol != Name::Quick && is_deep => Pools::Both,
            None => Pools::Mean,
        }
    }

    /// What heads see of the features of files, which are what they are.
    fn pools_of_file(&self, pair: &Pair) -> Result<Pools, CliError> {
        let Some(pool) = self.pool else {
            return Ok(Pools::Given);
        };
        match &pair.pool {
            Some(found) if found != pool.of_features() => Err(CliError::PoolOfFile {
                pool: value_name(pool),
                found: found.clone(),
            }),
            _ => Ok(pool.pools()),
        }
    }

    fn config(&self, protocol: Protocol, pools: Pools, context: &Context) -> ProbeConfig {
        let published = protocol.config();
        let norm = |norm: &Norm| match norm {
            Norm::None => HeadNorm::None,
            Norm::Vissl => HeadNorm::Vissl,
            Norm::Mae => HeadNorm::Mae,
        };
        let norms = self.batch_norm.as_ref();
        let norms = norms.map(|norms| norms.iter().map(norm).collect());
        ProbeConfig {
            pools,
            norms: norms.unwrap_or(published.norms),
            lrs: self.lr.clone().unwrap_or(published.lrs),
            weight_decays: self.weight_decay.clone().unwrap_or(published.weight_decays),
            batch_size: self.head_batch.unwrap_or(published.batch_size),
            epochs: self.epochs.unwrap_or(published.epochs),
            seed: context.seed.unwrap_or(0),
            ..published
        }
    }
}
