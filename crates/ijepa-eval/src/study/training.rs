//! Everything that a study trains.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use burn::tensor::Device;
use ijepa_data::Source;
use ijepa_model::{Classifier, VisionTransformer, files::remove_folder};
use ijepa_train::{
    Learner, PretrainPlan, Recipe, RecipeError, TrainError, TrainOptions, TrainSummary, pretrain,
    recipe::Settings,
    run::{Folder, Observer},
};
use serde::{Deserialize, Serialize};

use super::{
    Metric, StudyError, Task,
    watch::{OfClassifier, Watch},
};
use crate::{
    Error,
    features::ExtractConfig,
    finetune::{FinetuneData, FinetuneError, FinetunePlan, FinetuneRecipe, finetune},
};

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
/// Steps whose speed is measured, and how long that may take.
const TIMED_STEPS: u64 = 40;
const TIMED: Duration = Duration::from_secs(20);

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It went as far as asked.
    Finished,
    /// It went as far as asked, with features that hardly tell images apart.
    Collapsed(String),
    /// It stopped because a number was no longer one.
    Diverged(String),
}

/// `recipe` with `overrides` and `seed`, and with as many steps as `images` take in all; a collapse
/// is a result, whatever the recipe says.
pub(super) fn short_recipe(
    recipe: &Recipe,
    overrides: &[String],
    seed: u64,
    images: Option<u64>,
) -> Result<Recipe, RecipeError> {
    let recipe = recipe.with_overrides(overrides)?;
    let mut last = vec![
        format!("run.seed={seed}"),
        "run.on_collapse=warn".to_owned(),
    ];
    if let Some(images) = images {
        let images_per_epoch = images / recipe.optimizer.epochs.max(1) as u64;
        let steps = images_per_epoch / recipe.run.batch_size.max(1) as u64;
        last.push(format!("optimizer.steps_per_epoch={}", steps.max(1)));
    }
    recipe.with_overrides(&last)
}

/// A run that went as far as asked, or as far as it could.
#[derive(Debug)]
pub(super) struct Trained {
    pub(super) steps: u64,
    pub(super) images: u64,
    /// Loss of the last step, if this process made one.
    pub(super) loss: Option<f64>,
    /// Of this process.
    pub(super) minutes: f64,
    /// Whether it was told to stop.
    pub(super) interrupted: bool,
    pub(super) outcome: Outcome,
    /// The target encoder; none if the run diverged.
    pub(super) encoder: Option<VisionTransformer>,
}

/// What runs are carried out with.
pub(super) struct Training<'a> {
    pub(super) device: &'a Device,
    pub(super) options: &'a TrainOptions,
    pub(super) watch: &'a mut Watch<'a>,
}

impl Training<'_> {
    /// Trains the run in `folder` from its newest checkpoint, if there is one, to the step `until`;
    /// a run that diverges is a result.
    pub(super) fn pretrain(
        &mut self,
        what: &str,
        plan: &PretrainPlan,
        until: u64,
        folder: &Path,
        data: &Arc<dyn Source>,
    ) -> Result<Trained, TrainError> {
        let options = TrainOptions {
            max_steps: Some(until),
            ..self.options.clone()
        };
        let began = Instant::now();
        match self.watched(what, plan, &options, folder, data) {
            Ok((summary, learner)) => Ok(Trained {
                steps: summary.steps,
                images: summary.images,
                loss: Some(summary.loss_last).filter(|loss| loss.is_finite()),
                minutes: summary.elapsed.as_secs_f64() / 60.0,
                interrupted: summary.interrupted,
                outcome: match summary.collapse {
                    Some(reason) => Outcome::Collapsed(reason),
                    None => Outcome::Finished,
                },
                encoder: Some(learner.target.encoder().clone()),
            }),
            Err(error @ TrainError::Diverged { step, .. }) => Ok(Trained {
                steps: step,
                images: step.saturating_mul(plan.recipe().run.batch_size as u64),
                loss: None,
                minutes: began.elapsed().as_secs_f64() / 60.0,
                interrupted: false,
                outcome: Outcome::Diverged(error.to_string()),
                encoder: None,
            }),
            Err(error) => Err(error),
        }
    }

    fn watched(
        &mut self,
        what: &str,
        plan: &PretrainPlan,
        options: &TrainOptions,
        folder: &Path,
        data: &Arc<dyn Source>,
    ) -> Result<(TrainSummary, Learner), TrainError> {
        let run = Folder::open(folder)?;
        let steps = options.max_steps.unwrap_or(plan.total_steps());
        let mut observer = (self.watch)(what, steps);
        let observers = observer.iter_mut();
        let observers = observers.map(|it| &mut **it as &mut dyn Observer<Learner>);
        let mut observers: Vec<_> = observers.collect();
        let data = Arc::clone(data);
        pretrain(plan, data, &run, self.device, options, &mut observers)
    }

    /// Images that `plan` trains on in a second, by a few steps in a folder inside `out` that is
    /// there meanwhile; none if they diverge.
    pub(super) fn speed(
        &mut self,
        what: &str,
        plan: &PretrainPlan,
        out: &Path,
        data: &Arc<dyn Source>,
    ) -> Result<Option<f64>, StudyError> {
        let options = TrainOptions {
            max_steps: Some(TIMED_STEPS),
            max_time: Some(TIMED),
            ..self.options.clone()
        };
        let folder = out.join(".pace");
        // What an interrupted call left, unless another process is at it.
        if folder.exists() {
            drop(Folder::open(&folder)?);
            remove_folder(&folder)?;
        }
        let speed = match self.watched(what, plan, &options, &folder, data) {
            Err(error @ TrainError::InUse { .. }) => return Err(error.into()),
            Ok((summary, _)) if summary.interrupted => Err(StudyError::Interrupted {
                step: summary.steps,
                run: out.to_owned(),
            }),
            Ok((summary, _)) => Ok(Some(summary.images_per_s)),
            Err(TrainError::Diverged { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        };
        let removed = remove_folder(&folder);
        let speed = speed?;
        removed?;
        Ok(speed)
    }

    /// Top-1 accuracy in percent, as `ijepa finetune --protocol lowshot-1pct` with the changes of
    /// [`SMALL_FINETUNING`], in a folder of its own.
    pub(super) fn fine_tune(
        &mut self,
        encoder: &VisionTransformer,
        task: &Task,
        extract: &ExtractConfig,
        recipe: &Recipe,
        folder: &Path,
    ) -> Result<f64, StudyError> {
        let failed = |error: FinetuneError| StudyError::Eval(Error::from(error));
        let (train, test) = (&task.train.source, &task.test.source);
        let data = FinetuneData::new(Arc::clone(train), Arc::clone(test));
        let data = data.map_err(|error| StudyError::Eval(error.into()))?;
        let settings =
            small_finetuning(train.len(), recipe, extract).map_err(|e| failed(e.into()))?;
        let plan = FinetunePlan::new(settings, encoder.config(), &data).map_err(failed)?;
        let fresh = plan.classifier(encoder.clone(), extract.normalization, &data);
        let run = Folder::open(folder).map_err(|e| failed(e.into()))?;
        let fresh = fresh.map_err(failed)?;
        let what = Metric::LowShotFineTuning.name();
        let mut observer = (self.watch)(what, plan.total_steps()).map(OfClassifier);
        let observers = observer.iter_mut();
        let observers = observers.map(|it| it as &mut dyn Observer<Classifier>);
        let found = finetune(
            &plan,
            fresh,
            &data,
            &run,
            self.device,
            self.options,
            &mut observers.collect::<Vec<_>>(),
        );
        let (summary, _) = found.map_err(failed)?;
        match summary.accuracy {
            Some(accuracy) if !summary.run.interrupted => Ok(accuracy.top1),
            _ => Err(StudyError::Interrupted {
                step: summary.run.steps,
                run: folder.to_owned(),
            }),
        }
    }
}

/// The protocol for `images` labelled images, with seed and precision of the pretraining run, on images
/// read as `extract` says.
fn small_finetuning(
    images: usize,
    recipe: &Recipe,
    extract: &ExtractConfig,
) -> Result<FinetuneRecipe, RecipeError> {
    let of_the_run = [
        format!("run.batch_size={}", SMALL_BATCH.min(images)),
        format!("run.seed={}", recipe.run.seed),
    ];
    let mut settings = FinetuneRecipe::preset("lowshot-1pct")?
        .with_overrides(SMALL_FINETUNING)?
        .with_overrides(&of_the_run)?;
    settings.run.precision = recipe.run.precision;
    settings.data.decoding = extract.reading.decoding;
    settings.data.preprocess = extract.preprocess.into();
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use ijepa_data::{Orientation, Preprocess};

    use super::*;
    use crate::finetune::EvalPreprocess;

    #[test]
    fn fine_tuning_reads_images_as_the_other_measures_do() {
        let mut extract = ExtractConfig {
            preprocess: Preprocess::Squash,
            ..ExtractConfig::default()
        };
        extract.reading.decoding.orientation = Orientation::Exif;
        let found = small_finetuning(64, &Recipe::default(), &extract).unwrap();
        assert_eq!(found.data.preprocess, Preprocess::Squash.into());
        assert_eq!(found.data.decoding, extract.reading.decoding);

        extract.preprocess = Preprocess::Crop { margin: 1.5 };
        let found = small_finetuning(64, &Recipe::default(), &extract).unwrap();
        assert_eq!(
            found.data.preprocess,
            EvalPreprocess::As(extract.preprocess)
        );
        let toml = found.to_toml();
        assert!(toml.contains("preprocess = \"crop:1.5\""), "{toml}");
        assert_eq!(FinetuneRecipe::from_toml(&toml, "a").unwrap(), found);
    }
}
