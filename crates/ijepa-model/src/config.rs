//! Rules that the sizes of a network must follow.

use ijepa_masking::{MaskError, PatchGrid};

use crate::variant::VitVariant;

/// Sizes that make no network.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No variant has this name.
    #[error("unknown architecture `{name}`, expected one of {}", known_variants())]
    UnknownVariant {
        /// The name found.
        name: String,
    },
    /// The images cannot be cut into patches.
    #[error(transparent)]
    Grid(#[from] MaskError),
    /// A size is zero.
    #[error("`{key}` must be at least 1, found 0")]
    Zero {
        /// The configuration key.
        key: &'static str,
    },
    /// A size that no network has; a damaged file may say anything.
    #[error("`{key}` must be at most {max}, found {found}")]
    TooLarge {
        /// The configuration key.
        key: &'static str,
        /// The size found.
        found: usize,
        /// The largest size allowed.
        max: usize,
    },
    /// The width cannot be split into heads.
    #[error("`{key}` = {dim} is not a multiple of num_heads = {num_heads}")]
    Heads {
        /// The configuration key of the width.
        key: &'static str,
        /// Token width.
        dim: usize,
        /// Number of heads.
        num_heads: usize,
    },
    /// Two-dimensional sine-cosine positions need four equal parts.
    #[error("`{key}` = {dim} is not a multiple of 4, which positions need")]
    Positions {
        /// The configuration key of the width.
        key: &'static str,
        /// Token width.
        dim: usize,
    },
    /// The drop-path rate is no probability below 1.
    #[error("`drop_path` must be in [0, 1), found {0}")]
    DropPath(f64),
    /// What norms add to the variance is no small positive number.
    #[error("`layer_norm_eps` must be above 0 and below 1, found {0}")]
    Epsilon(f64),
}

fn known_variants() -> String {
    VitVariant::ALL.map(|variant| variant.name).join(", ")
}

/// Channels of the images of the widest sensor.
const MAX_CHANNELS: usize = 1 << 16;

pub(crate) fn check_channels(key: &'static str, channels: usize) -> Result<(), ConfigError> {
    check_positive(key, channels)?;
    check_at_most(key, channels, MAX_CHANNELS)
}

pub(crate) fn check_positive(key: &'static str, value: usize) -> Result<(), ConfigError> {
    if value == 0 {
        Err(ConfigError::Zero { key })
    } else {
        Ok(())
    }
}

/// Blocks of the deepest network.
const MAX_DEPTH: usize = 1000;

/// Values of the largest table that is made before any weight is read, 1 GiB.
const MAX_VALUES: usize = 1 << 28;

fn check_at_most(key: &'static str, found: usize, max: usize) -> Result<(), ConfigError> {
    if found > max {
        Err(ConfigError::TooLarge { key, found, max })
    } else {
        Ok(())
    }
}

pub(crate) fn check_depth(key: &'static str, depth: usize) -> Result<(), ConfigError> {
    check_positive(key, depth)?;
    check_at_most(key, depth, MAX_DEPTH)
}

/// The table of positions is made before any weight is read.
pub(crate) fn check_positions(
    key: &'static str,
    grid: PatchGrid,
    dim: usize,
) -> Result<(), ConfigError> {
    let values = grid.rows().saturating_mul(grid.cols()).saturating_mul(dim);
    check_values(key, values)
}

/// What a network has of one thing, of which it is made before any weight is read.
pub(crate) fn check_values(key: &'static str, values: usize) -> Result<(), ConfigError> {
    check_at_most(key, values, MAX_VALUES)
}

/// A width must split into heads and into the four parts of the positions.
pub(crate) fn check_network(
    key: &'static str,
    dim: usize,
    num_heads: usize,
) -> Result<(), ConfigError> {
    check_positive(key, dim)?;
    check_positive("num_heads", num_heads)?;
    if !dim.is_multiple_of(num_heads) {
        return Err(ConfigError::Heads {
            key,
            dim,
            num_heads,
        });
    }
    if !dim.is_multiple_of(4) {
        return Err(ConfigError::Positions { key, dim });
    }
    Ok(())
}

pub(crate) fn check_drop_path(rate: f64) -> Result<(), ConfigError> {
    if (0.0..1.0).contains(&rate) {
        Ok(())
    } else {
        Err(ConfigError::DropPath(rate))
    }
}

pub(crate) fn check_epsilon(epsilon: f64) -> Result<(), ConfigError> {
    if epsilon > 0.0 && epsilon < 1.0 {
        Ok(())
    } else {
        Err(ConfigError::Epsilon(epsilon))
    }
}
