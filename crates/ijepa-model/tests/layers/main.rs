//! What single layers compute, and what researchers put together from them.

#[cfg(test)]
mod attention;
#[cfg(test)]
mod blocks;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod intermediates;
#[cfg(test)]
mod loading;

use burn::tensor::Tensor;
use ijepa_masking::PatchIndices;
use ijepa_model::{
    InitScheme, Initialization, TokenIndices, VisionTransformer, VisionTransformerConfig,
};
use ijepa_testkit::{device, noise_tensor};

fn small() -> VisionTransformerConfig {
    VisionTransformerConfig {
        mlp_ratio: 2.0,
        ..VisionTransformerConfig::new([32, 48], 8, 24, 5, 3)
    }
}

/// Weights wide enough that every layer matters.
fn encoder(config: &VisionTransformerConfig) -> VisionTransformer {
    let init = Initialization {
        scheme: InitScheme::FanIn,
        ..Initialization::default()
    };
    config.init_with(init, &device())
}

fn images(batch: usize) -> Tensor<4> {
    noise_tensor(3, [batch, 3, 32, 48], &device())
}

/// Two masks of two images.
fn kept() -> TokenIndices {
    let masks = [[0, 3, 7, 23, 1, 2], [5, 6, 9, 10, 11, 12]];
    let masks = masks.map(|patches| PatchIndices::new(3, patches.to_vec()));
    TokenIndices::new(&masks, 24, &device())
}
