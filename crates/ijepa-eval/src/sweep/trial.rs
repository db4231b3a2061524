//! One run of a sweep: trained as far as asked, judged, and remembered.

use std::{collections::BTreeMap, path::PathBuf};

use burn::tensor::Device;
use ijepa_data::Source;
use ijepa_model::VisionTransformer;
use ijepa_train::{PretrainPlan, TrainOptions};
use serde::{Deserialize, Serialize};

use super::{NamedSource, OtherRun, Outcome, SweepError, Task, Variant, kept, training::Training};
use crate::{
    Error,
    features::{ExtractConfig, extract},
    knn::{KnnConfig, NEIGHBOURS, knn},
    rank::{Centering, rankme},
};

/// Results of a trial, beside its run.
const SCORES: &str = "scores.json";

/// What a run was worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialReport {
    /// Name of the variant.
    pub variant: String,
    /// Seed of the run.
    pub seed: u64,
    /// Completed steps.
    pub steps: u64,
    /// Images seen.
    pub images: u64,
    /// Centred 20-NN accuracy by task, percent; empty if it diverged.
    pub knn: Vec<f64>,
    /// The same of the initial weights.
    pub knn_at_start: Vec<f64>,
    /// Effective rank of the features of the first task's training images.
    pub rankme: Option<f64>,
    /// Loss of the last step.
    pub loss: Option<f64>,
    /// Seconds of training, evaluation apart.
    pub seconds: f64,
    /// Whether it can be believed.
    pub outcome: Outcome,
}

impl TrialReport {
    /// Accuracy on the first task, below all others if there is none.
    pub(super) fn first_accuracy(&self) -> f64 {
        self.knn.first().copied().unwrap_or(f64::NEG_INFINITY)
    }
}

/// Accuracies of initial weights, which many trials share.
#[derive(Debug, Default)]
pub(super) struct Baselines(BTreeMap<String, Vec<f64>>);

pub(super) struct Trial<'a> {
    pub(super) variant: &'a Variant,
    pub(super) plan: &'a PretrainPlan,
    /// Steps after which it is judged.
    pub(super) until: u64,
    pub(super) folder: PathBuf,
    pub(super) data: &'a NamedSource,
    pub(super) tasks: &'a [Task],
    pub(super) extract: &'a ExtractConfig,
    pub(super) device: &'a Device,
    pub(super) options: &'a TrainOptions,
}

impl Trial<'_> {
    /// The result of an earlier call, or a new one.
    pub(super) fn run(&self, baselines: &mut Baselines) -> Result<TrialReport, SweepError> {
        let mut kept = self.kept()?;
        if let Some(report) = kept.reports.get(&self.until) {
            return Ok(report.clone());
        }
        kept.made_from = self.made_from();
        self.keep(&kept)?;
        let mut report = self.train()?;
        report.knn_at_start = self.at_start(baselines)?;
        let earlier = kept.reports.values().map(|earlier| earlier.seconds);
        report.seconds += earlier.sum::<f64>();
        kept.reports.insert(self.until, report.clone());
        self.keep(&kept)?;
        Ok(report)
    }

    /// What was remembered, if it is of this trial.
    pub(super) fn kept(&self) -> Result<Kept, SweepError> {
        let kept: Kept = kept::read(&self.folder.join(SCORES))?;
        if let Some(other) = kept::other_recipe(&self.folder, self.plan.recipe())? {
            return Err(other.into());
        }
        let mut now = self.made_from();
        let differs = |(key, found): &(&String, &String)| now.get(*key) != Some(*found);
        match kept.made_from.iter().find(differs) {
            Some((key, found)) => Err(SweepError::OtherRun(OtherRun {
                path: self.folder.clone(),
                key: key.clone(),
                found: found.clone(),
                expected: now.remove(key).unwrap_or_default(),
            })),
            None => Ok(kept),
        }
    }

    fn keep(&self, kept: &Kept) -> Result<(), SweepError> {
        kept::write(&self.folder.join(SCORES), kept)
    }

    /// What the results depend on beside the recipe.
    fn made_from(&self) -> BTreeMap<String, String> {
        let named = |(name, source): &NamedSource| format!("{name} ({} images)", source.len());
        let task = |task: &Task| format!("{} tested on {}", named(&task.train), named(&task.test));
        let tasks: Vec<String> = self.tasks.iter().map(task).collect();
        let config = self.extract;
        let features = (config.pooling, config.preprocess, config.normalization);
        let values = [
            ("data", named(self.data)),
            ("features", format!("{features:?}")),
            ("tasks", tasks.join(", ")),
        ];
        values.map(|(key, value)| (key.to_owned(), value)).into()
    }

    fn train(&self) -> Result<TrialReport, SweepError> {
        let training = Training {
            plan: self.plan,
            until: self.until,
            folder: &self.folder,
            data: &self.data.1,
            device: self.device,
            options: self.options,
        };
        let trained = training.run()?;
        let encoder = trained.encoder.as_ref();
        let scores = encoder.map(|encoder| self.scores(encoder)).transpose()?;
        let (knn, rankme) = match scores {
            Some(scores) => (scores.knn, Some(scores.rankme)),
            None => (Vec::new(), None),
        };
        Ok(TrialReport {
            variant: self.variant.name.clone(),
            seed: self.plan.recipe().run.seed,
            steps: trained.steps,
            images: trained.images,
            knn,
            knn_at_start: Vec::new(),
            rankme,
            loss: trained.loss,
            seconds: trained.seconds,
            outcome: trained.outcome,
        })
    }

    fn at_start(&self, baselines: &mut Baselines) -> Result<Vec<f64>, SweepError> {
        let config = &self.plan.model().encoder;
        let initialization = self.plan.recipe().initialization();
        let key = format!("{config:?} {initialization:?}");
        if let Some(known) = baselines.0.get(&key) {
            return Ok(known.clone());
        }
        let encoder = config.init_with(initialization, self.device);
        let found = self.scores(&encoder)?.knn;
        baselines.0.insert(key, found.clone());
        Ok(found)
    }

    fn scores(&self, encoder: &VisionTransformer) -> Result<Scores, Error> {
        let config = KnnConfig {
            ks: vec![NEIGHBOURS],
            center: true,
            ..KnnConfig::default()
        };
        let features = |source: &dyn Source| {
            extract(encoder, source, self.extract, self.device).map(|found| found.features)
        };
        let (mut accuracies, mut rank) = (Vec::new(), None);
        for task in self.tasks {
            let (train, test) = (features(&*task.train.1)?, features(&*task.test.1)?);
            rank.get_or_insert_with(|| rankme(&train, Centering::Raw));
            let report = knn(&train, &test, &config, self.device)?;
            accuracies.push(report.k[&NEIGHBOURS].top1);
        }
        Ok(Scores {
            knn: accuracies,
            rankme: rank.expect("a sweep has a task"),
        })
    }
}

/// What features of an encoder are worth.
struct Scores {
    /// Centred 20-NN accuracy by task, percent.
    knn: Vec<f64>,
    /// Of the training images of the first task.
    rankme: f64,
}

/// What is remembered of a trial.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    made_from: BTreeMap<String, String>,
    /// By the number of steps after which they were made.
    reports: BTreeMap<u64, TrialReport>,
}
