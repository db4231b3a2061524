//! Why there is no picture.

use ijepa_eval::ExtractError;
use ijepa_model::TargetBlocksError;

/// A picture that cannot be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VizError {
    /// Images or features are missing.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// A block of the encoder was asked for that it lacks.
    #[error("there is no layer {layer}, the encoder has {depth}, counted from 0")]
    Layer {
        /// Number asked for.
        layer: usize,
        /// Blocks of the encoder.
        depth: usize,
    },
    /// An attention head was asked for that the encoder lacks.
    #[error("there is no head {head}, the encoder has {heads}, counted from 0")]
    Head {
        /// Number asked for.
        head: usize,
        /// Heads of each block.
        heads: usize,
    },
    /// A patch lies outside the grid.
    #[error("patch {row},{col} is outside the grid of {rows}x{cols} patches")]
    Patch {
        /// Row asked for.
        row: usize,
        /// Column asked for.
        col: usize,
        /// Rows of the grid.
        rows: usize,
        /// Columns of the grid.
        cols: usize,
    },
    /// A block is empty or reaches beyond the grid.
    #[error("block {top},{left},{height},{width} is not inside the grid of {rows}x{cols} patches")]
    Block {
        /// First row.
        top: usize,
        /// First column.
        left: usize,
        /// Rows of the block.
        height: usize,
        /// Columns of the block.
        width: usize,
        /// Rows of the grid.
        rows: usize,
        /// Columns of the grid.
        cols: usize,
    },
    /// A block covers the whole image.
    #[error("the block covers all {patches} patches, nothing is left to predict it from")]
    NoContext {
        /// Patches of the grid.
        patches: usize,
    },
    /// A target block was asked for that the masks lack.
    #[error("there is no target block {target}, the masks have {targets}, counted from 0")]
    Target {
        /// Number asked for.
        target: usize,
        /// Target blocks of each image.
        targets: usize,
    },
    /// The encoder gave attention weights that are not finite.
    #[error("attention weights of `{path}` are not finite; the weights have probably diverged")]
    Attention {
        /// Path or id of the first such image.
        path: String,
    },
    /// Panels would be absurdly large.
    #[error("scale {scale} makes panels of {side} pixels, expected at most {most}")]
    Scale {
        /// Picture pixels for each pixel of an image.
        scale: usize,
        /// Longer side of a panel.
        side: usize,
        /// Longest side allowed.
        most: usize,
    },
    /// What the predictor predicts cannot be compared with features.
    #[error("the predictor predicts pixels, expected one that predicts features")]
    PredictsPixels,
    /// The mean of more blocks is predicted than the encoder has, or of none.
    #[error(transparent)]
    TargetBlocks(#[from] TargetBlocksError),
}
