//! A recipe with every open question answered.

use std::sync::Arc;

use ijepa_data::{MultiCrop, Transform};
use ijepa_masking::MaskSampler;
use ijepa_model::{Checkpoint, Compute, IJepaConfig, Initialization, Objective};

use crate::{
    error::TrainError,
    init::{InitialWeights, Taken},
    recipe::Recipe,
    resolve::ResolveError,
    schedule::{ScheduleConfig, Schedules},
};

/// What the trainer carries out: checked, resolved, and made for a data set of known size.
pub struct PretrainPlan {
    pub(crate) recipe: Recipe,
    pub(crate) model: IJepaConfig,
    pub(crate) transform: Arc<dyn Transform>,
    /// Of LeJEPA, in place of masks.
    pub(crate) views: Option<MultiCrop>,
    pub(crate) sampler: Arc<dyn MaskSampler>,
    pub(crate) schedules: Schedules,
    learning_rate: Option<Arc<dyn Fn(u64) -> f64 + Send + Sync>>,
    /// Parts that the program made and no recipe says.
    pub(crate) own_parts: Vec<&'static str>,
    pub(crate) steps_per_epoch: u64,
    pub(crate) total_steps: u64,
    pub(crate) init: Option<InitialWeights>,
}

impl std::fmt::Debug for PretrainPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PretrainPlan")
            .field("model", &self.model)
            .field("total_steps", &self.total_steps)
            .finish_non_exhaustive()
    }
}

impl PretrainPlan {
    /// Resolves `recipe` for `images` training images.
    ///
    /// # Errors
    ///
    /// [`ResolveError`] if the recipe is invalid, asks for what is not built, or its batch is
    /// larger than the data.
    pub fn new(recipe: Recipe, images: usize) -> Result<Self, ResolveError> {
        let recipe = recipe.checked()?;
        let steps_per_epoch = recipe.steps_per_epoch(images)?;
        let config = ScheduleConfig::new(&recipe, steps_per_epoch);
        Ok(Self {
            model: recipe.model_config()?,
            transform: recipe.transform()?,
            views: recipe.views()?,
            learning_rate: None,
            own_parts: Vec::new(),
            sampler: Arc::from(recipe.mask_sampler()?),
            schedules: Schedules::new(config),
            steps_per_epoch: steps_per_epoch as u64,
            total_steps: steps_per_epoch.saturating_mul(recipe.optimizer.epochs) as u64,
            init: None,
            recipe,
        })
    }

    /// The same plan with masks from a sampler of the user's own.
    ///
    /// Checkpoints say that there was one, not which: a plan without does not go on with such a
    /// run.
    ///
    /// # Panics
    ///
    /// Panics if the sampler is for another patch grid.
    pub fn with_sampler(mut self, sampler: Arc<dyn MaskSampler>) -> Self {
        assert_eq!(
            Some(sampler.grid()),
            self.model.encoder.grid().ok(),
            "the sampler is for another patch grid"
        );
        self.sampler = sampler;
        self.with_own("sampler")
    }

    /// The same plan with crops and augmentations of the user's own, which checkpoints say as they
    /// do of [a sampler](Self::with_sampler).
    ///
    /// # Panics
    ///
    /// Panics if its images are not of the encoder's size, or the recipe is LeJEPA's, which makes
    /// several views of each.
    pub fn with_transform(mut self, transform: Arc<dyn Transform>) -> Self {
        assert!(self.views.is_none(), "LeJEPA has views of its own");
        assert_eq!(
            transform.size(),
            self.model.encoder.image_size,
            "the transform is for images of another size"
        );
        self.transform = transform;
        self.with_own("transform")
    }

    /// The same plan with the learning rate `lr(step)` at each step, from 0, instead of the
    /// recipe's; checkpoints say so as they do of [a sampler](Self::with_sampler).
    ///
    /// It must be a function of the step alone, or a resumed run is another one.
    pub fn with_learning_rate(mut self, lr: impl Fn(u64) -> f64 + Send + Sync + 'static) -> Self {
        self.learning_rate = Some(Arc::new(lr));
        self.with_own("learning_rate")
    }

    fn with_own(mut self, part: &'static str) -> Self {
        self.own_parts.retain(|&own| own != part);
        self.own_parts.push(part);
        self
    }

    /// The same plan for a run that begins with `weights` of any kind instead of random ones.
    ///
    /// Step, schedules and optimizer begin afresh. The target encoder is that of the weights, or a
    /// copy of the encoder; the predictor is that of the weights if it is of the recipe's sizes,
    /// else fresh; positions are resampled to the recipe's image size. A run that goes on from a
    /// checkpoint does not read them again.
    ///
    /// # Errors
    ///
    /// [`TrainError::OtherRecipe`] with the first size of the encoder that is not the recipe's.
    /// That weights are not finite is found when the run reads them.
    pub fn with_init(mut self, weights: Checkpoint) -> Result<Self, TrainError> {
        let init = InitialWeights::new(weights, &self.recipe, &self.model)?;
        self.model.encoder.layer_norm_eps = init.layer_norm_eps();
        self.init = Some(init);
        Ok(self)
    }

    /// What the run takes of the weights that it begins with.
    pub fn taken(&self) -> Option<&Taken> {
        self.init.as_ref().map(InitialWeights::taken)
    }

    /// The recipe, every field explicit.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Sizes of encoder and predictor.
    pub fn model(&self) -> &IJepaConfig {
        &self.model
    }

    /// Where masks come from.
    pub fn sampler(&self) -> &Arc<dyn MaskSampler> {
        &self.sampler
    }

    /// Learning rate of the update at `step`, from 0.
    pub fn learning_rate(&self, step: u64) -> f64 {
        match &self.learning_rate {
            Some(lr) => lr(step),
            None => self.schedules.lr(step),
        }
    }

    /// Largest learning rate, if the recipe says it.
    pub(crate) fn peak_lr(&self) -> Option<f64> {
        let own = self.learning_rate.is_some();
        (!own).then(|| self.schedules.peak_lr())
    }

    /// Steps of the whole run.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    pub(crate) fn initialization(&self) -> Initialization {
        self.recipe.initialization()
    }

    pub(crate) fn objective(&self) -> Objective {
        self.recipe.objective_config()
    }

    /// The objective of a step: the weights of the terms beside the prediction fall.
    pub(crate) fn objective_at(&self, step: u64) -> Objective {
        self.objective()
            .with_terms_scaled(self.schedules.terms(step))
    }

    pub(crate) fn compute(&self) -> Compute {
        self.recipe.compute()
    }
}
