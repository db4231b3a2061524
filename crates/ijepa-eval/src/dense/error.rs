//! Why heads on patches learn nothing about pixels.

use ijepa_data::DataError;

use crate::{labels::Split, probe::ProbeError};

/// Segmentation or depths that cannot be learned or judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DenseError {
    /// The configuration is out of range, or all heads diverged.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A mask or depths cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// An image without a mask.
    #[error("`{name}` has no mask; masks come with voc: and scenes:")]
    NoMask {
        /// The image.
        name: String,
    },
    /// An image without depths.
    #[error(
        "`{name}` has no depths; they come with voc: and with scenes: of kind count or distance"
    )]
    NoDepth {
        /// The image.
        name: String,
    },
    /// Features that are not one vector a patch.
    #[error("{dim} features an image are not {patches} patches; extract them with tokens pooling")]
    Patches {
        /// Values of a feature.
        dim: usize,
        /// Patches of an image.
        patches: usize,
    },
    /// All pixels of a set are ignored.
    #[error("no pixel of the {split} masks has a class")]
    NoClass {
        /// The set.
        split: Split,
    },
    /// All pixels of a set are unknown.
    #[error("no pixel of the {split} images has a known depth")]
    NoKnownDepth {
        /// The set.
        split: Split,
    },
    /// A test mask with a class that no training mask shows.
    #[error("the mask of `{name}` has class {class}, training masks have 0 to {last}")]
    UnknownClass {
        /// The image.
        name: String,
        /// The class.
        class: u8,
        /// The largest class of the training masks.
        last: u8,
    },
}
