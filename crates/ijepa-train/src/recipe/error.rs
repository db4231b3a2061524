//! What can be wrong with a recipe.

use std::path::PathBuf;

use ijepa_data::suggestion;

/// A recipe that cannot be read or run.
///
/// Every message is one line. Errors that come from a file or from an override are wrapped by
/// [`RecipeError::InFile`], which puts its name first; [`RecipeError::rule`] looks inside.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// Says which file, preset or override another error is about.
    #[error("{file}: {error}")]
    InFile {
        /// File path, preset name or override.
        file: String,
        /// What is wrong there.
        error: Box<RecipeError>,
    },
    /// The recipe file could not be read.
    #[error("cannot read recipe `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why the system refused.
        #[source]
        source: std::io::Error,
    },
    /// The file is of another format.
    #[error(
        "`{}` is no TOML file but .{found}; recipes are TOML, as `ijepa recipes show NAME` prints them",
        path.display()
    )]
    NotToml {
        /// The file.
        path: PathBuf,
        /// What its name ends in.
        found: String,
    },
    /// No preset has this name.
    #[error(
        "no preset is named `{name}`{}; presets: {}; a file ends in .toml",
        suggestion(*near), known.join(", ")
    )]
    UnknownPreset {
        /// The name as given.
        name: String,
        /// The preset with the most similar name, if there is a similar one.
        near: Option<&'static str>,
        /// All presets.
        known: Vec<&'static str>,
    },
    /// The text is not TOML.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the TOML parser says.
        message: String,
    },
    /// An override is not `section.key=value`.
    #[error("expected section.key=value with a TOML value or a bare word")]
    Override,
    /// A section is not one of the recipe's.
    #[error("unknown section `{section}`, the nearest is `{nearest}`")]
    UnknownSection {
        /// The section as written.
        section: String,
        /// The most similar known section.
        nearest: String,
    },
    /// A key is not one of the recipe's.
    #[error("unknown key `{key}`, the nearest is `{nearest}`")]
    UnknownKey {
        /// The dotted key as written.
        key: String,
        /// The most similar known key.
        nearest: String,
    },
    /// A value has the wrong type or is not on the list of its key.
    #[error("`{key}` is {found}, expected {expected}")]
    WrongType {
        /// The dotted key.
        key: String,
        /// Type and value as written.
        found: String,
        /// What the key takes.
        expected: String,
    },
    /// A number is outside its range.
    #[error("`{key}` is {found}, expected {expected}")]
    OutOfRange {
        /// The dotted key.
        key: &'static str,
        /// The value.
        found: f64,
        /// The range in words.
        expected: &'static str,
    },
    /// An integer is larger than TOML, and so a written recipe, can hold.
    #[error("`{key}` is {found}, expected at most {}", i64::MAX)]
    TooLarge {
        /// The dotted key.
        key: &'static str,
        /// The value.
        found: u64,
    },
    /// A `[min, max]` pair is outside its range or reversed.
    #[error("`{key}` is [{min}, {max}], expected {expected}")]
    Interval {
        /// The dotted key.
        key: &'static str,
        /// The first value.
        min: f64,
        /// The second value.
        max: f64,
        /// The rule in words.
        expected: &'static str,
    },
    /// The architecture is not one of the named ones.
    #[error("`model.arch` is \"{found}\", the nearest is \"{nearest}\"; expected one of {}", known.join(", "))]
    UnknownArch {
        /// The name as given.
        found: String,
        /// The most similar known name.
        nearest: &'static str,
        /// All names.
        known: Vec<&'static str>,
    },
    /// Both a named architecture and one of its sizes are given.
    #[error("`model.arch` is \"{arch}\" and `{key}` is given too, expected only one of the two")]
    ArchAndSize {
        /// The named architecture.
        arch: String,
        /// The size that contradicts it.
        key: String,
    },
    /// Neither a named architecture nor all sizes are given.
    #[error("`{key}` is missing, expected `model.arch` or all of {}", sizes.join(", "))]
    MissingSize {
        /// The first missing size.
        key: String,
        /// The keys that replace `model.arch`.
        sizes: &'static [&'static str],
    },
    /// An image side is not a whole number of patches.
    #[error(
        "`model.image_size` has a side of {side}, expected a multiple of patch size {patch_size}"
    )]
    PatchSize {
        /// The side in pixels.
        side: usize,
        /// Patch side in pixels.
        patch_size: usize,
    },
    /// A width cannot be divided among the attention heads.
    #[error("`{key}` is {found}, expected a multiple of `model.num_heads` {num_heads}")]
    HeadWidth {
        /// The dotted key of the width.
        key: &'static str,
        /// The width.
        found: usize,
        /// Attention heads.
        num_heads: usize,
    },
    /// A width cannot hold two-dimensional sine-cosine positions.
    #[error("`{key}` is {found}, expected a multiple of 4 for sine and cosine of two axes")]
    PositionWidth {
        /// The dotted key of the width.
        key: &'static str,
        /// The width.
        found: usize,
    },
    /// The smallest allowed mask is no smaller than the patch grid.
    #[error("`mask.min_keep` is {found}, expected less than the {patches} patches of an image")]
    MinKeep {
        /// The value.
        found: usize,
        /// Patches of an image.
        patches: usize,
    },
    /// Rounded context lengths exist in uniform mode only.
    #[error(
        "`mask.length_multiple` is {found}, expected 1 unless `mask.mode` is \"uniform\"; set it, too"
    )]
    LengthMultiple {
        /// The value.
        found: usize,
    },
    /// A choice that makes no sense beside another one.
    #[error("`{key}` is \"{found}\", expected \"{expected}\" where `{beside}` is \"{value}\"")]
    Beside {
        /// The dotted key.
        key: &'static str,
        /// Its value.
        found: String,
        /// The only value that makes sense.
        expected: &'static str,
        /// The key that decides.
        beside: &'static str,
        /// The value of that key.
        value: &'static str,
    },
    /// A list without a number for each channel.
    #[error(
        "`{key}` has {found} numbers, expected {channels}, one for each of `data.channels`; `ijepa \
         data stats --channels {channels}` prints them"
    )]
    PerChannel {
        /// The dotted key.
        key: &'static str,
        /// Its numbers.
        found: usize,
        /// Channels of the images.
        channels: usize,
    },
    /// Colours are to be distorted of images that have none.
    #[error(
        "`data.color_jitter` is {color_jitter}, expected 0 where images are no bytes of red, green \
         and blue (`data.channels`, `data.sixteen_bit`)"
    )]
    NoColors {
        /// Its value.
        color_jitter: f64,
    },
    /// Names that are not those of the channels.
    #[error(
        "`data.bands` is [{found}], expected {channels} different names, one for each of \
         `data.channels`"
    )]
    Bands {
        /// The names.
        found: String,
        /// Channels of the images.
        channels: usize,
    },
    /// A picture of bands that are not there, or of too few or too many.
    #[error("`data.picture` is [{found}], expected one or three of the bands: {bands}")]
    Picture {
        /// The bands asked for.
        found: String,
        /// Those there are.
        bands: String,
    },
    /// More blocks are to be predicted than the encoder has.
    #[error(
        "`objective.target_blocks` is {blocks}, expected at most the {depth} blocks of the encoder"
    )]
    TargetBlocks {
        /// The value.
        blocks: usize,
        /// Blocks of the encoder.
        depth: usize,
    },
    /// The batch does not consist of whole mask groups.
    #[error(
        "`run.batch_size` is {batch_size}, expected a multiple of `mask.group_size` {group_size}"
    )]
    BatchGroups {
        /// Images of an optimizer step.
        batch_size: usize,
        /// Samples of a mask group.
        group_size: usize,
    },
    /// A forward pass does not consist of whole mask groups of the batch.
    #[error(
        "`run.micro_batch` is {micro_batch}, expected 0 or a multiple of the mask group of {group_size} \
         up to `run.batch_size` {batch_size}"
    )]
    MicroBatch {
        /// Images of a forward pass.
        micro_batch: usize,
        /// Samples of a mask group.
        group_size: usize,
        /// Images of an optimizer step.
        batch_size: usize,
    },
    /// A valid value that this build cannot act on.
    #[error("`{key}` is \"{value}\", which needs a build with the Cargo feature `{feature}`")]
    NotBuilt {
        /// The dotted key.
        key: &'static str,
        /// The value.
        value: &'static str,
        /// The feature.
        feature: &'static str,
    },
}

impl RecipeError {
    /// Says that this error is about `file` (a path, preset name or override).
    #[must_use]
    pub fn in_file(self, file: impl Into<String>) -> Self {
        Self::InFile {
            file: file.into(),
            error: Box::new(self),
        }
    }

    /// The broken rule without the names of files around it.
    pub fn rule(&self) -> &Self {
        match self {
            Self::InFile { error, .. } => error.rule(),
            rule => rule,
        }
    }
}
