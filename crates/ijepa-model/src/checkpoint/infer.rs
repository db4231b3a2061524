//! Sizes of networks from the shapes of their tensors.

use std::path::Path;

use super::{error::CheckpointError, state_dict::StateDict};
use crate::{PredictorConfig, Target, VisionTransformerConfig, VitVariant};

/// The sizes of an encoder with official names; the grid is taken to be square.
pub(crate) fn encoder_config(
    dict: &StateDict,
    num_heads: Option<usize>,
    path: &Path,
) -> Result<VisionTransformerConfig, CheckpointError> {
    let [embed_dim, channels, patch_size, _] = shape(dict, "patch_embed.proj.weight", path)?;
    let [_, patches, _] = shape(dict, "pos_embed", path)?;
    let [hidden_dim, _] = shape(dict, "blocks.0.mlp.fc1.weight", path)?;
    if channels != crate::encoder::CHANNELS {
        let (key, expected) = ("channels", "3");
        let found = channels.to_string();
        return Err(CheckpointError::Unsupported {
            path: path.into(),
            key,
            found,
            expected,
        });
    }
    let num_heads = num_heads
        .or_else(|| VitVariant::heads_of_width(embed_dim))
        .ok_or_else(|| CheckpointError::NumHeads {
            path: path.into(),
            embed_dim,
        })?;
    let side = patches.isqrt().saturating_mul(patch_size);
    let config = VisionTransformerConfig {
        image_size: [side, side],
        patch_size,
        embed_dim,
        depth: depth(dict, "blocks."),
        num_heads,
        mlp_ratio: mlp_ratio(embed_dim, hidden_dim),
        drop_path: 0.0,
    };
    checked(config, path)
}

/// `config`, if it describes a network.
pub(crate) fn checked(
    config: VisionTransformerConfig,
    path: &Path,
) -> Result<VisionTransformerConfig, CheckpointError> {
    let invalid = |source| CheckpointError::Config {
        path: path.into(),
        source,
    };
    config.validate().map_err(invalid)?;
    Ok(config)
}

/// The ratio whose product with `embed_dim`, rounded down, is `hidden_dim`.
pub(crate) fn mlp_ratio(embed_dim: usize, hidden_dim: usize) -> f64 {
    let ratio = hidden_dim as f64 / embed_dim as f64;
    let rounded_down = (embed_dim as f64 * ratio) as usize;
    if rounded_down == hidden_dim {
        ratio
    } else {
        (hidden_dim as f64 + 0.5) / embed_dim as f64
    }
}

/// The sizes of a predictor with official names.
///
/// It predicts features unless its outputs are as many as the pixels of a patch and not as many as
/// features, which they are in ViT-B/16 either way: `recorded` is what a file says about it.
pub(crate) fn predictor_config(
    dict: &StateDict,
    encoder: &VisionTransformerConfig,
    recorded: Option<Target>,
    path: &Path,
) -> Result<PredictorConfig, CheckpointError> {
    let [_, _, dim] = shape(dict, "mask_token", path)?;
    let [outputs, _] = shape(dict, "predictor_proj.weight", path)?;
    let pixels = outputs != encoder.embed_dim && outputs == encoder.patch_pixels();
    let inferred = if pixels {
        Target::Pixels
    } else {
        Target::Features
    };
    let config = PredictorConfig {
        dim,
        depth: depth(dict, "predictor_blocks."),
        target: recorded.unwrap_or(inferred),
    };
    let invalid = |source| CheckpointError::Config {
        path: path.into(),
        source,
    };
    config.validate(encoder).map_err(invalid)?;
    Ok(config)
}

/// Number of blocks whose names begin with `prefix`.
fn depth(dict: &StateDict, prefix: &str) -> usize {
    let index = |(name, _): (&str, _)| name.strip_prefix(prefix)?.split('.').next()?.parse().ok();
    dict.iter()
        .filter_map(index)
        .max()
        .map_or(0, |last: usize| last.saturating_add(1))
}

fn shape<const D: usize>(
    dict: &StateDict,
    name: &str,
    path: &Path,
) -> Result<[usize; D], CheckpointError> {
    let tensor = dict.get(name);
    tensor
        .and_then(|tensor| tensor.shape().try_into().ok())
        .ok_or_else(|| CheckpointError::Entry {
            path: path.into(),
            key: name.to_owned(),
            expected: "a tensor of the usual rank",
            found: tensor.map_or("nothing".into(), |tensor| {
                format!("shape {:?}", tensor.shape())
            }),
        })
}
