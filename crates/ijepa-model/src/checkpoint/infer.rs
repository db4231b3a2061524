//! Sizes of networks from the shapes of their tensors.

use std::path::Path;

use ijepa_masking::PatchGrid;

use super::{error::CheckpointError, state_dict::StateDict};
use crate::{
    ConfigError, PredictorConfig, Target, VisionTransformerConfig, VitVariant,
    init::LAYER_NORM_EPSILON, pos_embed::sin_cos_positions,
};

/// The sizes of an encoder with official names, and what of them is a guess.
pub(crate) fn encoder_config(
    dict: &StateDict,
    num_heads: Option<usize>,
    path: &Path,
) -> Result<(VisionTransformerConfig, Vec<String>), CheckpointError> {
    let [embed_dim, in_chans, patch_size, _] = shape(dict, "patch_embed.proj.weight", path)?;
    let [hidden_dim, _] = shape(dict, "blocks.0.mlp.fc1.weight", path)?;
    let [rows, cols] = grid(dict, path)?;
    let config = VisionTransformerConfig {
        image_size: [rows, cols].map(|side| side.saturating_mul(patch_size)),
        patch_size,
        in_chans,
        embed_dim,
        depth: depth(dict, "blocks."),
        num_heads: num_heads
            .or_else(|| VitVariant::heads_of_width(embed_dim))
            .ok_or_else(|| CheckpointError::NumHeads {
                path: path.into(),
                embed_dim,
            })?,
        mlp_ratio: mlp_ratio(embed_dim, hidden_dim),
        drop_path: 0.0,
        layer_norm_eps: LAYER_NORM_EPSILON,
    };
    let config = checked(config, path)?;
    let guessed = num_heads.is_none() && !VitVariant::ALL.iter().any(|it| it.has_sizes(&config));
    let warning = || {
        format!(
            "`{}` does not record its number of attention heads; {} is that of published networks \
             of width {embed_dim}, pass --num-heads if this one has others",
            path.display(),
            config.num_heads
        )
    };
    let warnings = guessed.then(warning).into_iter().collect();
    Ok((config, warnings))
}

/// Rows and columns of patches: those whose sine-cosine table the positions are, else a square.
fn grid(dict: &StateDict, path: &Path) -> Result<[usize; 2], CheckpointError> {
    let [_, patches, dim] = shape(dict, "pos_embed", path)?;
    let side = patches.isqrt();
    let table = dict.get("pos_embed").expect("its shape was just read");
    if let Some(grid) = grid_of_positions(&table.read()?, patches, dim) {
        return Ok(grid);
    }
    match side * side == patches {
        true => Ok([side, side]),
        false => Err(CheckpointError::Entry {
            path: path.into(),
            key: "pos_embed".into(),
            expected: "sine-cosine positions, or those of a square grid",
            found: format!("{patches} other positions"),
        }),
    }
}

/// Rows and columns of the grid that a table `[patches, dim]` of sine-cosine positions belongs to.
fn grid_of_positions(table: &[f32], patches: usize, dim: usize) -> Option<[usize; 2]> {
    /// Of values that other libraries rounded, also to 16 bits.
    const TOLERANCE: f32 = 0.01;
    if patches == 0
        || dim == 0
        || !dim.is_multiple_of(4)
        || table.len() != patches.checked_mul(dim)?
    {
        return None;
    }
    // The first half of a position is its column, which is 0 again where the second row begins.
    let close = |one: &[f32], other: &[f32]| {
        let mut pairs = one.iter().zip(other);
        pairs.all(|(one, other)| (one - other).abs() <= TOLERANCE)
    };
    let column = |patch: usize| &table[patch * dim..][..dim / 2];
    let second_row = (1..patches).find(|&patch| close(column(patch), column(0)));
    let cols = second_row.unwrap_or(patches);
    let grid = PatchGrid::new(patches / cols, cols).ok()?;
    let expected = sin_cos_positions(grid, dim);
    let same = grid.num_patches() == patches && close(table, expected.as_slice().ok()?);
    same.then_some([grid.rows(), grid.cols()])
}

/// Refuses positions of another grid than that of `config`, which the file at `path` says; another
/// number of them does not fit, which loading finds.
pub(crate) fn check_grid(
    dict: &StateDict,
    config: &VisionTransformerConfig,
    path: &Path,
) -> Result<(), CheckpointError> {
    let grid = config.grid().map_err(invalid(path))?;
    let (patches, dim) = (grid.num_patches(), config.embed_dim);
    let table = dict.get("pos_embed");
    let Some(table) = table.filter(|table| table.shape() == [1, patches, dim]) else {
        return Ok(());
    };
    let found = grid_of_positions(&table.read()?, patches, dim);
    let found = found.map(|grid| grid.map(|side| side * config.patch_size));
    let text = |[height, width]: [usize; 2]| format!("{height}x{width}");
    match found.filter(|size| *size != config.image_size) {
        None => Ok(()),
        Some(size) => Err(CheckpointError::OtherSize {
            path: path.into(),
            key: "image_size",
            said: text(config.image_size),
            found: format!("images of {}", text(size)),
        }),
    }
}

fn invalid(path: &Path) -> impl FnOnce(ConfigError) -> CheckpointError {
    |source| CheckpointError::Config {
        path: path.into(),
        source,
    }
}

/// `config`, if it describes a network.
pub(crate) fn checked(
    config: VisionTransformerConfig,
    path: &Path,
) -> Result<VisionTransformerConfig, CheckpointError> {
    config.validate().map_err(invalid(path))?;
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
    recorded: Option<&PredictorConfig>,
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
        target: recorded.map_or(inferred, |config| config.target),
        context: recorded.map(|config| config.context).unwrap_or_default(),
        center_targets: recorded.is_some_and(|config| config.center_targets),
    };
    config.validate(encoder).map_err(invalid(path))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_positions_tell_their_grid_and_empty_ones_tell_none() {
        let grid = PatchGrid::new(2, 3).expect("it has patches");
        let data = sin_cos_positions(grid, 8);
        let table = data.as_slice::<f32>().expect("positions are f32");
        assert_eq!(grid_of_positions(table, 6, 8), Some([2, 3]));
        assert_eq!(grid_of_positions(table, 3, 16), None);
        assert_eq!(grid_of_positions(&[], 0, 8), None);
        assert_eq!(grid_of_positions(&[], 6, 0), None);
    }
}
