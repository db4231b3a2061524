//! The ViT encoder: no class token, fixed positions, tokens out.

use burn::{
    module::{Module, Param},
    nn::LayerNorm,
    tensor::{Device, Tensor},
};
use ijepa_kernels::on_workers;
use ijepa_masking::PatchGrid;
use serde::{Deserialize, Serialize};

use crate::{
    block::{Block, BlockConfig, Pass},
    compute::{Compute, Precision},
    config::{self, ConfigError},
    drop_path::StochasticDepth,
    init::{Initialization, Initializer, LAYER_NORM_EPSILON},
    patch_embed::PatchEmbed,
    pos_embed::{PositionResampling, resampled},
    tokens::TokenIndices,
    variant::VitVariant,
};

/// Channels of the images that this workspace reads.
pub(crate) const RGB_CHANNELS: usize = 3;

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
    /// [`StochasticDepth`] drop anything.
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
        let (dim, depth, num_heads) = (variant.embed_dim, variant.depth, variant.num_heads);
        Ok(Self {
            mlp_ratio: variant.mlp_ratio,
            ..Self::new([224, 224], variant.patch_size, dim, depth, num_heads)
        })
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
        config::check_depth("depth", self.depth)?;
        config::check_positive("mlp_ratio * embed_dim", self.hidden_dim())?;
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

/// A vision transformer that turns images into one feature vector per patch (paper §3).
///
/// Field names are the keys of the official checkpoints.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use ijepa_model::VisionTransformerConfig;
///
/// let device = Device::flex();
/// let encoder =
///     VisionTransformerConfig::variant("vit_ti16")?.with_image_size([64, 32]).init(&device);
/// let features = encoder.forward_features(Tensor::zeros([2, 3, 64, 32], &device));
/// assert_eq!(features.dims(), [2, 4 * 2, 192]);
/// # Ok::<(), ijepa_model::ConfigError>(())
/// ```
#[derive(Module, Debug)]
pub struct VisionTransformer {
    /// Fixed sine-cosine positions, `[1, patches, embed_dim]`.
    pub pos_embed: Param<Tensor<3>>,
    /// Pixels to tokens.
    pub patch_embed: PatchEmbed,
    /// Transformer blocks.
    pub blocks: Vec<Block>,
    /// Final norm.
    pub norm: LayerNorm,
    #[module(skip)]
    config: VisionTransformerConfig,
    #[module(skip)]
    compute: Compute,
}

impl VisionTransformer {
    /// Sizes of this encoder.
    pub fn config(&self) -> &VisionTransformerConfig {
        &self.config
    }

    /// The patch grid of its images.
    pub fn grid(&self) -> PatchGrid {
        self.config
            .grid()
            .expect("an encoder's configuration is valid")
    }

    /// Token width.
    pub fn embed_dim(&self) -> usize {
        self.config.embed_dim
    }

    /// How it is computed.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// The same encoder computed in another way.
    pub fn with_compute(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// The same encoder with matrix products in `precision`.
    pub fn with_precision(self, precision: Precision) -> Self {
        let compute = Compute {
            precision,
            ..self.compute
        };
        self.with_compute(compute)
    }

    /// The same encoder with another drop-path rate of the last block; rates rise linearly from 0
    /// over the depth. [`forward_training`](Self::forward_training) drops.
    ///
    /// # Errors
    ///
    /// [`ConfigError::DropPath`] unless `0 <= drop_path < 1`.
    pub fn with_drop_path(mut self, drop_path: f64) -> Result<Self, ConfigError> {
        config::check_drop_path(drop_path)?;
        self.config.drop_path = drop_path;
        let depth = self.blocks.len();
        for (index, block) in self.blocks.iter_mut().enumerate() {
            block.set_drop_path(drop_path, index, depth);
        }
        Ok(self)
    }

    /// The same encoder for images of another size: its positions are resampled.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Grid`] if a side is not a positive multiple of the patch size,
    /// [`ConfigError::TooLarge`] if the positions would be.
    pub fn with_image_size(
        mut self,
        image_size: [usize; 2],
        resampling: PositionResampling,
    ) -> Result<Self, ConfigError> {
        let config = self.config.clone().with_image_size(image_size);
        config.validate()?;
        let (from, to) = (self.grid(), config.grid()?);
        self.pos_embed = resampled(self.pos_embed, from, to, resampling);
        self.config = config;
        Ok(self)
    }

    /// Features of every patch of the whole image, after the final norm. No residual branch is
    /// dropped, whatever the configuration's `drop_path`.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - output: `[batch, patches, embed_dim]`
    ///
    /// # Panics
    ///
    /// Panics if the images have not the size of the configuration.
    pub fn forward_features(&self, images: Tensor<4>) -> Tensor<3> {
        self.forward(images, None, None)
    }

    /// As [`forward_features`](Self::forward_features), with residual branches dropped by the
    /// numbers of `depth` at the rate of the configuration's `drop_path`: what a network of your
    /// own calls in training.
    ///
    /// ```
    /// use burn::tensor::{Device, Tensor};
    /// use ijepa_model::{StochasticDepth, VisionTransformerConfig};
    ///
    /// let device = Device::flex();
    /// let encoder = VisionTransformerConfig::variant("vit_ti16")?
    ///     .with_image_size([32, 32])
    ///     .init(&device)
    ///     .with_drop_path(0.5)?;
    /// let images = Tensor::ones([2, 3, 32, 32], &device);
    /// let (seed, step) = (0, 0);
    /// let mut depth = StochasticDepth::for_samples(seed, step, 0..2);
    /// let dropped = encoder.forward_training(images.clone(), Some(&mut depth));
    /// let whole = encoder.forward_features(images);
    /// assert!((dropped - whole).abs().max().into_scalar::<f32>() > 0.01);
    /// # Ok::<(), ijepa_model::ConfigError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// As [`forward_features`](Self::forward_features), and if `depth` has the numbers of another
    /// number of images.
    pub fn forward_training(
        &self,
        images: Tensor<4>,
        depth: Option<&mut StochasticDepth>,
    ) -> Tensor<3> {
        self.forward(images, None, depth)
    }

    /// Features of the kept patches only; the encoder never sees the others (paper §3).
    ///
    /// `depth` drops residual branches in training if the configuration's `drop_path` is not 0.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - output: `[masks * batch, kept, embed_dim]`, mask-major
    ///
    /// # Panics
    ///
    /// Panics if the images have not the size of the configuration.
    pub fn forward_masked(
        &self,
        images: Tensor<4>,
        kept: &TokenIndices,
        depth: Option<&mut StochasticDepth>,
    ) -> Tensor<3> {
        self.forward(images, Some(kept), depth)
    }

    fn forward(
        &self,
        images: Tensor<4>,
        kept: Option<&TokenIndices>,
        depth: Option<&mut StochasticDepth>,
    ) -> Tensor<3> {
        #[cfg(test)]
        crate::passes::count(&images, kept);
        on_workers(&images.device(), || {
            let x = self.forward_blocks(images, kept, depth);
            self.final_norm(x)
        })
    }

    /// The norm after the last block.
    ///
    /// # Shapes
    ///
    /// - `x` and output: `[batch, tokens, embed_dim]`
    pub fn final_norm(&self, x: Tensor<3>) -> Tensor<3> {
        let epsilon = self.config.layer_norm_eps;
        self.compute.layer_norm(&self.norm, epsilon, x)
    }

    /// How its blocks are run.
    pub(crate) fn pass<'a>(&self, depth: Option<&'a mut StochasticDepth>) -> Pass<'a> {
        Pass {
            compute: self.compute,
            mask: None,
            depth,
        }
    }

    /// Tokens after the last block, before the final norm.
    pub(crate) fn forward_blocks(
        &self,
        images: Tensor<4>,
        kept: Option<&TokenIndices>,
        depth: Option<&mut StochasticDepth>,
    ) -> Tensor<3> {
        let mut pass = self.pass(depth);
        let mut x = self.embed(images, kept);
        for block in &self.blocks {
            x = block.forward(x, &mut pass);
        }
        x
    }

    /// Tokens before the first block: those of the patches that `kept` names, or of all.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - output: `[masks * batch, kept, embed_dim]`, or `[batch, patches, embed_dim]`
    ///
    /// # Panics
    ///
    /// Panics if the images have not the size of the configuration.
    pub fn embed(&self, images: Tensor<4>, kept: Option<&TokenIndices>) -> Tensor<3> {
        let [_, channels, height, width] = images.dims();
        let in_chans = self.config.in_chans;
        let [expected_height, expected_width] = self.config.image_size;
        assert_eq!(
            [channels, height, width],
            [in_chans, expected_height, expected_width],
            "images must be [batch, {in_chans}, {expected_height}, {expected_width}]; see with_image_size"
        );
        let positions = self.pos_embed.val();
        let positions = match kept {
            Some(kept) => kept.gather_shared(positions),
            None => positions,
        };
        self.patch_embed.forward(images, kept, self.compute) + positions
    }
}
