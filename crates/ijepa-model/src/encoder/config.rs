//! Sizes of an encoder.

use burn::tensor::Device;
use ijepa_masking::PatchGrid;
use serde::{Deserialize, Serialize};

use super::VisionTransformer;
use crate::{
    block::BlockConfig,
    compute::Compute,
    config::{self, ConfigError},
    init::{Initialization, Initializer, LAYER_NORM_EPSILON},
    patch_embed::PatchEmbed,
    variant::VitVariant,
};

/// Channels of the images that this workspace reads.
const RGB_CHANNELS: usize = 3;

/// Sizes of an encoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisionTransformerConfig {
    /// Image height and width in pixels.
    pub image_size: [usize; 2],
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Channels of an image, 3 for colours.
    #[serde(default = "rgb_channels")]
    pub in_chans: usize,
    /// Token width, D in the paper.
    pub embed_dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads of each block.
    pub num_heads: usize,
    /// Hidden width of the MLPs over `embed_dim`.
    pub mlp_ratio: f64,
    /// Drop-path rate of the last block; 0 in pretraining. Only forward passes that are given a
    /// [`StochasticDepth`](crate::StochasticDepth) drop anything.
    #[serde(default)]
    pub drop_path: f64,
    /// Added to the variance by all norms; 1e-6 in the paper and whenever a file does not say.
    #[serde(default = "default_epsilon")]
    pub layer_norm_eps: f64,
}

/// What a file that does not say it means.
pub(crate) fn rgb_channels() -> usize {
    RGB_CHANNELS
}

fn default_epsilon() -> f64 {
    LAYER_NORM_EPSILON
}

impl VisionTransformerConfig {
    /// An encoder of images of three channels and `image_size`, `[height, width]` in pixels, in
    /// square patches of `patch_size`: MLPs are four times as wide as tokens, nothing is dropped.
    pub fn new(
        image_size: [usize; 2],
        patch_size: usize,
        embed_dim: usize,
        depth: usize,
        num_heads: usize,
    ) -> Self {
        Self {
            image_size,
            patch_size,
            in_chans: RGB_CHANNELS,
            embed_dim,
            depth,
            num_heads,
            mlp_ratio: 4.0,
            drop_path: 0.0,
            layer_norm_eps: LAYER_NORM_EPSILON,
        }
    }

    /// A named size (`vit_ti16`, `vit_s16`, `vit_b16`, `vit_l16`, `vit_h14`, `vit_h16`,
    /// `vit_g16`) for images of 224 pixels.
    ///
    /// # Errors
    ///
    /// [`ConfigError::UnknownVariant`] names the known ones.
    pub fn variant(name: &str) -> Result<Self, ConfigError> {
        let variant = VitVariant::by_name(name).ok_or_else(|| ConfigError::UnknownVariant {
            name: name.to_owned(),
        })?;
        Ok(Self::of(&variant))
    }

    /// A named size for images of 224 pixels.
    pub(crate) fn of(variant: &VitVariant) -> Self {
        let (dim, depth, num_heads) = (variant.embed_dim, variant.depth, variant.num_heads);
        Self {
            mlp_ratio: variant.mlp_ratio,
            ..Self::new([224, 224], variant.patch_size, dim, depth, num_heads)
        }
    }

    /// The same encoder for images of `[height, width]` pixels.
    pub fn with_image_size(mut self, image_size: [usize; 2]) -> Self {
        self.image_size = image_size;
        self
    }

    /// Hidden width of the MLPs.
    pub fn hidden_dim(&self) -> usize {
        (self.embed_dim as f64 * self.mlp_ratio) as usize
    }

    /// Values of a patch: all channels of all its pixels.
    pub fn patch_pixels(&self) -> usize {
        self.in_chans
            .saturating_mul(self.patch_size)
            .saturating_mul(self.patch_size)
    }

    /// The patch grid of the images.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Grid`] if a side is not a positive multiple of the patch size.
    pub fn grid(&self) -> Result<PatchGrid, ConfigError> {
        Ok(PatchGrid::from_image(self.image_size, self.patch_size)?)
    }

    /// Checks every rule that [`init`](Self::init) relies on.
    ///
    /// # Errors
    ///
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let grid = self.grid()?;
        config::check_channels("in_chans", self.in_chans)?;
        config::check_network("embed_dim", self.embed_dim, self.num_heads)?;
        config::check_positions("patches * embed_dim", grid, self.embed_dim)?;
        let patch_weights = self.patch_pixels().saturating_mul(self.embed_dim);
        config::check_values("in_chans * patch_size^2 * embed_dim", patch_weights)?;
        config::check_depth("depth", self.depth)?;
        config::check_positive("mlp_ratio * embed_dim", self.hidden_dim())?;
        let mlp_weights = self.hidden_dim().saturating_mul(self.embed_dim);
        config::check_values("mlp_ratio * embed_dim^2", mlp_weights)?;
        config::check_epsilon(self.layer_norm_eps)?;
        config::check_drop_path(self.drop_path)
    }

    /// An encoder with the reference's initial weights for seed 0.
    ///
    /// # Panics
    ///
    /// Panics if [`validate`](Self::validate) fails.
    pub fn init(&self, device: &Device) -> VisionTransformer {
        self.init_with(Initialization::default(), device)
    }

    /// An encoder with initial weights of choice.
    ///
    /// # Panics
    ///
    /// Panics if [`validate`](Self::validate) fails.
    pub fn init_with(&self, init: Initialization, device: &Device) -> VisionTransformer {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let grid = self.grid().expect("a validated configuration has a grid");
        let mut init = Initializer::encoder(init, device);
        let blocks = BlockConfig {
            dim: self.embed_dim,
            num_heads: self.num_heads,
            hidden_dim: self.hidden_dim(),
            depth: self.depth,
            drop_path: self.drop_path,
            layer_norm_eps: self.layer_norm_eps,
        };
        VisionTransformer {
            pos_embed: init.positions(grid, self.embed_dim),
            patch_embed: PatchEmbed::new(self.in_chans, self.patch_size, self.embed_dim, &mut init),
            blocks: blocks.init(&mut init),
            norm: init.layer_norm(self.embed_dim, self.layer_norm_eps),
            config: self.clone(),
            compute: Compute::default(),
        }
    }
}
