//! Choices that another one leaves no choice about.

use super::{
    MaskStrategy, ObjectiveKind, Recipe, RecipeError, Target, choices::spelt, rules::ensure,
};

/// What multi-block masks alone are made by.
const OF_BLOCKS: &[&str] = &[
    "mask.mode",
    "mask.length_multiple",
    "mask.num_targets",
    "mask.target_scale",
    "mask.num_contexts",
    "mask.context_scale",
    "mask.min_keep",
    "mask.allow_overlap",
];
const OF_SHAPES: &[&str] = &["mask.target_aspect"];
const OF_FEATURES: &[&str] = &["objective.target_norm"];
const OF_PIXELS: &[&str] = &["objective.norm_pixels"];
const OF_VIEWS: &[&str] = &["objective.global_views", "objective.local_views"];
const OF_AVERAGES: &[&str] = &["ema.start", "ema.end"];

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

    /// Says which of `overrides` change nothing, since another key leaves theirs unread. Recipes
    /// state every key, so one that a file has is not asked for.
    pub fn ignored<S: AsRef<str>>(&self, overrides: &[S]) -> Vec<String> {
        let (mask, kind, target) = (
            self.mask.strategy,
            self.objective.kind,
            self.objective.target,
        );
        let strategy = ("mask.strategy", spelt(&mask));
        let beside_kind = ("objective.kind", spelt(&kind));
        let beside_target = ("objective.target", spelt(&target));
        let has_aspect = matches!(mask, MaskStrategy::MultiBlock | MaskStrategy::Block);
        let is_lejepa = kind == ObjectiveKind::Lejepa;
        let rows = [
            (mask != MaskStrategy::MultiBlock, &strategy, OF_BLOCKS),
            (!has_aspect, &strategy, OF_SHAPES),
            (!is_lejepa, &beside_kind, OF_VIEWS),
            (is_lejepa, &beside_kind, OF_AVERAGES),
            (is_lejepa, &beside_kind, OF_FEATURES),
            (target == Target::Pixels, &beside_target, OF_FEATURES),
            (target == Target::Features, &beside_target, OF_PIXELS),
        ];
        let keys = overrides
            .iter()
            .filter_map(|it| it.as_ref().split_once('='));
        let said = keys.filter_map(|(key, _)| {
            let key = key.trim();
            let mut rows = rows.iter();
            let (_, (beside, value), _) =
                rows.find(|(applies, _, of)| *applies && of.contains(&key))?;
            Some(format!(
                "`{key}` changes nothing where `{beside}` is {value:?}"
            ))
        });
        said.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_another_one_leaves_unread_are_said() {
        let ignored = |overrides: &[&str]| {
            let recipe = Recipe::preset("scenes_vit_nano").unwrap();
            recipe.with_overrides(overrides).unwrap().ignored(overrides)
        };
        let nothing: [&str; 0] = [];
        assert_eq!(ignored(&["mask.num_targets=2", "ema.start=0.5"]), nothing);
        assert_eq!(
            ignored(&[
                "objective.kind=mae",
                "mask.num_targets=2",
                "mask.group_size=8"
            ]),
            ["`mask.num_targets` changes nothing where `mask.strategy` is \"random\""]
        );
        assert_eq!(
            ignored(&["mask.strategy=block", "mask.target_aspect=[1, 1]"]),
            nothing
        );
        assert_eq!(
            ignored(&["objective.kind=lejepa", "ema.end=0.9", "mask.num_targets=2"]),
            ["`ema.end` changes nothing where `objective.kind` is \"lejepa\""]
        );
        assert_eq!(
            ignored(&["objective.norm_pixels=false"]),
            ["`objective.norm_pixels` changes nothing where `objective.target` is \"features\""]
        );
    }
}
