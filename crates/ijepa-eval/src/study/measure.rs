//! How runs are judged.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
    thread::sleep,
};

use ijepa_data::{Fingerprint, Retry, Source};
use ijepa_model::{Pooling, VisionTransformer};
use ijepa_train::Recipe;
use serde::{Deserialize, Serialize};

use super::{StudyError, training::Training};
use crate::{
    Error, ExtractError,
    features::{ExtractConfig, Features, extract, weights_digest},
    knn::{KnnConfig, NEIGHBOURS, check_task, knn},
    labels::check_labels,
    logistic::{LogisticConfig, logistic},
    probe::{Pools, Protocol, probe},
    rank::{Centering, rankme},
    stop::Stoppable,
};

/// How images are read by default.
const PIXELS_OF_BEFORE: &str = "Eval";

/// Images and the name that says whether an earlier run saw the same ones.
#[derive(Debug, Clone)]
pub struct NamedSource {
    /// What the user calls them.
    pub name: String,
    /// The images.
    pub source: Arc<dyn Source>,
    described: Arc<OnceLock<String>>,
}

impl NamedSource {
    /// `source` under a name.
    pub fn new(name: impl Into<String>, source: Arc<dyn Source>) -> Self {
        Self {
            name: name.into(),
            source,
            described: Arc::default(),
        }
    }

    /// What tells the images from others of the same name.
    pub(super) fn described(&self) -> &str {
        self.described.get_or_init(|| {
            // What is kept by it outlives a storage that fails for now.
            let mut pauses = Retry::default().pauses();
            let mut found = Fingerprint::of(self.source.as_ref());
            while found.sizes.is_empty()
                && let Some(pause) = pauses.next()
            {
                sleep(pause);
                found = Fingerprint::of(self.source.as_ref());
            }
            let digest = blake3::hash(format!("{found:?}").as_bytes()).to_hex();
            let (name, images) = (&self.name, self.source.len());
            format!("{name} ({images} images, {})", &digest[..8])
        })
    }
}

/// Labelled images that runs are judged by.
#[derive(Debug, Clone)]
pub struct Task {
    /// Images to learn from; their name is that of the task.
    pub train: NamedSource,
    /// Images that are classified.
    pub test: NamedSource,
}

/// An accuracy on the test images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Centred 20-NN classification of frozen features, also of the initial weights.
    Neighbours,
    /// Logistic regression on frozen features of few labelled images.
    LowShotLinear,
    /// The quick linear probe on frozen features of all labelled images.
    Linear,
    /// The encoder and a head fine-tuned on few labelled images.
    LowShotFineTuning,
}

impl Metric {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Neighbours => "nearest neighbours",
            Self::LowShotLinear => "low-shot linear",
            Self::Linear => "linear",
            Self::LowShotFineTuning => "low-shot fine-tuning",
        }
    }

    /// Whether it learns from a few of the labels only.
    pub(super) fn is_low_shot(self) -> bool {
        matches!(self, Self::LowShotLinear | Self::LowShotFineTuning)
    }
}

/// A metric on a task: a column of the table.
#[derive(Debug, Clone)]
pub struct Measure {
    /// The metric.
    pub metric: Metric,
    /// The task, with the few labels of a low-shot metric.
    pub task: Task,
}

impl Measure {
    /// What tables call it.
    pub fn name(&self) -> &str {
        match self.metric {
            Metric::Neighbours => &self.task.train.name,
            metric => metric.name(),
        }
    }

    /// What its values are kept under: they depend on nothing else but the encoder.
    pub(super) fn key(&self, extract: &ExtractConfig) -> String {
        let [train, test] = [&self.task.train, &self.task.test].map(NamedSource::described);
        let (name, pixels) = (self.metric.name(), extract.pixels());
        // Fine-tuning of before read images in its own way.
        let how = match self.metric == Metric::LowShotFineTuning && pixels != PIXELS_OF_BEFORE {
            true => "read as said: ",
            false => "",
        };
        let statistics = extract.normalization;
        format!("{name}: learned from {train}, tested on {test} ({how}{pixels}, {statistics:?})")
    }

    /// Whether the labels fit together and suffice.
    pub(super) fn check(&self) -> Result<(), Error> {
        let [train, test] = [&self.task.train, &self.task.test].map(|it| it.source.as_ref());
        match self.metric {
            Metric::Neighbours => check_task(train, test),
            _ => Ok(check_labels(train, test)?),
        }
    }
}

/// What a measure found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Score {
    /// Percent.
    pub(super) accuracy: f64,
    /// The same of the initial weights, where the metric looks at them.
    pub(super) at_start: Option<f64>,
    /// Effective rank of the features of the training images, of the first measure only.
    pub(super) rankme: Option<f64>,
}

/// How the encoders of a variant see images, and what their scores are kept under, one key a measure.
pub(super) struct Seen {
    pub(super) extract: ExtractConfig,
    pub(super) keys: Vec<String>,
}

/// Everything that encoders are judged with.
pub(super) struct Judge<'a> {
    pub(super) measures: &'a [Measure],
    pub(super) training: Training<'a>,
    /// Accuracies of initial weights, which many runs share.
    pub(super) at_start: BTreeMap<String, f64>,
}

impl Judge<'_> {
    /// What measure number `column` of a run finds, whose recipe and folder these are; worth nothing
    /// once it is told to stop.
    pub(super) fn score(
        &mut self,
        column: usize,
        seen: &Seen,
        encoder: &VisionTransformer,
        recipe: &Recipe,
        folder: &Path,
    ) -> Result<Score, StudyError> {
        let Measure { metric, task } = &self.measures[column];
        let extract = &seen.extract;
        let accuracy = match metric {
            Metric::Neighbours => return Ok(self.neighbours(column, encoder, extract, recipe)?),
            Metric::LowShotLinear => self.low_shot_linear(encoder, extract, task)?,
            Metric::Linear => self.linear(encoder, extract, task)?,
            Metric::LowShotFineTuning => {
                let name = format!("{} {}", seen.keys[column], weights_digest(encoder));
                let name = blake3::hash(name.as_bytes()).to_hex();
                let folder = folder.join(format!("finetune-{}", &name[..16]));
                self.training
                    .fine_tune(encoder, task, extract, recipe, &folder)?
            }
        };
        Ok(Score {
            accuracy,
            at_start: None,
            rankme: None,
        })
    }

    fn neighbours(
        &mut self,
        column: usize,
        encoder: &VisionTransformer,
        extract: &ExtractConfig,
        recipe: &Recipe,
    ) -> Result<Score, Error> {
        let (config, initialization) = (encoder.config(), recipe.initialization());
        let features = extract.described();
        let start = format!("{column} {config:?} {initialization:?} {features}");
        let at_start = match self.at_start.get(&start) {
            Some(&known) => known,
            None => {
                let initial = config.init_with(initialization, self.training.device);
                let (found, _) = self.nearest(column, &initial, extract)?;
                self.at_start.insert(start, found);
                found
            }
        };
        let (accuracy, train) = self.nearest(column, encoder, extract)?;
        Ok(Score {
            accuracy,
            at_start: Some(at_start),
            rankme: (column == 0).then(|| rankme(&train, Centering::Raw)),
        })
    }

    /// Accuracy, and the features that voted.
    fn nearest(
        &self,
        column: usize,
        encoder: &VisionTransformer,
        extract: &ExtractConfig,
    ) -> Result<(f64, Features), Error> {
        let task = &self.measures[column].task;
        let [train, test] = self.features(encoder, task, extract)?;
        let report = knn(&train, &test, &KnnConfig::centered(), self.training.device)?;
        Ok((report.k[&NEIGHBOURS].top1, train))
    }

    /// As `ijepa probe --protocol lowshot-logistic`.
    fn low_shot_linear(
        &self,
        encoder: &VisionTransformer,
        extract: &ExtractConfig,
        task: &Task,
    ) -> Result<f64, Error> {
        let (pooling, pools) = match encoder.config().depth {
            depth if depth < Pooling::Concat4.layers() => (Pooling::Mean, Pools::Mean),
            _ => (Pooling::Concat4, Pools::Both),
        };
        let extract = ExtractConfig {
            pooling,
            ..*extract
        };
        let [train, test] = self.features(encoder, task, &extract)?;
        let config = LogisticConfig {
            pools,
            ..LogisticConfig::default()
        };
        Ok(logistic(&train, &test, &config, self.training.device)?.top1)
    }

    /// As `ijepa probe --protocol quick`.
    fn linear(
        &self,
        encoder: &VisionTransformer,
        extract: &ExtractConfig,
        task: &Task,
    ) -> Result<f64, Error> {
        let extract = ExtractConfig {
            pooling: Pooling::Mean,
            ..*extract
        };
        let [train, test] = self.features(encoder, task, &extract)?;
        let config = Protocol::Quick.config();
        Ok(probe(&train, &test, &config, self.training.device)?.top1)
    }

    /// Of the training and of the test images.
    fn features(
        &self,
        encoder: &VisionTransformer,
        task: &Task,
        config: &ExtractConfig,
    ) -> Result<[Features; 2], ExtractError> {
        let of = |it: &NamedSource| {
            let source = Stoppable {
                source: it.source.as_ref(),
                stop: &self.training.options.stop,
                retry: config.reading.retry,
            };
            let found = extract(encoder, &source, config, self.training.device);
            found.map(|found| found.features)
        };
        Ok([of(&task.train)?, of(&task.test)?])
    }
}
