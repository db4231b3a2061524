//! Where images come from.

mod cache;
mod cifar;
mod concat;
mod file;
mod folder;
mod index_file;
mod labels;
mod listed;
mod parquet;
mod scenes;
mod shards;
mod split;
mod stamp;
mod storage;
mod tar;
mod user_cache;
mod voc;
mod wildcards;

pub use cifar::CifarSource;
pub use concat::{ConcatSource, distinct_classes};
pub(crate) use file::unreadable;
pub use folder::{FolderForm, FolderSource, IMAGE_EXTENSIONS, IndexCache, Kept};
pub(crate) use folder::{matching_folders, matching_images};
pub use listed::ListedSource;
pub use parquet::ParquetSource;
pub use scenes::{Background, SceneKind, SceneLabels, ScenesConfig, ScenesSource};
pub(crate) use storage::is_url;
pub(crate) use tar::CLASSES_FILE;
pub use tar::TarSource;
pub use voc::VocSource;

use std::path::PathBuf;

use crate::decode::decode;
use crate::depth::Depth;
use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::image::RgbImage8;
use crate::mask::Mask;
use crate::order::Layout;

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
    /// knows its classes; `None` for images without labels, the default.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn label(&self, index: usize) -> Option<u32> {
        let _ = index;
        None
    }

    /// The path or id of image `index`, as shown in messages and written to results.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn name(&self, index: usize) -> String;

    /// The file that holds image `index`, alone or with others; `None` if it is made by code or
    /// lies behind a URL, as for sources that do not say; without, caches read all pixels to know
    /// the images.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn file(&self, index: usize) -> Option<PathBuf> {
        let _ = index;
        None
    }

    /// Whether images are made by code or lie in memory, so that fetching them keeps a core busy;
    /// others are waited for, many at once.
    fn is_computed(&self) -> bool {
        false
    }

    /// Gets image `index`: its pixels, or the bytes of its file in `buffer`, whose contents before
    /// are lost.
    ///
    /// # Errors
    ///
    /// A [`FetchError`] naming the image; a [`DataError`] becomes one by `?`.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError>;

    /// Fetches and decodes image `index` to bytes of colours, in one attempt.
    ///
    /// [`ImageReader`](crate::ImageReader) waits for storage that fails for now and decodes as it
    /// is told: other channels, full depth, pictures upright.
    ///
    /// # Errors
    ///
    /// A [`DataError`] naming the image if it cannot be fetched or decoded.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn read(&self, index: usize) -> Result<RgbImage8, DataError> {
        let mut buffer = Vec::new();
        match self.fetch(index, &mut buffer) {
            Ok(Fetched::Pixels(image)) => image.into_rgb8(),
            Ok(Fetched::File) => decode(&buffer, &self.name(index)),
            Err(error) => Err(error.into_error()),
        }
    }

    /// Which class every pixel of image `index` belongs to; `None` if the source has no masks.
    ///
    /// # Errors
    ///
    /// A [`DataError`] naming the mask if it cannot be read.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn mask(&self, index: usize) -> Result<Option<Mask>, DataError> {
        let _ = index;
        Ok(None)
    }

    /// How far every pixel of image `index` is; `None` if the source has no depths.
    ///
    /// # Errors
    ///
    /// A [`DataError`] naming the depths if they cannot be read.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below [`len`](Self::len).
    fn depth(&self, index: usize) -> Result<Option<Depth>, DataError> {
        let _ = index;
        Ok(None)
    }

    /// How the images lie on their storage, which decides the order of an epoch.
    fn layout(&self) -> Layout {
        Layout::Alone(self.len())
    }

    /// What labels need in data of this kind, in words; empty where there is nothing to say.
    fn label_advice(&self) -> &'static str {
        ""
    }

    /// Class names by label; empty when the source has no labels or does not name them.
    fn classes(&self) -> &[String] {
        &[]
    }

    /// What was found when it was opened and should be said once, a sentence each.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is missing without being missed, such as the images after the place where a file stops
    /// early: warnings, a sentence each.
    fn faults(&self) -> Vec<String> {
        Vec::new()
    }
}
