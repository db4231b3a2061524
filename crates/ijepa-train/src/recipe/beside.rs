//! Choices that another one leaves no choice about.

use super::{ObjectiveKind, Recipe, RecipeError, Target, choices::spelt, rules::ensure};

impl Recipe {
    /// Checks that no key says what another one does not let it say.
    pub(super) fn validate_choices(&self) -> Result<(), RecipeError> {
        let Self { objective, run, .. } = self;
        let choice = |key| match key {
            "objective.target" => spelt(&objective.target),
            "objective.target_masking" => spelt(&objective.target_masking),
            "objective.target_blocks" => objective.target_blocks.to_string(),
            "objective.center_targets" => objective.center_targets.to_string(),
            "objective.loss" => spelt(&objective.loss),
            "objective.variance" => objective.variance.to_string(),
            "objective.covariance" => objective.covariance.to_string(),
            "mask.strategy" => spelt(&self.mask.strategy),
            "data.decode" => self.data.decoding.decode.to_string(),
            "predictor.context" => spelt(&self.predictor.context),
            "model.drop_path" => self.model.drop_path.to_string(),
            "model.position_noise" => self.model.position_noise.to_string(),
            "run.kernels" => spelt(&run.kernels),
            _ => unreachable!("no rule is about `{key}`"),
        };
        let is = |kind| objective.kind == kind;
        let centered = objective.center_targets;
        let centered = (centered, ("objective.center_targets", "true"));
        let lejepa = (is(ObjectiveKind::Lejepa), ("objective.kind", "lejepa"));
        let mae = (is(ObjectiveKind::Mae), ("objective.kind", "mae"));
        let pixels = objective.target == Target::Pixels;
        let pixels = (pixels, ("objective.target", "pixels"));
        let recomputes = ("run.activation_checkpointing", "true");
        let recomputes = (run.activation_checkpointing, recomputes);
        let rows = [
            (centered, "objective.target", "features"),
            (centered, "objective.target_masking", "output"),
            (lejepa, "objective.target", "features"),
            (lejepa, "objective.loss", "mse"),
            (lejepa, "objective.target_masking", "output"),
            (lejepa, "objective.target_blocks", "1"),
            (lejepa, "objective.center_targets", "false"),
            (lejepa, "objective.variance", "0"),
            (lejepa, "objective.covariance", "0"),
            (lejepa, "model.drop_path", "0"),
            (lejepa, "model.position_noise", "0"),
            (lejepa, "predictor.context", "separate"),
            // Views are cut from all pixels.
            (lejepa, "data.decode", "exact"),
            (mae, "objective.target", "pixels"),
            (mae, "mask.strategy", "random"),
            (pixels, "objective.target_masking", "output"),
            (pixels, "objective.target_blocks", "1"),
            (recomputes, "run.kernels", "fused"),
        ];
        for ((applies, (beside, value)), key, expected) in rows {
            let found = choice(key);
            ensure(!applies || found == expected, || RecipeError::Beside {
                key,
                found: found.clone(),
                expected,
                beside,
                value,
            })?;
        }
        Ok(())
    }
}
