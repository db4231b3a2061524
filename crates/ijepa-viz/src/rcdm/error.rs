//! Why a decoder could not be trained or used.

use ijepa_data::DataError;
use ijepa_eval::ExtractError;
use ijepa_model::CheckpointError;
use ijepa_train::{RecipeError, TrainError};

/// A decoder that could not be trained or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RcdmError {
    /// The settings cannot be carried out.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The sizes contradict each other.
    #[error("`[decoder]`: {rule}")]
    Sizes {
        /// The rule that is broken.
        rule: &'static str,
    },
    /// The decoder was trained on vectors of another kind.
    #[error("the decoder was trained on vectors of kind {trained}, these are of kind {found}")]
    Kind {
        /// Of the decoder.
        trained: &'static str,
        /// At hand.
        found: &'static str,
    },
    /// The decoder takes vectors of another width.
    #[error("the decoder takes vectors of {expected} values, these have {found}")]
    Width {
        /// Of the decoder.
        expected: usize,
        /// At hand.
        found: usize,
    },
    /// The vectors are of other weights.
    #[error(
        "the decoder was trained on vectors of other weights than these (`weights` or `features`)"
    )]
    OtherWeights,
    /// There are more or fewer vectors than images.
    #[error(
        "{rows} vectors for {images} images; `ijepa embed` writes one for each image that it can read: \
         remove what its list of skipped images names"
    )]
    Rows {
        /// Vectors.
        rows: usize,
        /// Images of the data.
        images: usize,
    },
    /// The vectors are of other images.
    #[error(
        "vector {row} is of `{stored}`, image {row} of the data is `{found}`; embed the data itself"
    )]
    OtherImages {
        /// The first of them.
        row: usize,
        /// The image that the vector is of.
        stored: String,
        /// The image of the data.
        found: String,
    },
    /// There is too little to show or to compare.
    #[error("{found} {what}, expected at least {least}")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// Their number.
        found: usize,
        /// Least number.
        least: usize,
    },
    /// Damage leaves too few images to compare.
    #[error("{readable} images can be read and {skipped} cannot, expected at least 2 that can")]
    Unreadable {
        /// Images that can be read.
        readable: usize,
        /// Images that cannot.
        skipped: usize,
    },
    /// There is no readable image.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The run directory cannot be used, or the run diverged.
    #[error(transparent)]
    Run(#[from] TrainError),
}
