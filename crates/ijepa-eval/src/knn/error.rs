//! Why there are no neighbours.

use crate::features::{FeaturesError, WidthError};
use crate::labels::LabelsError;

/// Features that cannot be classified by neighbours.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KnnError {
    /// No number of neighbours was given.
    #[error("no number of neighbours is given, expected at least one k")]
    NoNeighbours,
    /// Zero neighbours cannot vote.
    #[error("k is 0, expected at least 1")]
    ZeroNeighbours,
    /// There are fewer training images than neighbours.
    #[error("k is {k}, but there are only {train_images} training images; use a smaller k")]
    TooManyNeighbours {
        /// The largest number of neighbours.
        k: usize,
        /// Training images.
        train_images: usize,
    },
    /// There are fewer training images than vote where nobody chooses how many do.
    #[error("{k} neighbours vote, but there are only {train_images} training images")]
    FewerThanVote {
        /// The number of neighbours.
        k: usize,
        /// Training images.
        train_images: usize,
    },
    /// There are too few training images to know the covariance of their features.
    #[error(
        "whitening takes more training images than features have values, and there are \
         {train_images} for {dim}"
    )]
    TooFewToWhiten {
        /// Training images.
        train_images: usize,
        /// Values of a feature.
        dim: usize,
    },
    /// More training images than have a number.
    #[error("there are {found} training images, expected at most 4294967295")]
    TooManyImages {
        /// Training images.
        found: usize,
    },
    /// The temperature is not a positive number.
    #[error("temperature is {found}, expected a number above 0")]
    Temperature {
        /// The temperature.
        found: f64,
    },
    /// Blocks without images.
    #[error("block is {}x{}, expected at least 1x1 (test x training images)", found[0], found[1])]
    Block {
        /// Test and training images of a block.
        found: [usize; 2],
    },
    /// The two sets come from different encoders.
    #[error(transparent)]
    Width(#[from] WidthError),
    /// Features that cannot be whitened.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// Labels that do not vote.
    #[error(transparent)]
    Labels(#[from] LabelsError),
}
