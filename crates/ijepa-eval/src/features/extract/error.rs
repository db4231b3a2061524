//! Why there are no features.

use ijepa_data::{DataError, Skipped};

use crate::features::FeaturesError;

/// Features that cannot be extracted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// Images are not read, or not normalised, with the channels that the encoder takes.
    #[error(
        "the encoder takes images of {encoder} channels, they are read with {images} and normalised \
         by statistics of {statistics}"
    )]
    Channels {
        /// Channels that the encoder takes.
        encoder: usize,
        /// Channels that images are read with.
        images: usize,
        /// Means and deviations.
        statistics: usize,
    },
    /// A batch of no images.
    #[error("batch size is 0, expected at least 1")]
    BatchSize,
    /// A source that is empty or too large to be counted.
    #[error("the data has {found} images, expected 1 to 4294967295")]
    Images {
        /// Images of the source.
        found: usize,
    },
    /// An image was asked for by a number that is too large.
    #[error("there is no image {index}, the data has {images}, counted from 0")]
    NoSuchImage {
        /// Number asked for.
        index: usize,
        /// Images of the source.
        images: usize,
    },
    /// The last four layers were asked of an encoder with fewer.
    #[error("concat4 pooling needs 4 layers, the encoder has {depth}; use mean pooling")]
    Shallow {
        /// Layers of the encoder.
        depth: usize,
    },
    /// Not one image could be read.
    #[error("none of the {images} images can be read; the first is `{path}` ({why})")]
    NothingReadable {
        /// Images of the source.
        images: usize,
        /// Path or id of the first.
        path: String,
        /// What is wrong with it, with the causes.
        why: String,
    },
    /// The encoder gave a value that is not a number or infinite.
    #[error("value {column} of `{path}` is {found}; the weights have probably diverged")]
    NotFinite {
        /// Path or id of the first such image.
        path: String,
        /// Position in its features, from 0.
        column: usize,
        /// The value.
        found: f32,
    },
    /// An image cannot be had, so that features would silently lack it, or no thread be started
    /// that reads images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The encoder gave values that are no features.
    #[error(transparent)]
    Features(#[from] FeaturesError),
}

impl ExtractError {
    /// Of images that are all unreadable.
    pub(crate) fn nothing_readable(unread: &[Skipped]) -> Self {
        match unread.first() {
            Some(first) => Self::NothingReadable {
                images: unread.len(),
                path: first.path.clone(),
                why: first.why.clone(),
            },
            None => Self::Images { found: 0 },
        }
    }
}
