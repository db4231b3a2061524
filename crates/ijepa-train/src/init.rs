//! Weights that a run begins with instead of random ones.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use ijepa_masking::PatchGrid;
use ijepa_model::{
    Checkpoint, EmaTarget, IJepa, IJepaConfig, Normalization, PositionResampling,
    VisionTransformer, VisionTransformerConfig,
    checkpoint::{CheckpointKind, EncoderRole},
};
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    error::TrainError,
    plan::PretrainPlan,
    recipe::{ObjectiveKind, Recipe},
    resolve::ResolveError,
    sizes::differing_size,
    step::Learner,
};

/// Opened weights, checked against the networks of a run.
#[derive(Debug)]
pub(crate) struct InitialWeights {
    checkpoint: Checkpoint,
    taken: Taken,
    /// Whether their predictor is that of the run.
    has_predictor: bool,
}

/// What a run takes of the weights that it begins with; `init.json` of its directory.
///
/// Optimizer, schedules and step always begin afresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Where the weights are.
    #[serde(serialize_with = "as_text")]
    pub weights: PathBuf,
    /// What they are.
    pub kind: CheckpointKind,
    /// Completed steps of their run, if they say so.
    pub step: Option<u64>,
    /// Which of their encoders the context encoder is.
    pub encoder: String,
    /// Whether the predictor is theirs, or why it is not.
    pub predictor: String,
    /// Whether the target encoder is theirs, or what else it is.
    pub target_encoder: String,
    /// Whether positions had to be resampled.
    pub positions: String,
    /// What the run does differently from the weights that nobody asked for.
    pub warnings: Vec<String>,
}

/// Not every path is a text.
fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

impl Taken {
    /// Name of its file in a run directory.
    pub const FILE: &str = "init.json";
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "begins with `{}`; encoder: {}; predictor: {}; target encoder: {}; positions: {}; \
             optimizer: fresh",
            self.weights.display(),
            self.encoder,
            self.predictor,
            self.target_encoder,
            self.positions
        )
    }
}

impl InitialWeights {
    /// `checkpoint` for a run of `recipe`, whose networks are `model`.
    ///
    /// # Errors
    ///
    /// [`TrainError::OtherRecipe`] with the first size of the encoder that differs; image sizes
    /// may.
    pub(crate) fn new(
        checkpoint: Checkpoint,
        recipe: &Recipe,
        model: &IJepaConfig,
    ) -> Result<Self, TrainError> {
        let found = &checkpoint.encoder_config;
        let ours = model.encoder.clone();
        // Ratios that are guessed from weights are rounded.
        let as_wide = found.hidden_dim() == ours.hidden_dim();
        let fitting = VisionTransformerConfig {
            image_size: found.image_size,
            drop_path: found.drop_path,
            layer_norm_eps: found.layer_norm_eps,
            mlp_ratio: if as_wide {
                found.mlp_ratio
            } else {
                ours.mlp_ratio
            },
            ..ours
        };
        if let Some((key, found, expected)) = differing_size(found, &fitting) {
            let path = checkpoint.path.clone();
            return Err(TrainError::OtherRecipe {
                path,
                key,
                found,
                expected,
            });
        }
        let kind = kind_of(&checkpoint)?;
        let does_the_same = kind.is_none_or(|it| it.predicts() == recipe.objective.kind.predicts());
        let as_large = checkpoint.predictor_config.as_ref() == Some(&model.predictor);
        let has_predictor = as_large && does_the_same;
        let taken = taken(
            &checkpoint,
            model,
            has_predictor,
            recipe.data.normalization(),
        );
        Ok(Self {
            checkpoint,
            taken,
            has_predictor,
        })
    }

    pub(crate) fn taken(&self) -> &Taken {
        &self.taken
    }

    pub(crate) fn layer_norm_eps(&self) -> f64 {
        self.checkpoint.encoder_config.layer_norm_eps
    }

    /// The networks that a run begins with, and a fresh optimizer.
    pub(crate) fn learner(
        &self,
        plan: &PretrainPlan,
        device: &Device,
    ) -> Result<Learner, TrainError> {
        let (checkpoint, config) = (&self.checkpoint, &plan.model.encoder);
        let device = &device.clone().autodiff();
        let fitted = |role| -> Result<VisionTransformer, TrainError> {
            let encoder = checkpoint.encoder(role, device)?;
            let resized = encoder.with_image_size(config.image_size, PositionResampling::default());
            let dropped = resized.and_then(|it| it.with_drop_path(config.drop_path));
            Ok(dropped.map_err(ResolveError::from)?)
        };
        let encoder = fitted(role(checkpoint))?;
        let target = match target(checkpoint) {
            true => fitted(EncoderRole::Target)?,
            false => encoder.clone(),
        };
        let predictor = match self.has_predictor {
            true => {
                let (from, to) = grids(checkpoint, &plan.model);
                let predictor = checkpoint.predictor(device)?;
                predictor.with_grid(from, to, PositionResampling::default())
            }
            false => {
                let fresh = &plan.model.predictor;
                fresh.init(config, plan.initialization(), device)
            }
        };
        let networks = IJepa { encoder, predictor }.with_compute(plan.compute());
        let target = target.with_compute(plan.compute());
        Ok(Learner {
            target: EmaTarget::new(&target),
            ..Learner::of_model(networks, plan.objective(), plan.recipe.optimizer.adam)
        })
    }
}

/// What the run of a checkpoint learned from, if a run wrote it.
pub(crate) fn kind_of(checkpoint: &Checkpoint) -> Result<Option<ObjectiveKind>, ResolveError> {
    let recipe = Recipe::of_checkpoint(checkpoint)?;
    Ok(recipe.map(|recipe| recipe.objective.kind))
}

/// The encoder that the context encoder begins with.
fn role(checkpoint: &Checkpoint) -> EncoderRole {
    match checkpoint.context_encoder {
        Some(_) => EncoderRole::Context,
        None => EncoderRole::Target,
    }
}

/// Whether there is a target encoder beside it.
fn target(checkpoint: &Checkpoint) -> bool {
    checkpoint.context_encoder.is_some() && checkpoint.target_encoder.is_some()
}

/// The patch grids of the weights and of the run.
fn grids(checkpoint: &Checkpoint, model: &IJepaConfig) -> (PatchGrid, PatchGrid) {
    let [from, to] = [&checkpoint.encoder_config, &model.encoder]
        .map(|config| config.grid().expect("a checked configuration has a grid"));
    (from, to)
}

fn taken(
    checkpoint: &Checkpoint,
    model: &IJepaConfig,
    has_predictor: bool,
    ours: Normalization,
) -> Taken {
    let theirs = || "as in the weights".to_owned();
    let encoder = match role(checkpoint) {
        EncoderRole::Context => theirs(),
        EncoderRole::Target => "their target encoder, which is the only one".to_owned(),
    };
    let predictor = match &checkpoint.predictor_config {
        Some(_) if has_predictor => theirs(),
        Some(found) if *found == model.predictor => {
            "fresh, since theirs is of another kind of objective".to_owned()
        }
        Some(found) => format!(
            "fresh, since theirs is another: width {} and {} blocks, predicts {:?}",
            found.dim, found.depth, found.target
        ),
        None => "fresh, since they have none".to_owned(),
    };
    let target_encoder = match target(checkpoint) {
        true => theirs(),
        false => "a copy of the encoder".to_owned(),
    };
    let (from, to) = grids(checkpoint, model);
    let size = |grid: PatchGrid| format!("{}x{}", grid.rows(), grid.cols());
    let positions = match from == to {
        true => theirs(),
        false => format!("resampled from {} to {} patches", size(from), size(to)),
    };
    let other = checkpoint.normalization.filter(|&theirs| theirs != ours);
    let warning = |statistics: Normalization| {
        format!(
            "the weights ask for images normalised with mean {:?} and deviation {:?}; pretraining \
             uses {:?} and {:?} (`data.mean`, `data.std`)",
            statistics.mean, statistics.std, ours.mean, ours.std
        )
    };
    Taken {
        weights: checkpoint.path.clone(),
        kind: checkpoint.kind,
        step: checkpoint.state.step,
        encoder,
        predictor,
        target_encoder,
        positions,
        warnings: other.map(warning).into_iter().collect(),
    }
}
