//! Every setting of fine-tuning as strict TOML.

use ijepa_data::Decoding;
use ijepa_model::{Kernels, Precision};
use ijepa_train::recipe::Settings;
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
    pub model: Model,
    /// Augmentations and the preprocessing of test images.
    pub data: Data,
    /// AdamW and its schedule.
    pub optimizer: Optimizer,
    /// Batches, precision, logging and checkpoints.
    pub run: Run,
}

/// What is trained: `[model]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
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

impl Default for Model {
    fn default() -> Self {
        Self {
            unfreeze: Unfreeze::All,
            lora_rank: 0,
            drop_path: 0.0,
            image_size: 0,
        }
    }
}

/// How test images get the encoder's size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvalPreprocess {
    /// `eval` up to 224 pixels, `fill` above (MAE's fine-tuning).
    #[default]
    Auto,
    /// Short side to 8/7 of the size, then the centre.
    Eval,
    /// Short side to the size, then the centre.
    Fill,
    /// To the exact size.
    Squash,
    /// Images have the size.
    None,
}

/// Augmentations and the preprocessing of test images: `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Data {
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

impl Default for Data {
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
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
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
    /// Decay rates of the two moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Largest global norm of the gradient; 0 leaves it alone.
    pub clip_grad: f64,
    /// Share of the target that goes to all classes alike, in `[0, 1)`.
    pub label_smoothing: f64,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            lr: 3e-5,
            lr_is_base: false,
            min_lr: 1e-6,
            warmup_epochs: 5.0,
            epochs: 50,
            layer_decay: 0.75,
            weight_decay: 0.05,
            betas: [0.9, 0.999],
            eps: 1e-8,
            clip_grad: 0.0,
            label_smoothing: 0.1,
        }
    }
}

/// Batches, precision, logging and checkpoints: `[run]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Run {
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
    /// Steps between rows of `metrics.csv`.
    pub log_every_steps: usize,
    /// Steps between checkpoints; 0 is one each epoch.
    pub checkpoint_every_steps: usize,
    /// Minutes after which there is a checkpoint more; 0 is never.
    pub checkpoint_every_minutes: f64,
    /// Checkpoints kept.
    pub keep_last: usize,
    /// Epochs between evaluations; where a run ends is always evaluated.
    pub eval_every_epochs: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            batch_size: 512,
            micro_batch: 0,
            precision: Precision::Bf16,
            kernels: Kernels::Fused,
            activation_checkpointing: false,
            seed: 0,
            log_every_steps: 10,
            checkpoint_every_steps: 0,
            checkpoint_every_minutes: 0.0,
            keep_last: 2,
            eval_every_epochs: 1,
        }
    }
}

impl Settings for FinetuneRecipe {
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
            _ => None,
        }
    }
}
