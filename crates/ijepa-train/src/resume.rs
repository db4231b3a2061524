//! The learner that a run begins with: of the plan alone or of a checkpoint.

use burn::tensor::Device;
use ijepa_model::{Checkpoint, IJepaConfig, Target};

use crate::{
    error::TrainError,
    hook::Resumption,
    plan::PretrainPlan,
    recipe::{Recipe, diff},
    resolve::ResolveError,
    step::Learner,
};

/// The keys of `[run]` that change what is learned; the others only change what is kept of it.
const LEARNED: [&str; 3] = ["run.batch_size", "run.precision", "run.seed"];

/// The learner of a run that begins.
pub(crate) fn fresh(plan: &PretrainPlan, device: &Device) -> Learner {
    let (objective, adamw) = (plan.objective(), plan.adamw());
    Learner::new(
        &plan.model,
        plan.initialization(),
        plan.compute(),
        objective,
        adamw,
        device,
    )
}

/// The learner of a checkpoint, whose networks must be those of the plan.
pub(crate) fn learner(
    plan: &PretrainPlan,
    checkpoint: &Checkpoint,
    device: &Device,
) -> Result<Learner, TrainError> {
    let found = checkpoint.config();
    let target = |config: &IJepaConfig| match config.predictor.target {
        Target::Features => "\"features\"",
        Target::Pixels => "\"pixels\"",
    };
    if let Some(found) = &found
        && target(found) != target(&plan.model)
    {
        return Err(TrainError::OtherRecipe {
            path: checkpoint.path.clone(),
            key: "objective.target".to_owned(),
            found: target(found).to_owned(),
            expected: target(&plan.model).to_owned(),
        });
    }
    if found.as_ref() != Some(&plan.model) {
        return Err(TrainError::OtherRecipe {
            path: checkpoint.path.clone(),
            key: "model".to_owned(),
            found: found.map_or("no predictor".to_owned(), |config| format!("{config:?}")),
            expected: format!("{:?}", plan.model),
        });
    }
    let (objective, adamw) = (plan.objective(), plan.adamw());
    let learner = Learner::from_checkpoint(checkpoint, plan.compute(), objective, adamw, device)?;
    Ok(learner)
}

/// How far the checkpoint is, and what the plan does differently.
pub(crate) fn resumption(
    plan: &PretrainPlan,
    checkpoint: &Checkpoint,
) -> Result<Resumption, TrainError> {
    let state = &checkpoint.state;
    // Official checkpoints count epochs only.
    let step = state.step.unwrap_or(state.epoch * plan.steps_per_epoch);
    let changed = match &state.recipe {
        Some(recipe) => {
            let before = Recipe::from_toml(recipe, &checkpoint.path.to_string_lossy())
                .map_err(ResolveError::from)?;
            diff(&before, &plan.recipe)
        }
        None => Vec::new(),
    };
    let learned = |key: &str| !key.starts_with("run.") || LEARNED.contains(&key);
    Ok(Resumption {
        step,
        changed: changed
            .into_iter()
            .filter(|(key, ..)| learned(key))
            .collect(),
    })
}
