//! Frozen features: what a user of a trained encoder asks it for.

use burn::{module::Module, tensor::Tensor};
use ijepa_kernels::on_workers;
use serde::{Deserialize, Serialize};

use crate::{encoder::VisionTransformer, tokens::TokenIndices};

/// How the tokens of an image become one feature vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Mean over the tokens of the last layer: `embed_dim` values.
    #[default]
    Mean,
    /// Means of the last four layers, each after the final norm, oldest first:
    /// `4 * embed_dim` values (the paper's other choice, appendix A.2).
    Concat4,
    /// The tokens of the last layer one after the other: `patches * embed_dim` values.
    Tokens,
    /// The same values; files of features have them as maps, `[images, rows, cols, embed_dim]`.
    Map,
}

impl Pooling {
    const ALL: [Self; 4] = [Self::Mean, Self::Concat4, Self::Tokens, Self::Map];

    /// What commands and files call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Concat4 => "concat4",
            Self::Tokens => "tokens",
            Self::Map => "map",
        }
    }

    /// The one of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pooling| pooling.name() == name)
    }

    /// Layers that it looks at, counted from the end.
    pub fn layers(self) -> usize {
        match self {
            Self::Concat4 => 4,
            Self::Mean | Self::Tokens | Self::Map => 1,
        }
    }
}

/// What every layer of an encoder makes of an image: tokens, maps and attention weights, each in
/// one pass. Layers are counted from 0, or with negative numbers from the end.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use ijepa_model::VisionTransformerConfig;
///
/// let device = Device::flex();
/// let encoder =
///     VisionTransformerConfig::variant("vit_ti16")?.with_image_size([32, 48]).init(&device);
/// let images = Tensor::zeros([1, 3, 32, 48], &device);
/// let layers = encoder.forward_intermediates(images.clone(), None, &[0, 5, -1], true);
/// assert_eq!(layers[1].dims(), [1, 2 * 3, 192]);
/// assert_eq!(encoder.feature_map(layers[1].clone()).dims(), [1, 192, 2, 3]);
/// let weights = encoder.attention_weights(images, None, &[-2, -1]);
/// assert_eq!(weights[0].dims(), [1, 3, 6, 6]);
/// # Ok::<(), ijepa_model::ConfigError>(())
/// ```
impl VisionTransformer {
    /// Tokens after the blocks `layers`, in this order; blocks after the last of them are not
    /// computed.
    ///
    /// With `norm`, each is passed through the final norm. With `kept` the encoder sees the kept
    /// patches only.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - outputs: `[batch, patches, embed_dim]`, or `[masks * batch, kept, embed_dim]`, mask-major
    ///
    /// # Panics
    ///
    /// Panics if there is no such block or the images have another size.
    pub fn forward_intermediates(
        &self,
        images: Tensor<4>,
        kept: Option<&TokenIndices>,
        layers: &[isize],
        norm: bool,
    ) -> Vec<Tensor<3>> {
        on_workers(&images.device(), || {
            let after = self.numbers(layers).map(|layer| layer + 1);
            let mut tokens = self.tokens_before(&after.collect::<Vec<_>>(), images, kept);
            if norm {
                tokens = tokens.into_iter().map(|x| self.final_norm(x)).collect();
            }
            tokens
        })
    }

    /// Attention weights of the blocks `layers`, in this order, in f32.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - outputs: `[batch, num_heads, patches, patches]`, or
    ///   `[masks * batch, num_heads, kept, kept]`, mask-major; rows sum to 1
    ///
    /// # Panics
    ///
    /// Panics if there is no such block or the images have another size.
    pub fn attention_weights(
        &self,
        images: Tensor<4>,
        kept: Option<&TokenIndices>,
        layers: &[isize],
    ) -> Vec<Tensor<4>> {
        on_workers(&images.device(), || {
            let layers: Vec<usize> = self.numbers(layers).collect();
            let inputs = self.tokens_before(&layers, images, kept).into_iter();
            let weights = inputs.zip(&layers);
            weights
                .map(|(x, &layer)| self.blocks[layer].attention_weights(x, None))
                .collect()
        })
    }

    /// Numbers of blocks, from 0, of numbers that may count from the end.
    fn numbers(&self, layers: &[isize]) -> impl Iterator<Item = usize> {
        let depth = self.blocks.len();
        layers.iter().map(move |&layer| {
            let from_start = match layer {
                0.. => layer as usize,
                _ => depth.wrapping_sub(layer.unsigned_abs()),
            };
            assert!(
                from_start < depth,
                "no layer {layer} in an encoder with {depth}"
            );
            from_start
        })
    }

    /// The inputs of some blocks in one pass; that of one after the last is the output.
    fn tokens_before(
        &self,
        blocks: &[usize],
        images: Tensor<4>,
        kept: Option<&TokenIndices>,
    ) -> Vec<Tensor<3>> {
        let mut pass = self.pass(None);
        let mut x = self.embed(images, kept);
        let mut found = vec![None; blocks.len()];
        for number in 0..=blocks.iter().copied().max().unwrap_or(0) {
            for (found, _) in found.iter_mut().zip(blocks).filter(|it| *it.1 == number) {
                *found = Some(x.clone());
            }
            if found.iter().any(Option::is_none) {
                x = self.blocks[number].forward(x, &mut pass);
            }
        }
        let found: Option<Vec<_>> = found.into_iter().collect();
        found.expect("every block comes up")
    }

    /// Tokens of whole images as a map.
    ///
    /// # Shapes
    ///
    /// - `tokens`: `[batch, patches, channels]`
    /// - output: `[batch, channels, rows, cols]`
    ///
    /// # Panics
    ///
    /// Panics if there are not as many tokens as patches.
    pub fn feature_map(&self, tokens: Tensor<3>) -> Tensor<4> {
        let [batch, _, channels] = tokens.dims();
        let grid = self.grid();
        tokens
            .swap_dims(1, 2)
            .reshape([batch, channels, grid.rows(), grid.cols()])
    }

    /// Features as a map.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - output: `[batch, embed_dim, rows, cols]`
    pub fn forward_map(&self, images: Tensor<4>) -> Tensor<4> {
        self.feature_map(self.forward_features(images))
    }

    /// One feature vector per image.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, in_chans, height, width]`, normalised
    /// - output: `[batch, embed_dim]`, `[batch, 4 * embed_dim]` for [`Pooling::Concat4`], or
    ///   `[batch, patches * embed_dim]` for [`Pooling::Tokens`] and [`Pooling::Map`]
    ///
    /// # Panics
    ///
    /// Panics if `Concat4` is asked of an encoder with fewer than four blocks.
    pub fn forward_pooled(&self, images: Tensor<4>, pooling: Pooling) -> Tensor<2> {
        match pooling {
            Pooling::Mean => mean_over_tokens(self.forward_features(images)),
            Pooling::Concat4 => {
                let layers = self.forward_intermediates(images, None, &[-4, -3, -2, -1], true);
                Tensor::cat(layers.into_iter().map(mean_over_tokens).collect(), 1)
            }
            Pooling::Tokens | Pooling::Map => self.forward_features(images).flatten(1, 2),
        }
    }

    /// The same encoder without trainable parameters.
    pub fn frozen(self) -> Self {
        self.no_grad()
    }

    /// The same encoder with its patch embedding and first `blocks` blocks fixed: gradients are
    /// those of the other blocks and of the norm.
    ///
    /// ```no_run
    /// use burn::{optim::GradientsParams, tensor::{Device, Tensor}};
    /// use ijepa_model::VisionTransformerConfig;
    ///
    /// let device = Device::flex().autodiff();
    /// let encoder =
    ///     VisionTransformerConfig::variant("vit_ti16")?.with_image_size([16, 16]).init(&device);
    /// let encoder = encoder.with_frozen_blocks(11);
    /// let loss = encoder.forward_features(Tensor::ones([1, 3, 16, 16], &device)).sum();
    /// let gradients = GradientsParams::from_grads(loss.backward(), &encoder);
    /// assert_eq!(gradients.len(), 12 + 2); // one block and the norm
    /// # Ok::<(), ijepa_model::ConfigError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the encoder has fewer blocks.
    pub fn with_frozen_blocks(mut self, blocks: usize) -> Self {
        let depth = self.blocks.len();
        assert!(
            blocks <= depth,
            "{blocks} frozen blocks asked of an encoder with {depth}"
        );
        self.patch_embed = self.patch_embed.no_grad();
        for block in &mut self.blocks[..blocks] {
            *block = block.clone().no_grad();
        }
        self
    }

    /// Number of values that pretraining learns, frozen ones too; fixed positions are not among them.
    pub fn num_parameters(&self) -> usize {
        self.num_params() - self.pos_embed.lazy_shape().num_elements()
    }
}

/// Mean over the token axis: `[batch, tokens, dim]` to `[batch, dim]`.
pub(crate) fn mean_over_tokens(tokens: Tensor<3>) -> Tensor<2> {
    tokens.mean_dim(1).squeeze_dim(1)
}
