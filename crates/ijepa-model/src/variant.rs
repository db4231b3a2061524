//! The ViT sizes of the paper, in one table.

use crate::VisionTransformerConfig;

/// Widths and depth of a named ViT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VitVariant {
    /// Name in recipes and on the command line.
    pub name: &'static str,
    /// Token width.
    pub embed_dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads of encoder and predictor.
    pub num_heads: usize,
    /// Hidden width of the MLPs over token width.
    pub mlp_ratio: f64,
    /// Side of a patch in pixels.
    pub patch_size: usize,
}

const fn variant(
    name: &'static str,
    [embed_dim, depth, num_heads]: [usize; 3],
    mlp_ratio: f64,
    patch_size: usize,
) -> VitVariant {
    VitVariant {
        name,
        embed_dim,
        depth,
        num_heads,
        mlp_ratio,
        patch_size,
    }
}

impl VitVariant {
    /// All named variants; `vit_g16` is what the paper calls ViT-G/16 (in fact a ViT-g).
    pub const ALL: [Self; 7] = [
        variant("vit_ti16", [192, 12, 3], 4.0, 16),
        variant("vit_s16", [384, 12, 6], 4.0, 16),
        variant("vit_b16", [768, 12, 12], 4.0, 16),
        variant("vit_l16", [1024, 24, 16], 4.0, 16),
        variant("vit_h14", [1280, 32, 16], 4.0, 14),
        variant("vit_h16", [1280, 32, 16], 4.0, 16),
        variant("vit_g16", [1408, 40, 16], 48.0 / 11.0, 16),
    ];

    /// The variant called `name`.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.name == name)
    }

    /// Whether `config` has its width, depth and MLPs, whatever the patches and heads.
    pub(crate) fn has_sizes(&self, config: &VisionTransformerConfig) -> bool {
        let sizes = |it: &VisionTransformerConfig| [it.embed_dim, it.depth, it.hidden_dim()];
        sizes(&VisionTransformerConfig::of(self)) == sizes(config)
    }

    /// The head count of the published models of this width.
    pub fn heads_of_width(embed_dim: usize) -> Option<usize> {
        Self::ALL
            .iter()
            .find(|variant| variant.embed_dim == embed_dim)
            .map(|v| v.num_heads)
    }
}
