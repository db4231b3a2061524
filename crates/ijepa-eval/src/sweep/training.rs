//! One run that is trained as far as asked.

use std::{path::Path, sync::Arc};

use burn::tensor::Device;
use ijepa_data::Source;
use ijepa_model::VisionTransformer;
use ijepa_train::{
    PretrainPlan, Recipe, RecipeError, TrainError, TrainOptions, pretrain, run::Folder,
};
use serde::{Deserialize, Serialize};

use super::SweepError;

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

/// `recipe` with `overrides` and `seed`, and with as many steps as `images` take in all.
pub(crate) fn short_recipe(
    recipe: &Recipe,
    overrides: &[String],
    seed: u64,
    images: Option<u64>,
) -> Result<Recipe, RecipeError> {
    let recipe = recipe.with_overrides(overrides)?;
    let mut last = vec![format!("run.seed={seed}")];
    if let Some(images) = images {
        let images_per_epoch = images / recipe.optimizer.epochs.max(1) as u64;
        let steps = images_per_epoch / recipe.run.batch_size.max(1) as u64;
        last.push(format!("optimizer.steps_per_epoch={}", steps.max(1)));
    }
    recipe.with_overrides(&last)
}

/// What is to be trained, and where.
pub(crate) struct Training<'a> {
    pub(crate) plan: &'a PretrainPlan,
    /// Steps after which it is judged.
    pub(crate) until: u64,
    pub(crate) folder: &'a Path,
    pub(crate) data: &'a Arc<dyn Source>,
    pub(crate) device: &'a Device,
    pub(crate) options: &'a TrainOptions,
}

/// A run that went as far as asked, or as far as it could.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) steps: u64,
    pub(crate) images: u64,
    /// Loss of the last step, if this process made one.
    pub(crate) loss: Option<f64>,
    /// Of this process.
    pub(crate) seconds: f64,
    pub(crate) outcome: Outcome,
    /// The target encoder; none if the run diverged.
    pub(crate) encoder: Option<VisionTransformer>,
}

impl Training<'_> {
    /// Trains from the newest checkpoint, if there is one; a run that diverges is a result.
    ///
    /// # Errors
    ///
    /// [`SweepError::Interrupted`] if it was told to stop, [`SweepError::Train`] for all else.
    pub(crate) fn run(&self) -> Result<Trained, SweepError> {
        let folder = Folder::open(self.folder)?;
        let options = TrainOptions {
            max_steps: Some(self.until),
            ..self.options.clone()
        };
        let data = Arc::clone(self.data);
        match pretrain(self.plan, data, &folder, self.device, &options, &mut []) {
            Ok((summary, _)) if summary.interrupted => Err(SweepError::Interrupted {
                step: summary.steps,
                run: self.folder.to_owned(),
            }),
            Ok((summary, learner)) => Ok(Trained {
                steps: summary.steps,
                images: summary.images,
                loss: Some(summary.loss_last).filter(|loss| loss.is_finite()),
                seconds: summary.elapsed.as_secs_f64(),
                outcome: match summary.collapse {
                    Some(reason) => Outcome::Collapsed(reason),
                    None => Outcome::Finished,
                },
                encoder: Some(learner.target.encoder().clone()),
            }),
            Err(error @ TrainError::Diverged { step, .. }) => Ok(Trained {
                steps: step,
                images: 0,
                loss: None,
                seconds: 0.0,
                outcome: Outcome::Diverged(error.to_string()),
                encoder: None,
            }),
            Err(error) => Err(error.into()),
        }
    }
}
