//! Rules that the types of a recipe cannot express.

use ijepa_model::VitVariant;

use super::{
    DataSettings, EmaSettings, MaskMode, MaskSettings, MaskStrategy, ModelSettings, ObjectiveKind,
    OptimizerSettings, Recipe, RecipeError, RunSettings, nearest,
    rules::{
        ABOVE_ZERO, AT_LEAST_ONE, BELOW_ONE, POSITIVE, built, count, counts, ensure, integer,
        not_negative, scale, shares, within,
    },
};

impl Recipe {
    /// Checks every rule and reports the first that is broken.
    ///
    /// Whether the predictor's width fits the heads of a named architecture is left to the model,
    /// which knows them; whether the blocks fit the patch grid is left to the mask sampler.
    ///
    /// # Errors
    ///
    /// The broken rule, without a file name: [`RecipeError::in_file`] adds one.
    pub fn validate(&self) -> Result<(), RecipeError> {
        self.model.validate()?;
        self.validate_objective()?;
        self.mask.validate()?;
        self.data.validate()?;
        self.optimizer.validate()?;
        self.ema.validate()?;
        self.run.validate()?;
        self.validate_min_keep()?;
        self.validate_groups()
    }

    /// The recipe, if it keeps every rule and asks for nothing that is not built.
    ///
    /// # Errors
    ///
    /// As [`validate`](Self::validate) and [`RecipeError::NotBuilt`].
    pub fn checked(self) -> Result<Self, RecipeError> {
        self.validate()?;
        built(self.data.decoding)?;
        Ok(self)
    }

    fn validate_objective(&self) -> Result<(), RecipeError> {
        let objective = &self.objective;
        counts([
            ("objective.target_blocks", objective.target_blocks),
            ("objective.global_views", objective.global_views),
        ])?;
        integer("objective.local_views", objective.local_views as u64)?;
        not_negative([
            ("objective.variance", objective.variance),
            ("objective.covariance", objective.covariance),
            ("objective.sigreg", objective.sigreg),
        ])?;
        shares([
            ("objective.anneal", objective.anneal),
            ("objective.center_momentum", objective.center_momentum),
        ])?;
        if objective.kind == ObjectiveKind::Lejepa {
            shares([("objective.sigreg", objective.sigreg)])?;
        }
        self.validate_choices()
    }

    /// The other strategies do not read `min_keep`.
    fn validate_min_keep(&self) -> Result<(), RecipeError> {
        let patch_size = self.model.patch_side();
        let read = self.mask.strategy == MaskStrategy::MultiBlock;
        let Some(patch_size) = patch_size.filter(|_| read) else {
            return Ok(());
        };
        let size = self.model.image_size;
        let patches = (size.height / patch_size).saturating_mul(size.width / patch_size);
        ensure(self.mask.min_keep < patches, || RecipeError::MinKeep {
            found: self.mask.min_keep,
            patches,
        })
    }

    fn validate_groups(&self) -> Result<(), RecipeError> {
        let (batch_size, micro_batch) = (self.run.batch_size, self.run.micro_batch);
        let group_size = self.mask_group_size();
        ensure(batch_size.is_multiple_of(group_size), || {
            RecipeError::BatchGroups {
                batch_size,
                group_size,
            }
        })?;
        let whole_groups = micro_batch.is_multiple_of(group_size) && micro_batch <= batch_size;
        ensure(whole_groups, || RecipeError::MicroBatch {
            micro_batch,
            group_size,
            batch_size,
        })
    }
}

impl ModelSettings {
    fn validate(&self) -> Result<(), RecipeError> {
        self.validate_architecture()?;
        for side in [self.image_size.height, self.image_size.width] {
            count("model.image_size", side)?;
            if let Some(patch_size) = self.patch_side() {
                ensure(side.is_multiple_of(patch_size), || RecipeError::PatchSize {
                    side,
                    patch_size,
                })?;
            }
        }
        count("model.predictor_depth", self.predictor_depth)?;
        within("model.drop_path", self.drop_path, 0.0..1.0, BELOW_ONE)?;
        not_negative([("model.position_noise", self.position_noise)])?;
        width("model.predictor_dim", self.predictor_dim, self.num_heads)
    }

    fn validate_architecture(&self) -> Result<(), RecipeError> {
        let sizes = [
            self.embed_dim.is_some(),
            self.depth.is_some(),
            self.num_heads.is_some(),
            self.mlp_ratio.is_some(),
            self.patch_size.is_some(),
        ];
        let first = |given: bool| {
            let mut sizes = Self::SIZES.iter().zip(sizes);
            let found = sizes.find(|(_, is_given)| *is_given == given);
            found.map(|(key, _)| format!("model.{key}"))
        };
        let Some(arch) = &self.arch else {
            return match first(false) {
                Some(key) => Err(RecipeError::MissingSize {
                    key,
                    sizes: Self::SIZES,
                }),
                None => self.validate_sizes(),
            };
        };
        if let Some(key) = first(true) {
            let arch = arch.clone();
            return Err(RecipeError::ArchAndSize { arch, key });
        }
        let known = VitVariant::ALL.map(|variant| variant.name);
        ensure(known.contains(&arch.as_str()), || {
            RecipeError::UnknownArch {
                found: arch.clone(),
                nearest: nearest::nearest(arch, known),
                known: known.to_vec(),
            }
        })
    }

    fn validate_sizes(&self) -> Result<(), RecipeError> {
        counts([
            ("model.depth", self.depth.unwrap_or(1)),
            ("model.num_heads", self.num_heads.unwrap_or(1)),
            ("model.patch_size", self.patch_size.unwrap_or(1)),
        ])?;
        let mlp_ratio = self.mlp_ratio.unwrap_or(1.0);
        within("model.mlp_ratio", mlp_ratio, ABOVE_ZERO, POSITIVE)?;
        let embed_dim = self.embed_dim.unwrap_or(4);
        width("model.embed_dim", embed_dim, self.num_heads)
    }
}

impl MaskSettings {
    fn validate(&self) -> Result<(), RecipeError> {
        counts([
            ("mask.group_size", self.group_size),
            ("mask.length_multiple", self.length_multiple),
            ("mask.num_targets", self.num_targets),
            ("mask.num_contexts", self.num_contexts),
        ])?;
        integer("mask.min_keep", self.min_keep as u64)?;
        scale("mask.target_scale", self.target_scale)?;
        scale("mask.context_scale", self.context_scale)?;
        let [min, max] = self.target_aspect;
        ensure(0.0 < min && min <= max && max < f64::INFINITY, || {
            RecipeError::Interval {
                key: "mask.target_aspect",
                min,
                max,
                expected: "0 < min <= max",
            }
        })?;
        let found = self.length_multiple;
        ensure(found == 1 || self.mode == MaskMode::Uniform, || {
            RecipeError::LengthMultiple { found }
        })
    }
}

/// Hues turn by a fifth of the strength, and by half the circle at most.
const JITTER: &str = "0 to 2.5";
const UNTIL_THE_END: &str = "0 or more and at most `optimizer.epochs`";

impl DataSettings {
    fn validate(&self) -> Result<(), RecipeError> {
        scale("data.crop_scale", self.crop_scale)?;
        within("data.color_jitter", self.color_jitter, 0.0..=2.5, JITTER)?;
        self.validate_channels()?;
        shares([("data.max_bad_fraction", self.max_bad_fraction)])
    }
}

impl OptimizerSettings {
    fn validate(&self) -> Result<(), RecipeError> {
        count("optimizer.epochs", self.epochs)?;
        integer("optimizer.steps_per_epoch", self.steps_per_epoch as u64)?;
        not_negative([
            ("optimizer.lr", self.lr),
            ("optimizer.start_lr", self.start_lr),
            ("optimizer.final_lr", self.final_lr),
            ("optimizer.weight_decay", self.weight_decay),
            ("optimizer.final_weight_decay", self.final_weight_decay),
            ("optimizer.clip_grad", self.clip_grad),
        ])?;
        let (warmup, end) = (self.warmup_epochs, self.epochs as f64);
        within("optimizer.warmup_epochs", warmup, 0.0..=end, UNTIL_THE_END)?;
        self.adam.validate()?;
        // A shorter schedule than the run would raise the rate again and the momentum above its
        // end.
        let ipe_scale = self.ipe_scale;
        within(
            "optimizer.ipe_scale",
            ipe_scale,
            1.0..=f64::MAX,
            AT_LEAST_ONE,
        )
    }
}

impl EmaSettings {
    fn validate(&self) -> Result<(), RecipeError> {
        shares([("ema.start", self.start), ("ema.end", self.end)])
    }
}

impl RunSettings {
    fn validate(&self) -> Result<(), RecipeError> {
        counts([
            ("run.batch_size", self.batch_size),
            ("run.eval_every_epochs", self.eval_every_epochs),
        ])?;
        self.keeping.validate()?;
        integer("run.micro_batch", self.micro_batch as u64)?;
        integer("run.seed", self.seed)
    }
}

/// A width holds the positions of two axes and, if the heads are known, whole heads.
fn width(key: &'static str, found: usize, num_heads: Option<usize>) -> Result<(), RecipeError> {
    count(key, found)?;
    ensure(found.is_multiple_of(4), || RecipeError::PositionWidth {
        key,
        found,
    })?;
    let num_heads = num_heads.unwrap_or(1);
    ensure(found.is_multiple_of(num_heads), || RecipeError::HeadWidth {
        key,
        found,
        num_heads,
    })
}

#[cfg(test)]
mod tests {
    use ijepa_data::Decode;

    use super::*;

    #[test]
    fn what_needs_another_build_is_refused_by_name() {
        let fast = Recipe::default().with_overrides(&["data.decode=fast"]);
        let found = fast.unwrap().checked().map_err(|error| error.to_string());
        let expected =
            "`data.decode` is \"fast\", which needs a build with the Cargo feature `turbojpeg`";
        match Decode::Fast.is_built() {
            true => assert!(found.is_ok()),
            false => assert_eq!(found.unwrap_err(), expected),
        }
    }

    #[test]
    fn rules_at_their_limits_hold() {
        for overrides in [
            &["mask.mode=uniform", "mask.length_multiple=8"][..],
            &["run.batch_size=100"],
            &["run.micro_batch=2048"],
            &["run.micro_batch=384"],
            &["mask.min_keep=255"],
            &["mask.context_scale=[1, 1]"],
            &["optimizer.warmup_epochs=300", "data.color_jitter=2.5"],
            &["optimizer.warmup_epochs=0", "optimizer.lr=0"],
            &["model.image_size=[224, 448]"],
            &["run.seed=9223372036854775807"],
        ] {
            let recipe = Recipe::default().with_overrides(overrides).unwrap();
            recipe.validate().unwrap();
        }
    }

    #[test]
    fn what_no_run_can_do_is_refused() {
        for (change, expected) in [
            (
                "data.color_jitter=3",
                "`data.color_jitter` is 3, expected 0 to 2.5",
            ),
            (
                "optimizer.warmup_epochs=301",
                "`optimizer.warmup_epochs` is 301, expected 0 or more and at most `optimizer.epochs`",
            ),
        ] {
            let recipe = Recipe::default().with_overrides(&[change]).unwrap();
            assert_eq!(recipe.validate().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn integers_that_cannot_be_written_are_refused() {
        let changes: [fn(&mut Recipe); 6] = [
            |recipe| recipe.run.seed = u64::MAX,
            |recipe| recipe.run.micro_batch = usize::MAX,
            |recipe| recipe.run.keeping.checkpoint_every_steps = usize::MAX,
            |recipe| recipe.run.batch_size = usize::MAX,
            |recipe| recipe.optimizer.steps_per_epoch = usize::MAX,
            |recipe| recipe.mask.min_keep = usize::MAX,
        ];
        for change in changes {
            let mut recipe = Recipe::default();
            change(&mut recipe);
            let message = recipe.validate().unwrap_err().to_string();
            let end = " is 18446744073709551615, expected at most 9223372036854775807";
            assert!(message.ends_with(end), "{message}");
        }
    }
}
