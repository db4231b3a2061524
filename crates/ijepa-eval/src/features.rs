//! One feature vector per image, with labels: how they are extracted, stored and kept.

mod cache;
mod digest;
mod embed;
mod embedder;
mod extract;
mod reader;
mod shares;
mod store;

pub use cache::FeatureCache;
pub use digest::{networks_digest, weights_digest};
pub use embed::{Embedded, embed};
pub use embedder::Embedder;
pub use extract::{
    ExtractConfig, ExtractError, Extracted, PixelBatch, decoding_of, default_normalization,
    extract, extract_pixels, extract_with_progress, for_each_batch, natural_size, preprocess_of,
};
pub use shares::{embed_together, extract_together};
pub(crate) use store::HowRead;
pub use store::{FeatureFileError, FeatureFormat, StoredFeatures, read_features, read_names};

pub(crate) use extract::{collect, on_images, resize_of, stream, values};
pub(crate) use reader::Reader;

use crate::labels::{LabelsError, Split, numbered};

/// Feature vectors of a data set; all finite, at least one image and one value each.
///
/// ```
/// use ijepa_eval::Features;
///
/// let features = Features::new(2, vec![0.5, 1.0, -2.0, 0.0], vec![Some(3), None])?;
/// assert_eq!((features.images(), features.dim()), (2, 2));
/// assert_eq!(features.row(1), [-2.0, 0.0]);
/// # Ok::<(), ijepa_eval::FeaturesError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    dim: usize,
    values: Vec<f32>,
    labels: Vec<Option<u32>>,
}

/// Training and test features that come from different encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("training features have {train} values, test features {test}; extract both alike")]
pub struct WidthError {
    /// Values of a training feature.
    pub train: usize,
    /// Values of a test feature.
    pub test: usize,
}

impl WidthError {
    pub(crate) fn check(train: usize, test: usize) -> Result<(), Self> {
        match train == test {
            true => Ok(()),
            false => Err(Self { train, test }),
        }
    }
}

impl Features {
    /// Wraps values and labels.
    ///
    /// # Shapes
    ///
    /// - `values`: `[images, dim]`, row by row
    /// - `labels`: `[images]`; `None` where the class is unknown
    ///
    /// # Errors
    ///
    /// A [`FeaturesError`] if the lengths contradict each other, there is nothing, or a value is
    /// not finite.
    pub fn new(
        dim: usize,
        values: Vec<f32>,
        labels: Vec<Option<u32>>,
    ) -> Result<Self, FeaturesError> {
        let (images, found) = (labels.len(), values.len());
        if images == 0 || dim == 0 {
            return Err(FeaturesError::Empty { images, dim });
        }
        if images.checked_mul(dim) != Some(found) {
            return Err(FeaturesError::Length { images, dim, found });
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(FeaturesError::NotFinite {
                image: at / dim,
                column: at % dim,
                found: values[at],
            });
        }
        Ok(Self {
            dim,
            values,
            labels,
        })
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.labels.len()
    }

    /// Values of one image.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All values, `[images, dim]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, `[images, dim]`, without a copy.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The class of each image where it is known.
    pub fn labels(&self) -> &[Option<u32>] {
        &self.labels
    }

    /// The same with the classes of test images under other `numbers`, by their number.
    fn renumbered(mut self, numbers: &[u32]) -> Result<Self, LabelsError> {
        for (image, class) in self.labels.iter_mut().enumerate() {
            let Some(label) = class.as_mut() else {
                continue;
            };
            let number = numbers.get(*label as usize);
            *label = *number.ok_or_else(|| LabelsError::Nameless {
                split: Split::Test,
                image: numbered(image),
                label: *label,
                classes: numbers.len(),
            })?;
        }
        Ok(self)
    }

    /// The feature vector of one image, `[dim]`.
    ///
    /// # Panics
    ///
    /// Panics if there is no such image.
    pub fn row(&self, image: usize) -> &[f32] {
        &self.values[image * self.dim..(image + 1) * self.dim]
    }

    /// Mean feature vector, `[dim]`.
    pub(crate) fn mean(&self) -> Vec<f64> {
        ijepa_patches::mean_row(&self.values, self.dim)
    }
}

/// Values that are no features.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FeaturesError {
    /// No image, or no value per image.
    #[error("{images} images of {dim} values are no features")]
    Empty {
        /// Labels given, one per image.
        images: usize,
        /// Values per image.
        dim: usize,
    },
    /// The number of values does not fit.
    #[error("{images} labels and {dim} values per image do not go with {found} values")]
    Length {
        /// Labels given, one per image.
        images: usize,
        /// Values per image.
        dim: usize,
        /// Values given.
        found: usize,
    },
    /// A value is not a number or infinite, which a diverged encoder produces.
    #[error("value {column} of image {image} is {found}; the weights have probably diverged")]
    NotFinite {
        /// Row of the features, from 0.
        image: usize,
        /// Position in the row, from 0.
        column: usize,
        /// The value.
        found: f32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_features_is_refused_with_the_facts() {
        let message = |dim, values: &[f32], labels: usize| {
            let error = Features::new(dim, values.to_vec(), vec![None; labels]).unwrap_err();
            error.to_string()
        };
        assert_eq!(message(3, &[], 0), "0 images of 3 values are no features");
        assert_eq!(message(0, &[], 2), "2 images of 0 values are no features");
        assert_eq!(
            message(3, &[0.0; 5], 2),
            "2 labels and 3 values per image do not go with 5 values"
        );
        assert_eq!(
            message(2, &[0.0, 1.0, 2.0, f32::NAN], 2),
            "value 1 of image 1 is NaN; the weights have probably diverged"
        );
        assert_eq!(
            message(1, &[f32::NEG_INFINITY], 1),
            "value 0 of image 0 is -inf; the weights have probably diverged"
        );
        assert!(Features::new(usize::MAX, vec![0.0; 4], vec![None; 2]).is_err());
    }

    #[test]
    fn the_mean_is_per_column() {
        let features = Features::new(2, vec![1.0, 2.0, 3.0, 6.0], vec![None; 2]).unwrap();
        assert_eq!(features.mean(), [2.0, 4.0]);
    }
}
