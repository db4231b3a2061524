//! Checkpoints of a run: classifier, moments and progress.

use std::path::Path;

use burn::{module::Module, tensor::Device};
use ijepa_model::{
    CheckpointError, Classifier,
    checkpoint::{Moments, Snapshot, TrainingState},
};
use ijepa_train::{AdamW, TrainError, differing_size, recipe::Settings};

use super::{
    FinetuneData, FinetuneError, FinetunePlan, FinetuneRecipe, learner::Learner, unfreeze::Unfreeze,
};

/// A checkpoint of `learner`.
pub(crate) fn snapshot(
    learner: &Learner,
    state: TrainingState,
) -> Result<Snapshot, CheckpointError> {
    let Learner {
        classifier,
        optimizer,
        ..
    } = learner;
    let moments = Moments::file(optimizer.named_moments(classifier), optimizer.steps());
    let files = [classifier.file(), moments].into_iter();
    Snapshot::take(files.chain(classifier.lora_file()), state)
}

/// The learner of a checkpoint, which must classify as `fresh` does, and its state.
pub(crate) fn open(
    path: &Path,
    plan: &FinetunePlan,
    data: &FinetuneData,
    fresh: &Classifier,
    device: &Device,
) -> Result<(Learner, TrainingState), FinetuneError> {
    let state = TrainingState::open(&path.join(TrainingState::FILE))?;
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
    if let Some((key, found, expected)) = differing_size(&found.encoder, &expected.encoder) {
        return Err(other(&key, found, expected).into());
    }
    if found.normalization != expected.normalization {
        let [found, expected] = [found, expected].map(|it| format!("{:?}", it.normalization));
        return Err(other("normalization", found, expected).into());
    }
    let (rank, asked) = (Classifier::lora_rank(path)?, plan.recipe.model.lora_rank);
    if rank != asked {
        let [found, expected] = [rank, asked].map(|rank| rank.to_string());
        return Err(other("model.lora_rank", found, expected).into());
    }
    let (trained, asked) = (unfreeze_of(&state, path)?, plan.recipe.model.unfreeze);
    let [before, now] = [trained, asked].map(|it| it.frozen(expected.encoder.depth));
    // What was frozen has no moments to go on with, and what had pairs needs them.
    if now < before || rank > 0 && now != before {
        let [found, expected] = [trained, asked].map(|it| it.to_string());
        return Err(other("model.unfreeze", found, expected).into());
    }
    let mut classifier = plan.trainable(classifier);
    if rank > 0 {
        classifier = classifier.load_lora(path)?;
    }
    let mut learner = learner(plan, classifier, device);
    let moments = Moments::open(&path.join(Moments::FILE))?;
    // Before the first step there are none.
    if state.step != Some(0) {
        let optimizer = &mut learner.optimizer;
        optimizer.restore(&learner.classifier, &moments, path)?;
    }
    Ok((learner, state))
}

/// What the run of a checkpoint trained, as far as its recipe says.
fn unfreeze_of(state: &TrainingState, path: &Path) -> Result<Unfreeze, FinetuneError> {
    let recipe = state.recipe.as_deref();
    let recipe = recipe.map(|text| FinetuneRecipe::from_toml(text, &path.to_string_lossy()));
    Ok(recipe
        .transpose()?
        .map_or(Unfreeze::All, |it| it.model.unfreeze))
}

/// A learner of a trainable classifier that has seen no gradient.
pub(crate) fn learner(plan: &FinetunePlan, classifier: Classifier, device: &Device) -> Learner {
    Learner {
        classifier: classifier.with_compute(plan.compute()).train(),
        optimizer: AdamW::new(plan.recipe.optimizer.adam),
        layer_decay: plan.recipe.optimizer.layer_decay,
        device: device.clone(),
    }
}
