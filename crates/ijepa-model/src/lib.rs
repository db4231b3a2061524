//! I-JEPA (Assran et al. 2023) in Burn: ViT encoder, predictor, objective, EMA target and the
//! checkpoints of every tool around it.
//!
//! A pretrained encoder, with the statistics that it was trained with:
//!
//! ```no_run
//! use burn::tensor::Device;
//! use ijepa_model::{Checkpoint, Normalization, Pooling};
//!
//! let device = Device::flex();
//! let weights = Checkpoint::open("IN1K-vit.h.14-300e.pth.tar")?;
//! let encoder = weights.feature_encoder(&device)?;
//! let normalization = weights.normalization.unwrap_or(Normalization::IMAGENET);
//! let pixels = vec![0; 224 * 224 * 3];
//! let images = normalization.images(&pixels, [1, 224, 224], &device);
//! let features = encoder.forward_pooled(images, Pooling::Mean); // [1, 1280]
//! # Ok::<(), ijepa_model::CheckpointError>(())
//! ```
//!
//! [`VisionTransformer::from_pretrained`] is the encoder alone, and takes names on the hub.
//!
//! A tensor carries its backend at run time, so nothing here has a backend parameter: enable one
//! of the features `flex`, `ndarray`, `wgpu`, `vulkan`, `metal`, `cuda` or `rocm` and pass the
//! [`Device`](burn::tensor::Device) of your choice. No function picks a device by itself.
//!
//! # Axes
//!
//! - `batch`: images; `masks * batch`: rows of several masks, mask-major
//! - `patches`, `tokens`: patches of the grid, row by row; `kept`: those that a mask keeps
//! - `embed_dim`: width of the encoder; `dim`: of the network at hand

mod attention;
mod block;
pub mod checkpoint;
mod classifier;
mod compute;
mod config;
mod drop_path;
mod ema;
mod encoder;
mod features;
#[cfg(feature = "hub")]
pub mod hub;
mod ijepa;
mod init;
mod lora;
mod objective;
#[cfg(test)]
mod passes;
mod patch_embed;
mod per_channel;
mod pos_embed;
mod predictor;
mod preprocess;
pub mod regularize;
mod taken;
mod tokens;
mod variant;
mod views;

pub use ijepa_files as files;
pub use ijepa_kernels as kernels;
pub use ijepa_masking as masking;

pub use attention::Attention;
pub use block::{Block, BlockConfig, Mlp, Pass};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use classifier::{Classifier, ClassifierConfig};
pub use compute::{Compute, Kernels, Precision};
pub use config::ConfigError;
pub use drop_path::{GroupSeed, StochasticDepth};
pub use ema::EmaTarget;
#[doc(hidden)]
pub use ema::average;
pub use encoder::{VisionTransformer, VisionTransformerConfig};
pub use features::Pooling;
pub use ijepa::{IJepa, IJepaConfig, IJepaOutput};
pub use init::{InitScheme, Initialization, Initializer, lazy_parameter};
pub use objective::{Loss, Objective, Target, TargetBlocksError, TargetMasking};
pub use patch_embed::{PatchEmbed, PatchProjection, patchify};
pub use per_channel::PerChannel;
pub use pos_embed::{PositionResampling, sin_cos_positions};
pub use predictor::{Predictor, PredictorConfig, PredictorContext, VisionTransformerPredictor};
pub use preprocess::Normalization;
#[doc(hidden)]
pub use taken::{taken, without_value};
pub use tokens::{MaskTensors, TokenIndices};
pub use variant::VitVariant;
pub use views::{Views, ViewsOutput};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
