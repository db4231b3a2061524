//! Checkpoints of a run: both networks, moments and progress.

use std::{collections::HashMap, path::Path};

use burn::{module::Module, tensor::Device};
use ijepa_model::{
    CheckpointError,
    checkpoint::{ModuleFile, Moments, Snapshot, TensorFile, TrainingState},
};
use ijepa_train::{AdamW, TrainError, first_different};

use super::{
    Conditioner, Decoder, DecoderConfig, DecoderRecipe, RcdmError, Standardization,
    learner::Learner,
};

const ONLINE: &str = "online.safetensors";

/// What is trained, and what it is beside its weights.
#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) learner: Learner,
    pub(crate) config: DecoderConfig,
}

impl Progress {
    /// That of a run that has not begun.
    pub(crate) fn new(
        recipe: &DecoderRecipe,
        conditioner: &Conditioner,
        standardization: Standardization,
        device: &Device,
    ) -> Self {
        let unet = recipe.unet(standardization.dim());
        let condition = recipe.decoder.condition;
        let network = unet.init(recipe.run.seed, &device.clone().autodiff());
        Self {
            learner: Learner::new(network, AdamW::new(recipe.optimizer.adam)),
            config: DecoderConfig {
                weights: conditioner.weights(),
                decoding: recipe.data.decoding,
                ..DecoderConfig::new(unet, condition, standardization)
            },
        }
    }

    /// A checkpoint of it.
    pub(crate) fn snapshot(&self, state: TrainingState) -> Result<Snapshot, CheckpointError> {
        let Learner {
            unet, optimizer, ..
        } = &self.learner;
        let files = [
            self.decoder().file(),
            TensorFile::of_module(ONLINE, unet, HashMap::new()),
            Moments::file(optimizer.named_moments(unet), optimizer.steps()),
        ];
        Snapshot::take(files, state)
    }

    /// That of a checkpoint, which must decode what `conditioner` says, and its state.
    pub(crate) fn open(
        path: &Path,
        recipe: &DecoderRecipe,
        conditioner: &Conditioner,
        device: &Device,
    ) -> Result<(Self, TrainingState), RcdmError> {
        let state = TrainingState::open(&path.join(TrainingState::FILE))?;
        let decoder = Decoder::from_pretrained(path, device)?;
        decoder.check(conditioner)?;
        let config = DecoderConfig {
            decoding: recipe.data.decoding,
            ..decoder.config().clone()
        };
        let expected = recipe.unet(conditioner.dim());
        let key = |name: &str| match name {
            "image_size" => "decoder.size".to_owned(),
            name => format!("decoder.{name}"),
        };
        if let Some((key, found, expected)) = first_different(&config.unet, &expected, key) {
            let path = path.into();
            return Err(RcdmError::Run(TrainError::OtherRecipe {
                path,
                key,
                found,
                expected,
            }));
        }
        let fresh = expected.init(0, &device.clone().autodiff());
        let unet = ModuleFile::open(&path.join(ONLINE))?.load(fresh, "online network")?;
        let moments = Moments::open(&path.join(Moments::FILE))?;
        let mut learner = Learner {
            unet,
            average: decoder.unet.valid(),
            optimizer: AdamW::new(recipe.optimizer.adam),
        };
        // Before the first step there are none.
        if state.step != Some(0) {
            learner.optimizer.restore(&learner.unet, &moments, path)?;
        }
        Ok((Self { learner, config }, state))
    }

    /// The decoder as it is now.
    pub(crate) fn decoder(&self) -> Decoder {
        Decoder::new(self.learner.average.clone(), self.config.clone())
    }
}
