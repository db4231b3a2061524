//! How a row is judged.

use std::{path::Path, sync::Arc};

use burn::tensor::Device;
use ijepa_model::{Pooling, VisionTransformer};
use ijepa_train::{Recipe, TrainOptions, recipe::Settings, run::Folder};
use serde::Serialize;

use super::{AblationData, AblationError, low_shot::LowShot};
use crate::{
    Error, ExtractError,
    features::{ExtractConfig, Features, extract},
    finetune::{FinetuneData, FinetuneError, FinetunePlan, FinetuneRecipe, finetune},
    logistic::{LogisticConfig, logistic},
    probe::{Pools, Protocol, probe},
    sweep::SweepError,
};

/// Blocks that the wider of the two poolings needs.
const CONCAT_BLOCKS: usize = 4;

/// Where a short fine-tuning run on small images differs from the protocol `lowshot-1pct`, whose
/// learning rate, crops and distortions are for large encoders and photographs.
const SMALL_FINETUNING: &[&str] = &[
    "data.crop_scale=[0.35,1.0]",
    "data.rand_augment=none",
    "optimizer.lr=1e-3",
    "run.eval_every_epochs=50",
    "run.checkpoint_every_steps=1000",
    "run.keep_last=1",
];
const SMALL_BATCH: usize = 16;

/// An accuracy on the test images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
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
            Self::LowShotLinear => "low-shot linear",
            Self::Linear => "linear",
            Self::LowShotFineTuning => "low-shot fine-tuning",
        }
    }
}

/// Everything that encoders are judged with.
pub(super) struct Judge<'a> {
    pub(super) low_shot: &'a LowShot,
    pub(super) data: &'a AblationData,
    pub(super) extract: &'a ExtractConfig,
    pub(super) device: &'a Device,
    pub(super) options: &'a TrainOptions,
}

impl Judge<'_> {
    /// What an accuracy is remembered under: it depends on nothing else but the encoder.
    pub(super) fn key(&self, metric: Metric) -> String {
        let labels = match metric {
            Metric::Linear => self.data.train.1.len(),
            Metric::LowShotLinear | Metric::LowShotFineTuning => self.low_shot.source.len(),
        };
        format!(
            "{}: {labels} labels of {}, tested on {} ({:?})",
            metric.name(),
            self.data.train.0,
            self.data.test.0,
            self.extract.preprocess,
        )
    }

    /// Top-1 accuracy in percent; `folder` is that of the run, `recipe` its recipe.
    pub(super) fn accuracy(
        &self,
        metric: Metric,
        encoder: &VisionTransformer,
        folder: &Path,
        recipe: &Recipe,
    ) -> Result<f64, AblationError> {
        match metric {
            Metric::LowShotLinear => Ok(self.low_shot_linear(encoder)?),
            Metric::Linear => Ok(self.linear(encoder)?),
            Metric::LowShotFineTuning => self.fine_tuned(encoder, folder, recipe),
        }
    }

    /// As `ijepa probe --protocol lowshot-logistic`.
    fn low_shot_linear(&self, encoder: &VisionTransformer) -> Result<f64, Error> {
        let (pooling, pools) = match encoder.config().depth {
            depth if depth < CONCAT_BLOCKS => (Pooling::Mean, Pools::Mean),
            _ => (Pooling::Concat4, Pools::Both),
        };
        let features = |source| self.features(encoder, source, pooling);
        let train = features(self.low_shot.source.as_ref())?;
        let test = features(self.data.test.1.as_ref())?;
        let config = LogisticConfig {
            pools,
            ..LogisticConfig::default()
        };
        Ok(logistic(&train, &test, &config, self.device)?.top1)
    }

    /// As `ijepa probe --protocol quick`.
    fn linear(&self, encoder: &VisionTransformer) -> Result<f64, Error> {
        let train = self.features(encoder, self.data.train.1.as_ref(), Pooling::Mean)?;
        let test = self.features(encoder, self.data.test.1.as_ref(), Pooling::Mean)?;
        Ok(probe(&train, &test, &Protocol::Quick.config(), self.device)?.top1)
    }

    fn features(
        &self,
        encoder: &VisionTransformer,
        source: &dyn ijepa_data::Source,
        pooling: Pooling,
    ) -> Result<Features, ExtractError> {
        let config = ExtractConfig {
            pooling,
            ..*self.extract
        };
        extract(encoder, source, &config, self.device).map(|found| found.features)
    }

    /// As `ijepa finetune --protocol lowshot-1pct` with the changes of [`SMALL_FINETUNING`], in a
    /// folder of its own inside that of the run.
    fn fine_tuned(
        &self,
        encoder: &VisionTransformer,
        folder: &Path,
        recipe: &Recipe,
    ) -> Result<f64, AblationError> {
        let failed = |error: FinetuneError| AblationError::from(Error::from(error));
        let (train, test) = (&self.low_shot.source, &self.data.test.1);
        let data = FinetuneData::new(Arc::clone(train), Arc::clone(test)).map_err(failed)?;
        let settings = small_finetuning(train.len(), recipe).map_err(|e| failed(e.into()))?;
        let plan = FinetunePlan::new(settings, encoder.config(), &data).map_err(failed)?;
        let normalization = self.extract.normalization;
        let fresh = plan.classifier(encoder.clone(), normalization, &data);
        let folder = folder.join(format!("finetune-{}", train.len()));
        let run = Folder::open(&folder).map_err(|e| failed(e.into()))?;
        let found = finetune(
            &plan,
            fresh.map_err(failed)?,
            &data,
            &run,
            self.device,
            self.options,
            &mut [],
        );
        let (summary, _) = found.map_err(failed)?;
        match summary.accuracy {
            Some(accuracy) if !summary.run.interrupted => Ok(accuracy.top1),
            _ => Err(AblationError::Run(SweepError::Interrupted {
                step: summary.run.steps,
                run: folder,
            })),
        }
    }
}

/// The protocol for `images` labelled images, with seed and precision of the pretraining run.
fn small_finetuning(
    images: usize,
    recipe: &Recipe,
) -> Result<FinetuneRecipe, ijepa_train::RecipeError> {
    let of_the_run = [
        format!("run.batch_size={}", SMALL_BATCH.min(images)),
        format!("run.seed={}", recipe.run.seed),
    ];
    let mut settings = FinetuneRecipe::preset("lowshot-1pct")?
        .with_overrides(SMALL_FINETUNING)?
        .with_overrides(&of_the_run)?;
    settings.run.precision = recipe.run.precision;
    Ok(settings)
}
