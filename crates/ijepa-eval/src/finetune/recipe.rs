//! Every setting of fine-tuning as strict TOML.

use ijepa_data::{DataError, Decoding, Preprocess};
use ijepa_model::{Kernels, Precision};
use ijepa_train::{
    AdamWConfig,
    recipe::{Keeping, Settings},
};
use serde::{Deserialize, Serialize};

use super::Unfreeze;

/// Name and text of the protocols that come with the crate.
const PROTOCOLS: &[(&str, &str)] = &[
    (
        "lowshot-1pct",
        include_str!("../../protocols/lowshot-1pct.toml"),
    ),
    ("full", include_str!("../../protocols/full.toml")),
];

/// Every setting of a fine-tuning run; by default those of `lowshot-1pct`.
///
/// ```
/// use ijepa_eval::FinetuneRecipe;
/// use ijepa_train::recipe::Settings;
///
/// let recipe = FinetuneRecipe::preset("full")?.with_overrides(&["optimizer.lr=5e-5"])?;
/// recipe.validate()?;
/// assert_eq!((recipe.optimizer.lr, recipe.data.mixup), (5e-5, 0.8));
/// # Ok::<(), ijepa_train::RecipeError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FinetuneRecipe {
    /// What is trained.
    pub model: ModelSettings,
    /// Augmentations and the preprocessing of test images.
    pub data: DataSettings,
    /// AdamW and its schedule.
    pub optimizer: OptimizerSettings,
    /// Batches, precision, logging and checkpoints.
    pub run: RunSettings,
}

/// What is trained: `[model]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// Trainable blocks, counted from the end; norm and head always are.
    pub unfreeze: Unfreeze,
    /// Rank of the pairs of matrices that are trained instead of the weights of those blocks
    /// (LoRA); 0 trains the weights.
    pub lora_rank: usize,
    /// Largest probability of dropping a residual branch, reached in the last block; in `[0, 1)`.
    pub drop_path: f64,
    /// Side of the images, to which positions are resampled; 0 leaves the weights' own.
    pub image_size: usize,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            unfreeze: Unfreeze::All,
            lora_rank: 0,
            drop_path: 0.0,
            image_size: 0,
        }
    }
}

/// What `data.preprocess` takes.
const PREPROCESS: &str = "auto, eval, fill, squash, crop:MARGIN with at least 1, or none";

/// How test images get the encoder's size, written `auto` or as [`Preprocess`] is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum EvalPreprocess {
    /// [`Preprocess::Eval`] up to 224 pixels, [`Preprocess::Fill`] above (MAE's fine-tuning).
    #[default]
    Auto,
    /// The same at all sizes.
    As(Preprocess),
}

impl From<Preprocess> for EvalPreprocess {
    /// What makes the same of images; [`Preprocess::Eval`], by which others are read unless told
    /// otherwise, is `auto`.
    fn from(preprocess: Preprocess) -> Self {
        match preprocess {
            Preprocess::Eval => Self::Auto,
            other => Self::As(other),
        }
    }
}

impl TryFrom<String> for EvalPreprocess {
    type Error = DataError;

    fn try_from(text: String) -> Result<Self, DataError> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            other => Ok(Self::As(other.parse()?)),
        }
    }
}

impl From<EvalPreprocess> for String {
    fn from(preprocess: EvalPreprocess) -> Self {
        match preprocess {
            EvalPreprocess::Auto => "auto".to_owned(),
            EvalPreprocess::As(preprocess) => preprocess.to_string(),
        }
    }
}

/// Augmentations and the preprocessing of test images: `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSettings {
    /// Share of an image's area that a random crop keeps, uniform on `[min, max)`.
    pub crop_scale: [f64; 2],
    /// Whether half of the images are mirrored.
    pub flip: bool,
    /// RandAugment as timm writes it, or `none`.
    pub rand_augment: String,
    /// Share of the images in which a rectangle is replaced by noise.
    pub erasing: f64,
    /// Parameter of mixup's Beta distribution; 0 is off.
    pub mixup: f64,
    /// Parameter of CutMix's Beta distribution; 0 is off.
    pub cutmix: f64,
    /// Share of the batches that are mixed, where mixup or CutMix is on.
    pub mix_probability: f64,
    /// Share of CutMix among them, where both are on.
    pub cutmix_share: f64,
    /// How test images get the encoder's size.
    pub preprocess: EvalPreprocess,
    /// How files become pixels: `decode`, `orientation` and `sixteen_bit`, as in pretraining.
    #[serde(flatten)]
    pub decoding: Decoding,
    /// Share of the training images that may be unreadable, rounded up to whole images.
    pub max_bad_fraction: f64,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            crop_scale: [0.08, 1.0],
            flip: true,
            rand_augment: "rand-m9-mstd0.5-inc1".to_owned(),
            erasing: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            mix_probability: 1.0,
            cutmix_share: 0.5,
            preprocess: EvalPreprocess::Auto,
            decoding: Decoding::default(),
            max_bad_fraction: 0.01,
        }
    }
}

/// AdamW and its schedule: `[optimizer]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OptimizerSettings {
    /// Peak learning rate of the head.
    pub lr: f64,
    /// Whether `lr` is for 256 images: it is then multiplied by `run.batch_size / 256`.
    pub lr_is_base: bool,
    /// Learning rate at the end.
    pub min_lr: f64,
    /// Length of the linear warm-up from 0 in epochs, less than `epochs`.
    pub warmup_epochs: f64,
    /// Epochs of the run.
    pub epochs: usize,
    /// Factor between the learning rates of neighbouring layers, 1 for the head; in `(0, 1]`.
    pub layer_decay: f64,
    /// Weight decay of parameters of more than one dimension.
    pub weight_decay: f64,
    /// Constants of AdamW.
    #[serde(flatten)]
    pub adam: AdamWConfig,
    /// Largest global norm of the gradient; 0 leaves it alone.
    pub clip_grad: f64,
    /// Share of the target that goes to all classes alike, in `[0, 1)`.
    pub label_smoothing: f64,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self {
            lr: 3e-5,
            lr_is_base: false,
            min_lr: 1e-6,
            warmup_epochs: 5.0,
            epochs: 50,
            layer_decay: 0.75,
            weight_decay: 0.05,
            adam: AdamWConfig::default(),
            clip_grad: 0.0,
            label_smoothing: 0.1,
        }
    }
}

/// Batches, precision, logging and checkpoints: `[run]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    /// Images of an optimizer step.
    pub batch_size: usize,
    /// Images of a forward pass: an even divisor of the batch size, or 0 for all.
    pub micro_batch: usize,
    /// Number type of the operands of matrix products; see `run.precision` of pretraining.
    pub precision: Precision,
    /// Implementation of the operations that have a kernel.
    pub kernels: Kernels,
    /// Whether blocks keep only their input for the backward pass.
    pub activation_checkpointing: bool,
    /// Seed of head, order, augmentations, mixing and drop path.
    pub seed: u64,
    /// Rows of `metrics.csv` and checkpoints.
    #[serde(flatten)]
    pub keeping: Keeping,
    /// Epochs between evaluations; where a run ends is always evaluated.
    pub eval_every_epochs: usize,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            batch_size: 512,
            micro_batch: 0,
            precision: Precision::Bf16,
            kernels: Kernels::Fused,
            activation_checkpointing: false,
            seed: 0,
            keeping: Keeping::default(),
            eval_every_epochs: 1,
        }
    }
}

impl Settings for FinetuneRecipe {
    const FILE: &'static str = ijepa_train::run::files::FINE_TUNING;

    fn every_key() -> Self {
        Self::default()
    }

    fn presets() -> &'static [(&'static str, &'static str)] {
        PROTOCOLS
    }

    fn words_for(key: &str) -> Option<String> {
        match key {
            "model.unfreeze" => Some("\"all\" or a whole number of blocks".to_owned()),
            "optimizer.betas" => Some("two numbers".to_owned()),
            "data.preprocess" => Some(PREPROCESS.to_owned()),
            _ => None,
        }
    }
}
