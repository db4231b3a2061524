//! `ijepa probe`: linear classifiers on frozen features.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use ijepa_data::{DataSpec, Preprocess, Skipped};
use ijepa_eval::{
    FeatureCache, HeadNorm, HeadReport, LogisticConfig, Pools, ProbeConfig, ProbeProgress,
    ProbeReport, Protocol, logistic, probe_augmented, probe_with_progress,
};
use ijepa_model::Pooling;
use serde_json::json;

use crate::{
    args::{self, Compute, ComputeArgs},
    error::CliError,
    features::{Images, Look, Pair, PairArgs, skipped_json, skipped_text},
    progress::StatusLine,
    report::Report,
};

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

/// Train linear classifiers on frozen features and test them
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
    /// Learning rates for 256 images, which grow with the batch [default: the protocol's]
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
    #[command(flatten)]
    compute: ComputeArgs,
}

/// What was found, and on what.
struct Found {
    report: ProbeReport,
    encoder: &'static str,
    augmented: bool,
    /// Training and testing of the heads; with augmentation the features, too.
    took: Duration,
    skipped: Vec<Skipped>,
}

impl Probe {
    pub(crate) fn run(&self) -> Result<Report, CliError> {
        self.check_flags()?;
        let compute = self.compute.open()?;
        let found = match self.pair.of_files()? {
            Some(pair) => {
                let protocol = self.linear(None)?;
                self.on_features(pair, protocol, self.pools(None), &compute)?
            }
            None => self.on_images(&self.pair.images(&compute)?, &compute)?,
        };
        Ok(self.report(&found))
    }

    fn on_images(&self, images: &Images, compute: &Compute) -> Result<Found, CliError> {
        let spec: DataSpec = images.train.spec.parse()?;
        let protocol = self.linear(Some(&spec))?;
        let pools = self.pools(Some(&images.look));
        let pooling = match pools {
            Pools::Concat4 | Pools::Both => Pooling::Concat4,
            Pools::Given | Pools::Mean => Pooling::Mean,
        };
        let preprocess = protocol.map_or(Preprocess::Eval, Protocol::preprocess);
        let extraction = self.pair.extraction(&images.look, pooling, preprocess);
        let cache = self.cache.as_ref().map(FeatureCache::new);
        let augment = match (&images.look, protocol) {
            (Look::Encoder(frozen), Some(protocol)) if self.augment != Some(Augment::None) => {
                let augment = protocol.augment(frozen.encoder.config().image_size);
                augment.map(|augment| (&frozen.encoder, protocol, augment))
            }
            _ => None,
        };
        let Some((encoder, protocol, augment)) = augment else {
            let pair = self
                .pair
                .extract_both(images, &extraction, compute, cache.as_ref())?;
            return self.on_features(pair, protocol, pools, compute);
        };
        let test = &images.test;
        let test = self
            .pair
            .extract(&images.look, test, &extraction, compute, cache.as_ref())?;
        let config = self.config(protocol, pools);
        let started = Instant::now();
        let report = probe_augmented(
            encoder,
            images.train.source.clone(),
            augment,
            &test.features,
            (&config, &extraction),
            &compute.device,
            self.progress(),
        );
        Ok(Found {
            report: report.map_err(ijepa_eval::Error::from)?,
            encoder: images.look.name(),
            augmented: true,
            took: started.elapsed(),
            skipped: test.skipped,
        })
    }

    /// Heads on features that do not change; without a protocol they are solved.
    fn on_features(
        &self,
        pair: Pair,
        protocol: Option<Protocol>,
        pools: Pools,
        compute: &Compute,
    ) -> Result<Found, CliError> {
        let (train, test) = (&pair.train, &pair.test);
        let started = Instant::now();
        let report = match protocol {
            Some(protocol) => {
                let config = self.config(protocol, pools);
                probe_with_progress(train, test, &config, &compute.device, self.progress())
            }
            None => {
                let defaults = LogisticConfig::default();
                let config = LogisticConfig {
                    pools,
                    penalties: self.penalty.clone().unwrap_or(defaults.penalties),
                    ..defaults
                };
                logistic(train, test, &config, &compute.device)
            }
        };
        Ok(Found {
            report: report.map_err(ijepa_eval::Error::from)?,
            encoder: pair.encoder,
            augmented: false,
            took: started.elapsed(),
            skipped: pair.skipped,
        })
    }

    /// Says how many steps are done, unless that is not wanted.
    fn progress(&self) -> impl FnMut(ProbeProgress) + Send + use<> {
        let mut line = (!self.pair.quiet).then(StatusLine::stderr);
        move |at| {
            if let Some(line) = &mut line {
                line.show(&format!("step {}/{}", at.step, at.steps));
            }
        }
    }

    /// Flags that would change nothing are refused.
    fn check_flags(&self) -> Result<(), CliError> {
        let solved = self.protocol == Name::LowshotLogistic;
        let given = [
            ("augment", solved && self.augment == Some(Augment::Protocol)),
            ("epochs", solved && self.epochs.is_some()),
            ("head-batch", solved && self.head_batch.is_some()),
            ("lr", solved && self.lr.is_some()),
            ("weight-decay", solved && self.weight_decay.is_some()),
            ("batch-norm", solved && self.batch_norm.is_some()),
            ("penalty", !solved && self.penalty.is_some()),
        ];
        match given.into_iter().find(|(_, wrong)| *wrong) {
            Some((flag, _)) => Err(CliError::NotOfProtocol {
                flag,
                protocol: self.name(),
            }),
            None => Ok(()),
        }
    }

    fn name(&self) -> String {
        let name = self.protocol.to_possible_value();
        name.map_or_else(String::new, |name| name.get_name().to_owned())
    }

    /// The protocol for `data`; none if heads are solved instead of trained.
    fn linear(&self, data: Option<&DataSpec>) -> Result<Option<Protocol>, CliError> {
        if data.is_none() && self.augment == Some(Augment::Protocol) {
            return Err(CliError::AugmentedFeatures);
        }
        Ok(match self.protocol {
            Name::Quick => Some(Protocol::Quick),
            Name::VisslIn1k => Some(Protocol::VisslIn1k),
            Name::VisslTransfer => Some(data.map_or(Protocol::VisslCifar100, Protocol::transfer)),
            Name::Clevr => Some(data.map_or(Protocol::ClevrCount, Protocol::clevr)),
            Name::LowshotLogistic => None,
        })
    }

    /// What heads see of the features of `look`, or of files.
    fn pools(&self, look: Option<&Look>) -> Pools {
        let deep = |frozen: &crate::features::LoadedEncoder| frozen.encoder.config().depth >= 4;
        match (self.pool, look) {
            (Some(Pool::Mean), _) => Pools::Mean,
            (Some(Pool::Concat4), _) => Pools::Concat4,
            (Some(Pool::Both), _) => Pools::Both,
            (None, Some(Look::Encoder(frozen))) => match self.protocol {
                Name::Quick => Pools::Mean,
                _ if deep(frozen) => Pools::Both,
                _ => Pools::Mean,
            },
            (None, _) => Pools::Given,
        }
    }

    fn config(&self, protocol: Protocol, pools: Pools) -> ProbeConfig {
        let published = protocol.config();
        let norms = self.batch_norm.as_ref().map(|norms| {
            let norm = |norm: &Norm| match norm {
                Norm::None => HeadNorm::None,
                Norm::Vissl => HeadNorm::Vissl,
                Norm::Mae => HeadNorm::Mae,
            };
            norms.iter().map(norm).collect()
        });
        ProbeConfig {
            pools,
            norms: norms.unwrap_or(published.norms),
            lrs: self.lr.clone().unwrap_or(published.lrs),
            weight_decays: self.weight_decay.clone().unwrap_or(published.weight_decays),
            batch_size: self.head_batch.unwrap_or(published.batch_size),
            epochs: self.epochs.unwrap_or(published.epochs),
            seed: self.pair.weights.seed.unwrap_or(0),
            ..published
        }
    }

    fn report(&self, found: &Found) -> Report {
        let Found {
            report,
            encoder,
            augmented,
            took,
            skipped,
        } = found;
        let mut text = format!(
            "{} on {encoder} features, {} training and {} test images\n",
            self.name(),
            report.train_images,
            report.test_images
        );
        for head in &report.heads {
            text += &line(head);
        }
        text += &format!(
            "best: top-1 {:.2} %, top-5 {:.2} %\n",
            report.top1, report.top5
        );
        text += &skipped_text(skipped);
        let mut json = json!(report);
        json["encoder"] = json!(encoder);
        json["protocol"] = json!(self.name());
        json["augment"] = json!(if *augmented { "protocol" } else { "none" });
        json["probe_s"] = json!(took.as_secs_f64());
        json["skipped"] = skipped_json(skipped);
        Report { text, json }
    }
}

/// One head and what it achieved.
fn line(report: &HeadReport) -> String {
    let head = json!(report.head);
    let rate = report.head.lr.map_or("-".to_owned(), |lr| lr.to_string());
    let word = |key: &str| head[key].as_str().unwrap_or("-").to_owned();
    format!(
        "{:8} norm {:6} lr {rate:6} wd {:<8.3e} top-1 {:5.2} %  top-5 {:5.2} %{}\n",
        word("pool"),
        word("batch_norm"),
        report.head.weight_decay,
        report.top1,
        report.top5,
        if report.loss.is_none() {
            "  diverged"
        } else {
            ""
        }
    )
}
