//! Rank and kNN after each epoch of a training run.

use std::sync::Arc;

use burn::tensor::Device;
use ijepa_data::{DataError, RgbImage8, Source};
use ijepa_train::{EpochScores, Hook, HookError, Learner};

use crate::{
    Error,
    extract::{ExtractConfig, extract},
    knn::{KnnConfig, knn},
    rank::rank_report,
};

/// Neighbours that vote during training.
const NEIGHBOURS: usize = 20;

/// Measures the target encoder after each epoch: RankMe without labels, kNN with them.
#[derive(Debug)]
pub struct EpochEvaluation {
    train: Arc<dyn Source>,
    test: Option<Arc<dyn Source>>,
    extract: ExtractConfig,
    device: Device,
}

impl EpochEvaluation {
    /// Measures RankMe on `train` and, if `test` is given, centred 20-NN of `test` against it.
    pub fn new(
        train: Arc<dyn Source>,
        test: Option<Arc<dyn Source>>,
        extract: ExtractConfig,
        device: &Device,
    ) -> Self {
        Self {
            train,
            test,
            extract,
            device: device.clone(),
        }
    }

    /// Measures RankMe on the first images of `source`, labelled or not.
    pub fn of_first(source: Arc<dyn Source>, extract: ExtractConfig, device: &Device) -> Self {
        Self::new(Arc::new(FirstImages { source }), None, extract, device)
    }

    /// Scores of an encoder.
    ///
    /// # Errors
    ///
    /// Any [`Error`] of extraction or kNN.
    pub fn scores(&self, learner: &Learner) -> Result<EpochScores, Error> {
        let encoder = learner.target.encoder();
        let features = |source: &dyn Source| {
            extract(encoder, source, &self.extract, &self.device).map(|found| found.features)
        };
        let train = features(self.train.as_ref())?;
        let rankme = Some(rank_report(&train).rankme);
        let Some(test) = &self.test else {
            return Ok(EpochScores {
                rankme,
                ..Default::default()
            });
        };
        let config = KnnConfig {
            ks: vec![NEIGHBOURS],
            center: true,
            ..KnnConfig::default()
        };
        let report = knn(&train, &features(test.as_ref())?, &config, &self.device)?;
        Ok(EpochScores {
            rankme,
            knn: Some(report.k[&NEIGHBOURS].top1),
            probe: None,
        })
    }
}

impl Hook for EpochEvaluation {
    fn on_epoch(&mut self, _: u64, learner: &Learner) -> Result<EpochScores, HookError> {
        Ok(self.scores(learner)?)
    }
}

/// Enough images for a trend of RankMe at the width of small models, few enough for each epoch.
const RANK_IMAGES: usize = 2000;

/// The beginning of a source.
#[derive(Debug)]
struct FirstImages {
    source: Arc<dyn Source>,
}

impl Source for FirstImages {
    fn len(&self) -> usize {
        self.source.len().min(RANK_IMAGES)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.source.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn read(&self, index: usize) -> Result<RgbImage8, DataError> {
        self.source.read(index)
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }
}
