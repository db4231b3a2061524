//! What heads on patches can learn.

use burn::tensor::{Device, Tensor};
use ijepa_data::{DataError, Depth, Mask, Source};

use super::DenseError;
use crate::labels::Split;

/// What is known about the pixels of an image.
pub(super) trait PixelLabels: Sized + Send + Sync {
    /// That of an image; none if the source has none.
    fn read(source: &dyn Source, index: usize) -> Result<Option<Self>, DataError>;

    /// The error of an image without.
    fn missing(name: String) -> DenseError;

    /// The error of a set without a pixel that counts.
    fn none_known(split: Split) -> DenseError;

    /// `[height, width]`.
    fn size(&self) -> [usize; 2];

    /// The largest class of a pixel, 0 where there are no classes; none if no pixel counts.
    fn last_class(&self) -> Option<u8>;

    /// The nearest pixels at `[height, width]`.
    fn resized(&self, size: [usize; 2]) -> Self;
}

impl PixelLabels for Mask {
    fn read(source: &dyn Source, index: usize) -> Result<Option<Self>, DataError> {
        source.mask(index)
    }

    fn missing(name: String) -> DenseError {
        DenseError::NoMask { name }
    }

    fn none_known(split: Split) -> DenseError {
        DenseError::NoClass { split }
    }

    fn size(&self) -> [usize; 2] {
        Self::size(self)
    }

    fn last_class(&self) -> Option<u8> {
        Self::last_class(self)
    }

    fn resized(&self, size: [usize; 2]) -> Self {
        Self::resized(self, size)
    }
}

impl PixelLabels for Depth {
    fn read(source: &dyn Source, index: usize) -> Result<Option<Self>, DataError> {
        source.depth(index)
    }

    fn missing(name: String) -> DenseError {
        DenseError::NoDepth { name }
    }

    fn none_known(split: Split) -> DenseError {
        DenseError::NoKnownDepth { split }
    }

    fn size(&self) -> [usize; 2] {
        Self::size(self)
    }

    fn last_class(&self) -> Option<u8> {
        self.known().next().map(|_| 0)
    }

    fn resized(&self, size: [usize; 2]) -> Self {
        Self::resized(self, size)
    }
}

/// Targets, loss and scores of linear layers whose outputs are interpolated to pixels,
/// `[batch, channels, height, width]`.
pub(super) trait Task: Sized + Send + Sync {
    /// What is known about the pixels of an image.
    type Labels: PixelLabels;
    /// Those of a batch as the loss takes them.
    type Targets: Send + Sync;
    /// What one head achieved on the test images.
    type Scores: Send;

    /// That of the training images, at the size they are learned at, which have classes 0 to
    /// `last`; none if no pixel counts.
    fn of(labels: &[Self::Labels], last: u8) -> Option<Self>;

    /// Outputs of a head for one patch.
    fn channels(&self) -> usize;

    /// All `labels` have one size.
    fn targets(&self, labels: &[&Self::Labels], device: &Device) -> Self::Targets;

    /// `[1]`.
    fn loss(&self, outputs: Tensor<4>, targets: &Self::Targets) -> Tensor<1>;

    /// Looks at a test image before the heads are judged by it.
    fn look(&mut self, _labels: &Self::Labels) {}

    /// Those of a head before the first image.
    fn scores(&self) -> Self::Scores;

    /// Adds the pixels of one image.
    fn count(&self, scores: &mut Self::Scores, labels: &Self::Labels, outputs: Tensor<4>);
}
