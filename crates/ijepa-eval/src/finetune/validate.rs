//! Rules that the types of the settings cannot express.

use ijepa_data::{MixingConfig, RandAugment, RandomErasing};
use ijepa_train::{
    RecipeError,
    recipe::rules::{
        BELOW_ONE, built, count, counts, ensure, integer, not_negative, scale, shares, within,
    },
};

use super::{DataSettings, FinetuneRecipe, OptimizerSettings, RunSettings};

const EVEN_DIVISOR: &str = "0 or an even divisor of `run.batch_size`";
const EVEN_BATCH: &str = "an even number, since mixup and CutMix pair images";
const BEFORE_THE_END: &str = "0 or more and less than `optimizer.epochs`";

impl FinetuneRecipe {
    /// Checks every rule and reports the first that is broken.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn validate(&self) -> Result<(), RecipeError> {
        within("model.drop_path", self.model.drop_path, 0.0..1.0, BELOW_ONE)?;
        integer("model.image_size", self.model.image_size as u64)?;
        integer("model.lora_rank", self.model.lora_rank as u64)?;
        self.data.validate()?;
        self.optimizer.validate()?;
        self.run.validate()?;
        let batch_size = self.run.batch_size;
        let even = !self.mixes() || batch_size.is_multiple_of(2);
        ensure(even, || RecipeError::OutOfRange {
            key: "run.batch_size",
            found: batch_size as f64,
            expected: EVEN_BATCH,
        })
    }

    /// Whether any batch is mixed.
    pub(crate) fn mixes(&self) -> bool {
        let DataSettings { mixup, cutmix, .. } = self.data;
        mixup > 0.0 || cutmix > 0.0
    }
}

impl DataSettings {
    fn validate(&self) -> Result<(), RecipeError> {
        built(self.decoding)?;
        scale("data.crop_scale", self.crop_scale)?;
        self.distortions()?;
        for (key, alpha) in [("data.mixup", self.mixup), ("data.cutmix", self.cutmix)] {
            ensure(MixingConfig::is_alpha(alpha), || RecipeError::OutOfRange {
                key,
                found: alpha,
                expected: MixingConfig::ALPHA,
            })?;
        }
        shares([
            ("data.erasing", self.erasing),
            ("data.mix_probability", self.mix_probability),
            ("data.cutmix_share", self.cutmix_share),
            ("data.max_bad_fraction", self.max_bad_fraction),
        ])
    }

    /// The policy that `rand_augment` names.
    pub(crate) fn distortions(&self) -> Result<Option<RandAugment>, RecipeError> {
        if self.rand_augment == "none" {
            return Ok(None);
        }
        let policy = self.rand_augment.parse::<RandAugment>();
        policy.map(Some).map_err(|_| RecipeError::WrongType {
            key: "data.rand_augment".to_owned(),
            found: format!("string {:?}", self.rand_augment),
            expected: "\"none\" or a policy such as \"rand-m9-mstd0.5-inc1\"".to_owned(),
        })
    }

    pub(crate) fn mixing(&self) -> MixingConfig {
        MixingConfig {
            mixup_alpha: self.mixup,
            cutmix_alpha: self.cutmix,
            probability: self.mix_probability,
            cutmix_share: self.cutmix_share,
        }
    }

    pub(crate) fn random_erasing(&self) -> RandomErasing {
        RandomErasing {
            probability: self.erasing,
            ..RandomErasing::default()
        }
    }
}

impl OptimizerSettings {
    fn validate(&self) -> Result<(), RecipeError> {
        count("optimizer.epochs", self.epochs)?;
        not_negative([
            ("optimizer.lr", self.lr),
            ("optimizer.min_lr", self.min_lr),
            ("optimizer.weight_decay", self.weight_decay),
            ("optimizer.clip_grad", self.clip_grad),
        ])?;
        let (warmup, end) = (self.warmup_epochs, self.epochs as f64);
        within("optimizer.warmup_epochs", warmup, 0.0..end, BEFORE_THE_END)?;
        self.adam.validate()?;
        let decay = self.layer_decay;
        ensure(0.0 < decay && decay <= 1.0, || RecipeError::OutOfRange {
            key: "optimizer.layer_decay",
            found: decay,
            expected: "more than 0 and at most 1",
        })?;
        let smoothing = self.label_smoothing;
        within("optimizer.label_smoothing", smoothing, 0.0..1.0, BELOW_ONE)
    }
}

impl RunSettings {
    fn validate(&self) -> Result<(), RecipeError> {
        counts([
            ("run.batch_size", self.batch_size),
            ("run.eval_every_epochs", self.eval_every_epochs),
        ])?;
        self.keeping.validate()?;
        integer("run.seed", self.seed)?;
        let micro = self.micro_batch;
        let divides = micro == 0
            || micro == self.batch_size
            || (micro.is_multiple_of(2) && self.batch_size.is_multiple_of(micro));
        ensure(divides, || RecipeError::OutOfRange {
            key: "run.micro_batch",
            found: micro as f64,
            expected: EVEN_DIVISOR,
        })
    }
}
