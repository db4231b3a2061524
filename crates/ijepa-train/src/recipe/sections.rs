//! The recipe and its sections.
//!
//! Every field has a default, so a file states only what differs from the published ViT-H/14 run.

use ijepa_model::VitVariant;
use serde::{Deserialize, Serialize};

use super::{
    ImageSize, InitScheme, Loss, MaskMode, MaskStrategy, ObjectiveKind, PatchEmbedInit,
    PredictorContext, Target, TargetMasking,
};

mod keeping;
mod training;

pub use keeping::Keeping;
pub use training::{DataSettings, EmaSettings, OptimizerSettings, RunSettings};

/// Every setting of a pretraining run.
///
/// ```
/// use ijepa_train::recipe::Recipe;
///
/// let recipe = Recipe::preset("in1k_vith14_ep300")?.with_overrides(&["optimizer.lr=5e-4"])?;
/// recipe.validate()?;
/// assert_eq!(recipe.optimizer.lr, 5e-4);
/// # Ok::<(), ijepa_train::recipe::RecipeError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// Encoder and sizes of the predictor.
    pub model: ModelSettings,
    /// How the predictor sees.
    pub predictor: PredictorSettings,
    /// What is predicted and how the error is measured.
    pub objective: ObjectiveSettings,
    /// Context and target masks.
    pub mask: MaskSettings,
    /// Crops and augmentations.
    pub data: DataSettings,
    /// AdamW and its schedules.
    pub optimizer: OptimizerSettings,
    /// Moving average that forms the target encoder.
    pub ema: EmaSettings,
    /// Batches, precision, logging and checkpoints.
    pub run: RunSettings,
}

/// Encoder and predictor: `[model]`.
///
/// The encoder is either a named architecture (`arch`) or one whose sizes are given by
/// `embed_dim`, `depth`, `num_heads`, `mlp_ratio` and `patch_size` together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// Named architecture, one of [`VitVariant::ALL`]; `None` when the sizes are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arch: Option<String>,
    /// Encoder width, a multiple of 4 and of `num_heads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embed_dim: Option<usize>,
    /// Encoder blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Attention heads of encoder and predictor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_heads: Option<usize>,
    /// Hidden width of the encoder's MLPs over its width; files may leave it out for 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<f64>,
    /// Patch side in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// Size of the training images, a whole number of patches.
    pub image_size: ImageSize,
    /// Predictor width, a multiple of 4 and of the number of heads.
    pub predictor_dim: usize,
    /// Predictor blocks.
    pub predictor_depth: usize,
    /// Largest probability of dropping a residual branch, reached in the last block; in `[0, 1)`.
    pub drop_path: f64,
    /// Initial weights.
    pub init: InitScheme,
    /// Initial weights of the patch embedding.
    pub patch_embed_init: PatchEmbedInit,
    /// Variance of the noise on the places of target patches in the predictor (StoP, whose paper
    /// takes 0.25); 0 is off.
    pub position_noise: f64,
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            arch: Some("vit_h14".to_owned()),
            embed_dim: None,
            depth: None,
            num_heads: None,
            mlp_ratio: None,
            patch_size: None,
            image_size: ImageSize::square(224),
            predictor_dim: 384,
            predictor_depth: 12,
            drop_path: 0.0,
            init: InitScheme::Normal,
            patch_embed_init: PatchEmbedInit::Same,
            position_noise: 0.0,
        }
    }
}

/// How the predictor sees: `[predictor]`; its sizes are in `[model]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictorSettings {
    /// Whether the context is computed for each target block, or once for all of them. Activation
    /// checkpointing leaves a shared context out.
    pub context: PredictorContext,
}

/// What is predicted and how the error is measured: `[objective]`.
///
/// A masked autoencoder (`kind = "mae"`) hides 75 % of the patches at random, and its predictor is
/// the decoder that predicts their pixels: `target`, `target_masking`, `loss` and `mask.strategy`
/// are "pixels", "output", "mse" and "random" where they are not given, and changing the kind puts
/// them back to that.
///
/// LeJEPA (`kind = "lejepa"`) reads the numbers of its views, `sigreg`, which is 0.05 where it is
/// not given, and `anneal`; its loss is "mse". Of `[mask]` it reads `group_size`, the images that
/// SIGReg sees together, and nothing of `[ema]`; the predictor's network is its projector. It drops
/// no paths and has no noise on positions, no centre of targets and no shared context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectiveSettings {
    /// Pretraining method.
    pub kind: ObjectiveKind,
    /// What the predictor predicts.
    pub target: Target,
    /// Where the target blocks are cut out; "output" for pixels.
    pub target_masking: TargetMasking,
    /// Whether target features pass a layer norm without affine parameters.
    pub target_norm: bool,
    /// Whether target pixels are standardised patch by patch; on by default, as masked autoencoders
    /// learn best, since the paper does not say what its table 7 did.
    pub norm_pixels: bool,
    /// Blocks of the target encoder, counted from the last, whose mean is predicted (data2vec); "1"
    /// for pixels.
    pub target_blocks: usize,
    /// Whether target features are predicted less their running mean at each patch; "features" of
    /// the "output" only.
    pub center_targets: bool,
    /// Momentum of that mean, in `[0, 1]`.
    pub center_momentum: f64,
    /// Weight of VICReg's variance term on the context features; 0 is off.
    pub variance: f64,
    /// Weight of VICReg's covariance term on the context features; 0 is off.
    pub covariance: f64,
    /// Weight of SIGReg on the context features; 0 is off. Of LeJEPA the share of SIGReg in the
    /// loss.
    pub sigreg: f64,
    /// Large views of an image, at least 1 (LeJEPA only).
    pub global_views: usize,
    /// Small views of an image (LeJEPA only).
    pub local_views: usize,
    /// Share of the schedules over which the weights of variance, covariance and SIGReg fall to 0,
    /// in `[0, 1]`; 0 keeps them.
    pub anneal: f64,
    /// Distance between prediction and target.
    pub loss: Loss,
}

impl Default for ObjectiveSettings {
    fn default() -> Self {
        Self {
            kind: ObjectiveKind::Jepa,
            target: Target::Features,
            target_masking: TargetMasking::Output,
            target_norm: true,
            norm_pixels: true,
            target_blocks: 1,
            center_targets: false,
            center_momentum: 0.9,
            variance: 0.0,
            covariance: 0.0,
            sigreg: 0.0,
            global_views: 2,
            local_views: 6,
            anneal: 0.0,
            loss: Loss::SmoothL1,
        }
    }
}

/// Context and target masks: `[mask]`. Strategies other than `multi_block` read `group_size` alone,
/// and `block` the `target_aspect`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskSettings {
    /// How context and targets are chosen.
    pub strategy: MaskStrategy,
    /// Rules of the multi-block sampler.
    pub mode: MaskMode,
    /// Consecutive samples of the whole batch that share block sizes and mask lengths.
    pub group_size: usize,
    /// Context lengths are a multiple of this many patches (uniform mode only).
    pub length_multiple: usize,
    /// Target blocks per image.
    pub num_targets: usize,
    /// Fraction of the patches in a target block, `[min, max]`.
    pub target_scale: [f64; 2],
    /// Height over width of a target block, `[min, max]`.
    pub target_aspect: [f64; 2],
    /// Context blocks per image; all of them share one pass of the target encoder.
    pub num_contexts: usize,
    /// Fraction of the patches in a context block before targets are removed, `[min, max]`.
    pub context_scale: [f64; 2],
    /// Masks keep more patches than this.
    pub min_keep: usize,
    /// Whether the context may contain target patches.
    pub allow_overlap: bool,
}

impl Default for MaskSettings {
    fn default() -> Self {
        Self {
            strategy: MaskStrategy::MultiBlock,
            mode: MaskMode::Official,
            group_size: 128,
            length_multiple: 1,
            num_targets: 4,
            target_scale: [0.15, 0.2],
            target_aspect: [0.75, 1.5],
            num_contexts: 1,
            context_scale: [0.85, 1.0],
            min_keep: 10,
            allow_overlap: false,
        }
    }
}

impl Recipe {
    /// Samples of a mask group: a batch smaller than `mask.group_size` is one group.
    pub fn mask_group_size(&self) -> usize {
        self.mask.group_size.min(self.run.batch_size)
    }

    /// Mask groups of a backward pass.
    pub fn groups_per_pass(&self) -> usize {
        (self.run.micro_batch / self.mask_group_size()).max(1)
    }

    /// Images of a backward pass.
    pub fn images_per_pass(&self) -> usize {
        self.groups_per_pass() * self.mask_group_size()
    }
}

impl ModelSettings {
    /// Keys that together replace `model.arch`.
    pub(super) const SIZES: &'static [&'static str] =
        &["embed_dim", "depth", "num_heads", "mlp_ratio", "patch_size"];

    /// Patch side in pixels; `None` if neither a known architecture nor `patch_size` is given.
    pub fn patch_side(&self) -> Option<usize> {
        match &self.arch {
            Some(arch) => VitVariant::by_name(arch).map(|variant| variant.patch_size),
            None => self.patch_size,
        }
    }
}
