//! Checkpoints of a run: classifier, moments and progress.

use std::path::Path;

use burn::{module::Module, tensor::Device};
use ijepa_model::{
    CheckpointError, Classifier,
    checkpoint::{Moments, TrainingState},
    files::create_folder,
};
use ijepa_train::{
    AdamW, TrainError,
    recipe::{Settings, diff},
};

use super::{FinetuneData, FinetuneError, FinetunePlan, FinetuneRecipe, learner::Learner};

const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

/// The keys of `[run]` that change what is learned; the others only change what is kept of it.
const LEARNED: [&str; 3] = ["run.batch_size", "run.precision", "run.seed"];

/// A key, its value in the checkpoint and its value now.
pub(crate) type Change = (String, String, String);

/// Writes a checkpoint folder, which appears as a whole.
pub(crate) fn save(
    path: &Path,
    learner: &Learner,
    plan: &FinetunePlan,
    step: u64,
) -> Result<(), CheckpointError> {
    let state = TrainingState {
        step: Some(step),
        epoch: step / plan.steps_per_epoch,
        seed: Some(plan.recipe.run.seed),
        recipe: Some(plan.recipe.to_toml()),
        lr: Some(plan.schedule.lr),
        batch_size: Some(plan.recipe.run.batch_size as u64),
        ..TrainingState::default()
    };
    create_folder(path, |folder| {
        let moments = learner.optimizer.named_moments(&learner.classifier);
        learner.classifier.save(&folder.join(Classifier::FILE))?;
        Moments::save(&folder.join(OPTIMIZER), &moments, learner.optimizer.steps())?;
        state.save(&folder.join(STATE))
    })
}

/// The learner of a checkpoint, the step it is at, and what the plan does differently.
pub(crate) fn open(
    path: &Path,
    plan: &FinetunePlan,
    data: &FinetuneData,
    fresh: &Classifier,
    device: &Device,
) -> Result<(Learner, u64, Vec<Change>), FinetuneError> {
    let state = TrainingState::open(&path.join(STATE))?;
    let classifier = Classifier::from_pretrained(path, device)?;
    let other = |key: &str, found: String, expected: String| TrainError::OtherRecipe {
        path: path.into(),
        key: key.to_owned(),
        found,
        expected,
    };
    let (found, expected) = (classifier.config(), fresh.config());
    if found.classes != data.classes() {
        let [found, expected] = [&found, &expected].map(|config| config.classes.join(", "));
        return Err(other("classes", found, expected).into());
    }
    if found != expected {
        let [found, expected] = [found, expected].map(|config| format!("{:?}", config.encoder));
        return Err(other("model", found, expected).into());
    }
    let mut learner = learner(plan, classifier, device);
    let moments = Moments::open(&path.join(OPTIMIZER))?;
    learner
        .optimizer
        .restore(&learner.classifier, &moments, path)?;
    let recipe = state.recipe.unwrap_or_default();
    let before = FinetuneRecipe::from_toml(&recipe, &path.to_string_lossy())?;
    let learned = |key: &str| !key.starts_with("run.") || LEARNED.contains(&key);
    let mut changed = diff(&before, &plan.recipe);
    changed.retain(|(key, ..)| learned(key));
    let step = state.step.unwrap_or(state.epoch * plan.steps_per_epoch);
    Ok((learner, step, changed))
}

/// A learner that has seen no gradient.
pub(crate) fn learner(plan: &FinetunePlan, classifier: Classifier, device: &Device) -> Learner {
    let classifier = match plan.trainable_blocks {
        None => classifier,
        Some(blocks) => classifier.with_trainable_blocks(blocks),
    };
    Learner {
        classifier: classifier.with_compute(plan.compute()).train(),
        optimizer: AdamW::new(plan.adamw()),
        layer_decay: plan.recipe.optimizer.layer_decay,
        device: device.clone(),
    }
}
