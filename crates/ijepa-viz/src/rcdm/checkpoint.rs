//! Checkpoints of a run: both networks, moments and progress.

use std::{collections::HashMap, path::Path};

use burn::{module::Module, tensor::Device};
use ijepa_model::{
    CheckpointError,
    checkpoint::{ModuleFile, Moments, TrainingState},
    files::create_folder,
};
use ijepa_train::{
    AdamW, AdamWConfig, TrainError,
    recipe::{Settings, diff},
};

use super::{
    Conditioner, Decoder, DecoderConfig, DecoderRecipe, RcdmError, Standardization,
    learner::Learner,
};

const ONLINE: &str = "online.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

/// The keys of `[run]` that change what is learned; the others only change what is kept of it.
const LEARNED: [&str; 2] = ["run.batch_size", "run.seed"];

/// A key, its value in the checkpoint and its value now.
pub(crate) type Change = (String, String, String);

/// A run as far as it is.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) learner: Learner,
    pub(crate) config: DecoderConfig,
    pub(crate) step: u64,
}

impl Progress {
    /// A run that has not begun.
    pub(crate) fn new(
        recipe: &DecoderRecipe,
        standardization: Standardization,
        device: &Device,
    ) -> Self {
        let unet = recipe.unet(standardization.dim());
        let network = unet.init(recipe.run.seed, &device.clone().autodiff());
        Self {
            learner: Learner::new(network, optimizer(recipe)),
            config: DecoderConfig::new(unet, recipe.decoder.condition, standardization),
            step: 0,
        }
    }

    /// Writes a checkpoint folder, which appears as a whole.
    pub(crate) fn save(&self, path: &Path, recipe: &DecoderRecipe) -> Result<(), CheckpointError> {
        let state = TrainingState {
            step: Some(self.step),
            seed: Some(recipe.run.seed),
            recipe: Some(recipe.to_toml()),
            lr: Some(recipe.optimizer.lr),
            batch_size: Some(recipe.run.batch_size as u64),
            ..TrainingState::default()
        };
        let learner = &self.learner;
        create_folder(path, |folder| {
            self.decoder().save(&folder.join(Decoder::FILE))?;
            ModuleFile::save(&folder.join(ONLINE), &learner.unet, HashMap::new())?;
            let moments = learner.optimizer.named_moments(&learner.unet);
            Moments::save(&folder.join(OPTIMIZER), &moments, learner.optimizer.steps())?;
            state.save(&folder.join(STATE))
        })
    }

    /// The run of a checkpoint, and what the recipe does differently.
    pub(crate) fn open(
        path: &Path,
        recipe: &DecoderRecipe,
        conditioner: &Conditioner,
        device: &Device,
    ) -> Result<(Self, Vec<Change>), RcdmError> {
        let state = TrainingState::open(&path.join(STATE))?;
        let decoder = Decoder::from_pretrained(path, device)?;
        decoder.check(conditioner)?;
        let config = decoder.config().clone();
        let expected = recipe.unet(conditioner.dim());
        if config.unet != expected {
            return Err(RcdmError::Run(TrainError::OtherRecipe {
                path: path.into(),
                key: "decoder".to_owned(),
                found: format!("{:?}", config.unet),
                expected: format!("{expected:?}"),
            }));
        }
        let fresh = expected.init(0, &device.clone().autodiff());
        let unet = ModuleFile::open(&path.join(ONLINE))?.load(fresh, "online network")?;
        let moments = Moments::open(&path.join(OPTIMIZER))?;
        let mut learner = Learner {
            unet,
            average: decoder.unet.valid(),
            optimizer: optimizer(recipe),
        };
        learner.optimizer.restore(&learner.unet, &moments, path)?;
        let before = state.recipe.unwrap_or_default();
        let before = DecoderRecipe::from_toml(&before, &path.to_string_lossy())?;
        let mut changed = diff(&before, recipe);
        changed.retain(|(key, ..)| !key.starts_with("run.") || LEARNED.contains(&key.as_str()));
        let step = state.step.unwrap_or(0);
        let progress = Self {
            learner,
            config,
            step,
        };
        Ok((progress, changed))
    }

    /// The decoder as it is now.
    pub(crate) fn decoder(&self) -> Decoder {
        Decoder::new(self.learner.average.clone(), self.config.clone())
    }
}

fn optimizer(recipe: &DecoderRecipe) -> AdamW {
    let optimizer = &recipe.optimizer;
    AdamW::new(AdamWConfig {
        betas: optimizer.betas,
        eps: optimizer.eps,
    })
}
