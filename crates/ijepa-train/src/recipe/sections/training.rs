//! What trains: data, optimizer, moving average, and how a run goes.

use ijepa_data::Decoding;
use serde::{Deserialize, Serialize};

use super::Keeping;
use crate::{
    adamw::AdamWConfig,
    recipe::{DecaySchedule, Kernels, OnCollapse, OnNan, Precision, Reduce},
};

/// Crops and augmentations: `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataSettings {
    /// Fraction of the image area in a random resized crop, `[min, max]`.
    pub crop_scale: [f64; 2],
    /// Whether images are mirrored left to right with probability 0.5.
    pub flip: bool,
    /// Strength of the colour distortion, at most 2.5, where hues turn by half the circle; 0 is
    /// off.
    pub color_jitter: f64,
    /// `decode`, `orientation` and `sixteen_bit`; its channels are not read, those of the data are
    /// ([`channel_decoding`](Self::channel_decoding)).
    #[serde(flatten)]
    pub decoding: Decoding,
    /// Channels of the images and of the encoder, 1 to 16; three are red, green and blue.
    pub channels: usize,
    /// Names of the channels; none calls them "0", "1", ...
    pub bands: Vec<String>,
    /// Bands that pictures show: three as red, green and blue, one as grey; none shows the first.
    pub picture: Vec<String>,
    /// Mean of each channel where white is 1 (of floats as they are), which is subtracted.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel on that scale, which divides.
    pub std: Vec<f64>,
    /// Fraction of unreadable images beyond which a run stops, in `[0, 1]`, rounded up to whole
    /// images.
    pub max_bad_fraction: f64,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            crop_scale: [0.3, 1.0],
            flip: false,
            color_jitter: 0.0,
            decoding: Decoding::default(),
            channels: 3,
            bands: Vec::new(),
            picture: Vec::new(),
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
            max_bad_fraction: 0.01,
        }
    }
}

impl DataSettings {
    /// How files become pixels of these channels.
    pub fn channel_decoding(&self) -> Decoding {
        Decoding {
            channels: self.channels,
            ..self.decoding
        }
    }
}

/// AdamW and its schedules: `[optimizer]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OptimizerSettings {
    /// Peak learning rate, reached at the end of the warm-up.
    pub lr: f64,
    /// Whether `lr`, `start_lr` and `final_lr` are for 256 images: they are then multiplied by
    /// `run.batch_size / 256`.
    pub lr_is_base: bool,
    /// Learning rate at the start of the warm-up.
    pub start_lr: f64,
    /// Learning rate at the end of the schedule.
    pub final_lr: f64,
    /// Length of the linear warm-up in epochs, at most `epochs`.
    pub warmup_epochs: f64,
    /// Length of the run in epochs.
    pub epochs: usize,
    /// Optimizer steps in an epoch; 0 takes as many whole batches as the data has.
    pub steps_per_epoch: usize,
    /// Length of the schedules over the length of the run, at least 1.
    pub ipe_scale: f64,
    /// Weight decay at the start; parameters with one dimension are never decayed.
    pub weight_decay: f64,
    /// Weight decay at the end.
    pub final_weight_decay: f64,
    /// Course of the weight decay between both.
    pub weight_decay_schedule: DecaySchedule,
    /// Constants of AdamW.
    #[serde(flatten)]
    pub adam: AdamWConfig,
    /// Largest global gradient norm; 0 does not clip.
    pub clip_grad: f64,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            lr_is_base: false,
            start_lr: 2e-4,
            final_lr: 1e-6,
            warmup_epochs: 40.0,
            epochs: 300,
            steps_per_epoch: 0,
            ipe_scale: 1.0,
            weight_decay: 0.04,
            final_weight_decay: 0.4,
            weight_decay_schedule: DecaySchedule::Cosine,
            adam: AdamWConfig::default(),
            clip_grad: 0.0,
        }
    }
}

/// Moving average that forms the target encoder: `[ema]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmaSettings {
    /// Momentum of the first step, in `[0, 1]`.
    pub start: f64,
    /// Momentum that the linear ramp ends at, in `[0, 1]`.
    pub end: f64,
}

impl Default for EmaSettings {
    fn default() -> Self {
        Self {
            start: 0.996,
            end: 1.0,
        }
    }
}

/// Batches, precision, logging and checkpoints: `[run]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSettings {
    /// Images of an optimizer step over all devices and accumulation steps.
    pub batch_size: usize,
    /// Images between two backward passes, whole mask groups, each with a forward pass of its
    /// own; 0 is one group.
    pub micro_batch: usize,
    /// Number type of the operands of matrix products. On a CPU bf16 takes AVX512-BF16; without it
    /// they are f32.
    pub precision: Precision,
    /// Implementation of the operations that have a kernel.
    pub kernels: Kernels,
    /// Keep only the input of each block for the backward pass: about a third more work for a
    /// tenth of the memory.
    pub activation_checkpointing: bool,
    /// Seed of everything random in a run, at most `i64::MAX`.
    pub seed: u64,
    /// Rows of `metrics.csv` and checkpoints.
    #[serde(flatten)]
    pub keeping: Keeping,
    /// Epochs between two evaluations, where evaluation data is given.
    pub eval_every_epochs: usize,
    /// Order in which gradients are added up.
    pub reduce: Reduce,
    /// Whether processes share the moments of the optimizer: each keeps a part of them.
    pub shard_optimizer: bool,
    /// Reaction to representations that collapse.
    pub on_collapse: OnCollapse,
    /// Reaction to a gradient that is not finite.
    pub on_nan: OnNan,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            batch_size: 2048,
            micro_batch: 0,
            precision: Precision::Bf16,
            kernels: Kernels::Fused,
            activation_checkpointing: false,
            seed: 0,
            keeping: Keeping::default(),
            eval_every_epochs: 1,
            reduce: Reduce::Auto,
            shard_optimizer: false,
            on_collapse: OnCollapse::Warn,
            on_nan: OnNan::Stop,
        }
    }
}
