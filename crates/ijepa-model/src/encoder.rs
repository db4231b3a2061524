//! The ViT encoder: no class token, fixed positions, tokens out.

use burn::{
    module::{Module, Param},
    nn::LayerNorm,
    tensor::Tensor,
};
use ijepa_kernels::on_workers;
use ijepa_masking::PatchGrid;

use crate::{
    block::{Block, Pass},
    compute::{Compute, Precision},
    config::{ConfigError, check_drop_path},
    drop_path::StochasticDepth,
    patch_embed::PatchEmbed,
    pos_embed::{PositionResampling, resampled},
    tokens::TokenIndices,
};

mod config;

pub use config::VisionTransformerConfig;
pub(crate) use config::rgb_channels;

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
        check_drop_path(drop_path)?;
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
