//! What can be wrong with a mask configuration.

/// A mask configuration that cannot be sampled, found when the sampler is built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// The image side is not a whole number of patches.
    #[error("image size {height}x{width} is not a multiple of patch size {patch_size}")]
    PatchSize {
        /// Image height in pixels.
        height: usize,
        /// Image width in pixels.
        width: usize,
        /// Patch side in pixels.
        patch_size: usize,
    },
    /// A grid needs at least one row and one column.
    #[error("a patch grid needs at least one row and one column, found {rows}x{cols}")]
    EmptyGrid {
        /// Patch rows.
        rows: usize,
        /// Patch columns.
        cols: usize,
    },
    /// A grid of more patches than any network sees.
    #[error("the patches of a grid must be at most {most}, found {rows}x{cols}")]
    GridTooLarge {
        /// Patch rows.
        rows: usize,
        /// Patch columns.
        cols: usize,
        /// The most patches.
        most: usize,
    },
    /// A range is empty, reversed or outside what its key allows.
    #[error("`{key}` must satisfy {rule}, found [{min}, {max}]")]
    Range {
        /// The configuration key.
        key: &'static str,
        /// What a valid value looks like.
        rule: &'static str,
        /// Lower end found.
        min: f64,
        /// Upper end found.
        max: f64,
    },
    /// A count is zero.
    #[error("`{key}` must be at least 1, found 0")]
    Zero {
        /// The configuration key.
        key: &'static str,
    },
    /// More blocks than anybody draws; their masks would fill the memory.
    #[error("`{key}` must be at most {most}, found {found}")]
    TooManyBlocks {
        /// The configuration key.
        key: &'static str,
        /// The number found.
        found: usize,
        /// The most blocks.
        most: usize,
    },
    /// Some blocks would have too few patches, and the reference would search for ever.
    #[error(
        "`{key}` gives blocks of {height}x{width} = {} patches on a {rows}x{cols} grid, but every \
         mask must keep more than min_keep = {min_keep}; use a larger scale, a smaller min_keep or a finer grid",
        height * width
    )]
    BlockTooSmall {
        /// The scale key of the block.
        key: &'static str,
        /// Block rows.
        height: usize,
        /// Block columns.
        width: usize,
        /// Grid rows.
        rows: usize,
        /// Grid columns.
        cols: usize,
        /// Patches that a mask must exceed.
        min_keep: usize,
    },
    /// Rounded context lengths exist in uniform mode only.
    #[error("`mask.length_multiple` = {0} needs `mask.mode` = \"uniform\", found \"official\"")]
    MultipleNeedsUniform(usize),
    /// No allowed length fits into the smallest context block.
    #[error(
        "no multiple of `mask.length_multiple` = {multiple} is above min_keep = {min_keep} and \
         within the smallest context block of {patches} patches"
    )]
    MultipleTooLong {
        /// The configured multiple.
        multiple: usize,
        /// Patches that a mask must exceed.
        min_keep: usize,
        /// Patches of the smallest context block.
        patches: usize,
    },
    /// Some context or target of this strategy would be empty.
    #[error(
        "masks of the {strategy} strategy can leave context or target of a {rows}x{cols} grid \
         without a patch"
    )]
    EmptyMask {
        /// Name of the strategy.
        strategy: &'static str,
        /// Grid rows.
        rows: usize,
        /// Grid columns.
        cols: usize,
    },
    /// The grid has too few rows or columns for this strategy.
    #[error("the {strategy} strategy needs at least a {min}x{min} grid, found {rows}x{cols}")]
    GridTooSmall {
        /// Name of the strategy.
        strategy: &'static str,
        /// Least rows and columns.
        min: usize,
        /// Grid rows.
        rows: usize,
        /// Grid columns.
        cols: usize,
    },
}
