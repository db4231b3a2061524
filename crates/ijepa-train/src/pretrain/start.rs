//! The learner with which a run begins or goes on.

use std::path::Path;

use burn::tensor::Device;
use ijepa_model::{
    Checkpoint, CheckpointError,
    checkpoint::{CheckpointKind, Moments, OpenOptions, TrainingState},
};

use crate::{
    error::TrainError,
    init::{Taken, kind_of},
    plan::PretrainPlan,
    recipe::spelt,
    run::Folder,
    sizes::differing_size_of_models,
    step::Learner,
};

/// The learner of the checkpoint at `from` and its state, or that of a run that begins.
pub(super) fn started(
    plan: &PretrainPlan,
    folder: &Folder,
    from: Option<&Path>,
    device: &Device,
) -> Result<(Learner, TrainingState), TrainError> {
    let Some(path) = from else {
        let learner = fresh(plan, folder, device)?;
        return Ok((shared(learner, plan, folder), TrainingState::default()));
    };
    resumed(plan, folder, path, device)
}

/// The learner of a run that begins; what it takes of other weights is kept in its folder.
fn fresh(plan: &PretrainPlan, folder: &Folder, device: &Device) -> Result<Learner, TrainError> {
    if let Some(init) = &plan.init {
        let learner = init.learner(plan, device)?;
        let taken = serde_json::to_string_pretty(init.taken());
        let taken = taken.expect("it is texts and a number");
        folder.write(Taken::FILE, &format!("{taken}\n"))?;
        return Ok(learner);
    }
    // A run that ended before its first checkpoint may have begun otherwise.
    folder.remove(Taken::FILE)?;
    Ok(Learner::new(
        &plan.model,
        plan.initialization(),
        plan.compute(),
        plan.objective(),
        plan.recipe.optimizer.adam,
        device,
    ))
}

/// The learner of a checkpoint, whose networks must be those of the plan, and its state.
fn resumed(
    plan: &PretrainPlan,
    folder: &Folder,
    path: &Path,
    device: &Device,
) -> Result<(Learner, TrainingState), TrainError> {
    let mut checkpoint = opened(path, plan.model.encoder.num_heads)?;
    check_parts(&checkpoint)?;
    let other = |key: &str, found: String, expected: String| TrainError::OtherRecipe {
        path: checkpoint.path.clone(),
        key: key.to_owned(),
        found,
        expected,
    };
    let Some(found) = checkpoint.config() else {
        let predictor = format!("of depth {}", plan.model.predictor.depth);
        return Err(other("predictor", "none".to_owned(), predictor));
    };
    let mut expected = plan.model.clone();
    // Of a run that began with others' weights: a recipe does not say it.
    expected.encoder.layer_norm_eps = checkpoint.encoder_config.layer_norm_eps;
    if let Some((key, found, expected)) = differing_size_of_models(&found, &expected) {
        return Err(other(&key, found, expected));
    }
    // A projector has the sizes of a predictor.
    let kinds = (kind_of(&checkpoint)?, plan.recipe.objective.kind);
    if let (Some(theirs), ours) = kinds
        && theirs.predicts() != ours.predicts()
    {
        let [theirs, ours] = [theirs, ours].map(|kind| format!("{:?}", spelt(&kind)));
        return Err(other("objective.kind", theirs, ours));
    }
    let (objective, adamw) = (plan.objective(), plan.recipe.optimizer.adam);
    // A rank that shares moments reads no others than its own.
    let moments = checkpoint.moments.take();
    let learner = Learner::from_checkpoint(&checkpoint, plan.compute(), objective, adamw, device)?;
    let mut learner = shared(learner, plan, folder);
    if let Some(moments) = moments {
        let Learner {
            model, optimizer, ..
        } = &mut learner;
        optimizer.restore(model, &moments, &checkpoint.path)?;
    }
    Ok((learner, checkpoint.state))
}

/// The checkpoint at `path`; of one that does not record its heads they are those of the recipe.
fn opened(path: &Path, num_heads: usize) -> Result<Checkpoint, CheckpointError> {
    let num_heads = Some(num_heads);
    match Checkpoint::open(path) {
        Err(CheckpointError::NumHeads { .. }) => {
            Checkpoint::open_with(path, OpenOptions { num_heads })
        }
        opened => opened,
    }
}

/// The learner with moments that the ranks of the run share, if the recipe says so.
fn shared(mut learner: Learner, plan: &PretrainPlan, folder: &Folder) -> Learner {
    if plan.recipe.run.shard_optimizer {
        learner.optimizer.share(&learner.model, folder.ranks());
    }
    learner
}

/// A folder of ours says how far its run was and has the moments of its steps; without them another
/// run would go on.
fn check_parts(checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    let lacks = |what| {
        let path = checkpoint.path.clone();
        Err(CheckpointError::Absent { path, what })
    };
    if checkpoint.kind != CheckpointKind::Native {
        return Ok(());
    }
    if !checkpoint.path.join(TrainingState::FILE).is_file() {
        return lacks(TrainingState::FILE);
    }
    match checkpoint.state.step {
        Some(0) => Ok(()),
        _ if checkpoint.moments.is_none() => lacks(Moments::FILE),
        _ => Ok(()),
    }
}
