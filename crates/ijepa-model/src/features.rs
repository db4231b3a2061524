//! Frozen features: what a user of a trained encoder asks it for.

use burn::{module::Module, tensor::Tensor};
use ijepa_kernels::on_workers;
use serde::{Deserialize, Serialize};

use crate::encoder::VisionTransformer;

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
}

impl VisionTransformer {
    /// Tokens after each of the last `layers` blocks, oldest first.
    ///
    /// With `norm`, each is passed through the final norm.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, 3, height, width]`, normalised
    /// - output: `layers` times `[batch, patches, embed_dim]`
    ///
    /// # Panics
    ///
    /// Panics if `layers` exceeds the depth or the images have another size.
    pub fn forward_intermediates(
        &self,
        images: Tensor<4>,
        layers: usize,
        norm: bool,
    ) -> Vec<Tensor<3>> {
        let depth = self.blocks.len();
        assert!(
            layers <= depth,
            "{layers} layers asked of an encoder with {depth}"
        );
        on_workers(&images.device(), || {
            let mut pass = self.pass(None);
            let mut x = self.embed(images, None);
            let mut outputs = Vec::with_capacity(layers);
            for (index, block) in self.blocks.iter().enumerate() {
                x = block.forward(x, &mut pass);
                if index + layers >= depth {
                    let normed = norm.then(|| self.final_norm(x.clone()));
                    outputs.push(normed.unwrap_or_else(|| x.clone()));
                }
            }
            outputs
        })
    }

    /// Features as a map.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, 3, height, width]`, normalised
    /// - output: `[batch, embed_dim, rows, cols]`
    pub fn forward_map(&self, images: Tensor<4>) -> Tensor<4> {
        let tokens = self.forward_features(images);
        let [batch, _, embed_dim] = tokens.dims();
        let grid = self.grid();
        tokens
            .swap_dims(1, 2)
            .reshape([batch, embed_dim, grid.rows(), grid.cols()])
    }

    /// One feature vector per image.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, 3, height, width]`, normalised
    /// - output: `[batch, embed_dim]`, or `[batch, 4 * embed_dim]` for [`Pooling::Concat4`]
    ///
    /// # Panics
    ///
    /// Panics if `Concat4` is asked of an encoder with fewer than four blocks.
    pub fn forward_pooled(&self, images: Tensor<4>, pooling: Pooling) -> Tensor<2> {
        match pooling {
            Pooling::Mean => mean_over_tokens(self.forward_features(images)),
            Pooling::Concat4 => {
                let layers = self.forward_intermediates(images, 4, true);
                Tensor::cat(layers.into_iter().map(mean_over_tokens).collect(), 1)
            }
        }
    }

    /// Attention weights of block `layer`, counted from 0.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, 3, height, width]`, normalised
    /// - output: `[batch, num_heads, patches, patches]`, rows sum to 1
    ///
    /// # Panics
    ///
    /// Panics if there is no such block.
    pub fn attention_weights(&self, images: Tensor<4>, layer: usize) -> Tensor<4> {
        let mut pass = self.pass(None);
        let mut x = self.embed(images, None);
        for block in &self.blocks[..layer] {
            x = block.forward(x, &mut pass);
        }
        self.blocks[layer].attention_weights(x, pass.epsilon)
    }

    /// The same encoder without trainable parameters.
    pub fn frozen(self) -> Self {
        self.no_grad()
    }

    /// Number of trainable values; fixed positions are not among them.
    pub fn num_parameters(&self) -> usize {
        self.num_params() - self.pos_embed.lazy_shape().num_elements()
    }
}

/// Mean over the token axis: `[batch, tokens, dim]` to `[batch, dim]`.
pub(crate) fn mean_over_tokens(tokens: Tensor<3>) -> Tensor<2> {
    tokens.mean_dim(1).squeeze_dim(1)
}
