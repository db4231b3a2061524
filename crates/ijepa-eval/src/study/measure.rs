//! How runs are judged.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use ijepa_data::{Fingerprint, Source};
use ijepa_model::{Pooling, VisionTransformer};
use ijepa_train::Recipe;
use serde::{Deserialize, Serialize};

use super::{StudyError, training::Training};
use crate::{
    Error, ExtractError,
    features::{ExtractConfig, Features, extract, weights_digest},
    knn::{KnnConfig, NEIGHBOURS, check_task, knn},
    labels::check_class_names,
    logistic::{LogisticConfig, logistic},
    probe::{Pools, Protocol, probe},
    rank::{Centering, rankme},
};

/// Images and the name that says whether an earlier run saw the same ones.
pub type NamedSource = (String, Arc<dyn Source>);

/// What tells images from others of the same name.
pub(super) fn described((name, source): &NamedSource) -> String {
    let found = Fingerprint::of(source.as_ref());
    let digest = blake3::hash(format!("{found:?}").as_bytes()).to_hex();
    format!("{name} ({} images, {})", source.len(), &digest[..8])
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
    pub fn is_low_shot(self) -> bool {
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
            Metric::Neighbours => &self.task.train.0,
            metric => metric.name(),
        }
    }

    /// What its values are kept under: they depend on nothing else but the encoder.
    pub(super) fn key(&self, extract: &ExtractConfig) -> String {
        let train = described(&self.task.train);
        let test = described(&self.task.test);
        format!(
            "{}: learned from {train}, tested on {test} ({}, {:?})",
            self.metric.name(),
            extract.pixels(),
            extract.normalization,
        )
    }

    /// Whether the labels fit together and suffice.
    pub(super) fn check(&self) -> Result<(), Error> {
        let (train, test) = (self.task.train.1.as_ref(), self.task.test.1.as_ref());
        match self.metric {
            Metric::Neighbours => check_task(train, test),
            _ => Ok(check_class_names(train.classes(), test.classes())?),
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

/// Everything that encoders are judged with.
pub(super) struct Judge<'a> {
    pub(super) measures: &'a [Measure],
    pub(super) extract: &'a ExtractConfig,
    pub(super) training: Training<'a>,
    /// Accuracies of initial weights, which many runs share.
    pub(super) at_start: BTreeMap<String, f64>,
}

impl Judge<'_> {
    /// What measure number `column`, whose key is `key`, finds; `folder` is that of the run, `recipe`
    /// its recipe.
    pub(super) fn score(
        &mut self,
        column: usize,
        key: &str,
        encoder: &VisionTransformer,
        recipe: &Recipe,
        folder: &Path,
    ) -> Result<Score, StudyError> {
        let Measure { metric, task } = &self.measures[column];
        let accuracy = match metric {
            Metric::Neighbours => return Ok(self.neighbours(column, encoder, recipe)?),
            Metric::LowShotLinear => self.low_shot_linear(encoder, task)?,
            Metric::Linear => self.linear(encoder, task)?,
            Metric::LowShotFineTuning => {
                let name = format!("{key} {}", weights_digest(encoder));
                let name = blake3::hash(name.as_bytes()).to_hex();
                let folder = folder.join(format!("finetune-{}", &name[..16]));
                self.training
                    .fine_tune(encoder, task, self.extract, recipe, &folder)?
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
        recipe: &Recipe,
    ) -> Result<Score, Error> {
        let (config, initialization) = (encoder.config(), recipe.initialization());
        let start = format!("{column} {config:?} {initialization:?}");
        let at_start = match self.at_start.get(&start) {
            Some(&known) => known,
            None => {
                let initial = config.init_with(initialization, self.training.device);
                let (found, _) = self.nearest(column, &initial)?;
                self.at_start.insert(start, found);
                found
            }
        };
        let (accuracy, train) = self.nearest(column, encoder)?;
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
    ) -> Result<(f64, Features), Error> {
        let task = &self.measures[column].task;
        let [train, test] = self.features(encoder, task, self.extract.pooling)?;
        let report = knn(&train, &test, &KnnConfig::centered(), self.training.device)?;
        Ok((report.k[&NEIGHBOURS].top1, train))
    }

    /// As `ijepa probe --protocol lowshot-logistic`.
    fn low_shot_linear(&self, encoder: &VisionTransformer, task: &Task) -> Result<f64, Error> {
        let (pooling, pools) = match encoder.config().depth {
            depth if depth < Pooling::Concat4.layers() => (Pooling::Mean, Pools::Mean),
            _ => (Pooling::Concat4, Pools::Both),
        };
        let [train, test] = self.features(encoder, task, pooling)?;
        let config = LogisticConfig {
            pools,
            ..LogisticConfig::default()
        };
        Ok(logistic(&train, &test, &config, self.training.device)?.top1)
    }

    /// As `ijepa probe --protocol quick`.
    fn linear(&self, encoder: &VisionTransformer, task: &Task) -> Result<f64, Error> {
        let [train, test] = self.features(encoder, task, Pooling::Mean)?;
        let config = Protocol::Quick.config();
        Ok(probe(&train, &test, &config, self.training.device)?.top1)
    }

    /// Of the training and of the test images.
    fn features(
        &self,
        encoder: &VisionTransformer,
        task: &Task,
        pooling: Pooling,
    ) -> Result<[Features; 2], ExtractError> {
        let config = ExtractConfig {
            pooling,
            ..*self.extract
        };
        let of = |source: &dyn Source| {
            extract(encoder, source, &config, self.training.device).map(|found| found.features)
        };
        Ok([of(task.train.1.as_ref())?, of(task.test.1.as_ref())?])
    }
}
