//! Where images come from.

mod cifar;
mod folder;
mod listed;
mod parquet;
mod scenes;
mod split;

pub use cifar::CifarSource;
pub use folder::{FolderSource, IMAGE_EXTENSIONS};
pub use listed::ListedSource;
pub use parquet::ParquetSource;
pub use scenes::{Background, SceneKind, SceneLabels, ScenesConfig, ScenesSource};

use std::path::PathBuf;

use crate::error::DataError;
use crate::image::RgbImage8;

/// A fixed, ordered collection of images that any thread may read by index.
///
/// Index order is the order of every output: rows of a feature file, lists of skipped images.
pub trait Source: Send + Sync + std::fmt::Debug {
    /// Number of images.
    fn len(&self) -> usize;

    /// Whether there is no image.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of image `index`, a position in [`classes`](Self::classes) where the source
    /// knows its classes; `None` for images without labels.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn label(&self, index: usize) -> Option<u32>;

    /// The path or id of image `index`, as shown in messages and written to results.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn name(&self, index: usize) -> String;

    /// The file that holds image `index`, alone or with others; `None` if it is made by code, as
    /// for sources that do not say.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn file(&self, index: usize) -> Option<PathBuf> {
        let _ = index;
        None
    }

    /// Reads and decodes image `index`.
    ///
    /// # Errors
    ///
    /// A [`DataError`] naming the image if it cannot be read or decoded.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn read(&self, index: usize) -> Result<RgbImage8, DataError>;

    /// Class names by label; empty when the source has no labels or does not name them.
    fn classes(&self) -> &[String];
}
