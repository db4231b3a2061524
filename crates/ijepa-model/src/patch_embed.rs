//! From pixels to tokens.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};

use crate::{compute::Compute, init::Initializer, tokens::TokenIndices};

/// Projects every patch of an image to a token.
///
/// A convolution whose kernel equals its stride is one matrix product over patches, which is how
/// it is computed; the parameters keep the layout of the convolution.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// The projection.
    pub proj: PatchProjection,
}

/// Weight and bias of the patch convolution.
#[derive(Module, Debug)]
pub struct PatchProjection {
    /// `[embed_dim, channels, patch_size, patch_size]`.
    pub weight: Param<Tensor<4>>,
    /// `[embed_dim]`.
    pub bias: Param<Tensor<1>>,
}

impl PatchEmbed {
    /// Patches of `patch_size` pixels to tokens of `embed_dim` values, with initial weights.
    pub fn new(
        channels: usize,
        patch_size: usize,
        embed_dim: usize,
        init: &mut Initializer<'_>,
    ) -> Self {
        let shape = [embed_dim, channels, patch_size, patch_size];
        let (weight, bias) = init.patch_projection(shape);
        Self {
            proj: PatchProjection { weight, bias },
        }
    }

    /// Side of a patch in pixels.
    pub fn patch_size(&self) -> usize {
        self.proj.weight.lazy_shape()[2]
    }

    /// Embeds the patches that `kept` names, or all of them.
    ///
    /// Patches are picked before the projection: hidden ones cost nothing.
    ///
    /// # Shapes
    ///
    /// - `images`: `[batch, channels, height, width]`, f32
    /// - output: `[masks * batch, kept, embed_dim]`, or `[batch, patches, embed_dim]`
    ///
    /// # Panics
    ///
    /// Panics if the images have other channels than the weights, a side is no multiple of the
    /// patch size, or the masks are of other images.
    pub fn forward(
        &self,
        images: Tensor<4>,
        kept: Option<&TokenIndices>,
        compute: Compute,
    ) -> Tensor<3> {
        let patches = patchify(images, self.patch_size());
        let patches = match kept {
            Some(kept) => kept.gather(patches),
            None => patches,
        };
        let weight = self.proj.weight.val();
        let [embed_dim, channels, rows, cols] = weight.dims();
        let weight = weight
            .reshape([embed_dim, channels * rows * cols])
            .transpose();
        compute.affine(patches, weight, self.proj.bias.val())
    }
}

/// Cuts images into patches, numbered row by row.
///
/// # Shapes
///
/// - `images`: `[batch, channels, height, width]`
/// - output: `[batch, patches, channels * patch_size * patch_size]`
///
/// # Panics
///
/// Panics if a side is not a multiple of `patch_size`.
pub fn patchify(images: Tensor<4>, patch_size: usize) -> Tensor<3> {
    let [batch, channels, height, width] = images.dims();
    assert!(
        height.is_multiple_of(patch_size) && width.is_multiple_of(patch_size),
        "image size {height}x{width} is not a multiple of patch size {patch_size}"
    );
    let (rows, cols) = (height / patch_size, width / patch_size);
    images
        .reshape([batch, channels, rows, patch_size, cols, patch_size])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([batch, rows * cols, channels * patch_size * patch_size])
}
