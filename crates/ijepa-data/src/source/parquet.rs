//! Parquet files in the layout of Hugging Face data sets.

mod chunk;
mod encoded;
mod labels;
mod pages;
mod shard;
mod thrift;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::order::Layout;
use crate::reading::in_order;
use crate::source::Source;
use crate::source::cache::Cache;
use crate::source::labels::Labels;
use crate::source::storage::{Storage, without_query};
use crate::source::wildcards::matching_in;
use encoded::Encoded;
use labels::LabelKind;
use shard::Shard;

/// The images of one or more Parquet files.
///
/// Images are in a column `image` or `img`: either encoded files in a binary column, or a struct
/// with such a `bytes` field. Labels are in a column `label`, `labels` or `fine_label`
/// (CIFAR-100), if any. Integers of any width are classes as they are, a negative or missing one
/// means no label, and their names come from the files' Hugging Face metadata, if present. The
/// classes of strings (also as dictionaries) and booleans are the sorted distinct values of all
/// files. Pages may be compressed by Snappy, Zstandard, Gzip, LZ4 (both kinds) or Brotli.
///
/// Opening reads footers and labels. Images are read by row group, one thread a group, and kept
/// encoded. An epoch mixes as many row groups at a time as have [`ParquetSource::WINDOW_BYTES`],
/// by the largest, and two such windows are in memory at most, so that every group is read once
/// an epoch. Who loads a group holds its column as it is on disk besides. A data set of less than
/// a window is shuffled as a whole and stays in memory.
///
/// # Examples
///
/// ```no_run
/// use ijepa_data::{ParquetSource, Source};
///
/// let train = ParquetSource::open("cifar10/train-*.parquet")?;
/// println!("{} images", train.len());
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct ParquetSource {
    shards: Vec<Shard>,
    groups: Vec<Group>,
    labels: Vec<Option<u32>>,
    classes: Vec<String>,
    window: usize,
    storage: Storage,
    cache: Cache<Encoded>,
}

/// A row group: `rows` images from `first` on.
#[derive(Debug)]
struct Group {
    shard: usize,
    number: usize,
    first: usize,
    rows: usize,
}

impl ParquetSource {
    /// Bytes of encoded images that are mixed at a time, 1 GiB; a row group of more is a window.
    pub const WINDOW_BYTES: usize = 1 << 30;

    /// Opens the files that match `pattern`, in the byte-wise order of their names.
    ///
    /// `*`, `?`, `{a,b}` and `{000..146}` are understood; a folder means all its `.parquet` files.
    /// With the Cargo feature `remote` it may be `https://HOST/PATH` or `s3://BUCKET/PATH`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoMatch`], [`DataError::NoRows`], [`DataError::Read`],
    /// [`DataError::Parquet`], [`DataError::MissingColumn`], [`DataError::LabelType`],
    /// [`DataError::LabelMix`], [`DataError::BadEntry`] if files name their classes differently,
    /// [`DataError::Inconsistent`], also for a label without a name, or
    /// [`ImageError::DecoderPanic`](crate::ImageError::DecoderPanic).
    pub fn open(pattern: impl AsRef<Path>) -> Result<Self, DataError> {
        let pattern = pattern.as_ref();
        let storage = Storage::of(pattern)?;
        let paths = storage.shards(pattern, "parquet")?;
        Self::of(pattern, storage, &paths)
    }

    /// As [`open`](Self::open), the files of `folder` that the wildcards of `name` match.
    pub(super) fn open_in(folder: &Path, name: &str) -> Result<Self, DataError> {
        let paths = matching_in(folder, name, Path::is_file)?;
        Self::of(&folder.join(name), Storage::Disk, &paths)
    }

    /// The images of the files `paths`, which the user called `pattern`.
    fn of(pattern: &Path, storage: Storage, paths: &[PathBuf]) -> Result<Self, DataError> {
        let mut source = Self {
            shards: Vec::new(),
            groups: Vec::new(),
            labels: Vec::new(),
            classes: Vec::new(),
            window: 1,
            storage,
            cache: Cache::new(0),
        };
        let (storage, threads) = (source.storage.clone(), source.storage.most_at_once());
        let open = |number: usize, _: &dyn Fn() -> bool| Shard::open(&storage, &paths[number]);
        let mut labels = Labels::default();
        let mut known: Option<(PathBuf, LabelKind)> = None;
        in_order(paths.len(), threads, threads, open, |_, opened| {
            let (shard, shard_labels) = opened?;
            same_kind(&mut known, &shard)?;
            source.add(shard, labels.rows.len())?;
            labels.append(shard_labels);
            Ok::<(), DataError>(())
        })??;
        let (rows, words) = labels.finish();
        source.labels = rows;
        if !words.is_empty() {
            source.classes = words;
        }
        if source.labels.is_empty() {
            return Err(DataError::NoRows {
                pattern: without_query(pattern).display().to_string(),
            });
        }
        if !source.classes.is_empty() {
            source.check_labels(source.classes.len())?;
        }
        let window = Self::WINDOW_BYTES / source.largest_group();
        Ok(source.with_window(NonZeroUsize::new(window).unwrap_or(NonZeroUsize::MIN)))
    }

    /// Adds a file whose images begin with `first`.
    fn add(&mut self, shard: Shard, mut first: usize) -> Result<(), DataError> {
        for (number, rows) in shard.group_rows().enumerate().filter(|group| group.1 > 0) {
            self.groups.push(Group {
                shard: self.shards.len(),
                number,
                first,
                rows,
            });
            first += rows;
        }
        let classes = shard.classes();
        if self.classes.is_empty() {
            self.classes = classes;
        } else if !classes.is_empty() {
            same_names(&self.classes, &classes, shard.path())?;
        }
        self.shards.push(shard);
        Ok(())
    }

    /// Refuses files that name classes and none of these.
    pub(super) fn check_names(&self, classes: &[&str]) -> Result<(), DataError> {
        let is_known = |name: &String| classes.contains(&name.as_str());
        if !self.classes.is_empty() && !self.classes.iter().any(is_known) {
            return Err(DataError::Inconsistent {
                path: self.shards[0].path().to_owned(),
                what: "the number of classes with names of this data set",
                found: 0,
                expected: self.classes.len() as i64,
            });
        }
        Ok(())
    }

    /// Refuses labels that are none of so many classes.
    pub(super) fn check_labels(&self, classes: usize) -> Result<(), DataError> {
        let is_beyond = |label: &Option<u32>| label.is_some_and(|it| it as usize >= classes);
        let Some(index) = self.labels.iter().position(is_beyond) else {
            return Ok(());
        };
        let shard = &self.shards[self.groups[self.locate(index).0].shard];
        Err(DataError::Inconsistent {
            path: shard.path().to_owned(),
            what: "a label",
            found: self.labels[index].map_or(0, i64::from),
            expected: classes as i64 - 1,
        })
    }

    /// Mixes the images of so many row groups at a time, of which twice as many are in memory;
    /// without this, of as many as have [`Self::WINDOW_BYTES`].
    #[must_use]
    pub fn with_window(self, groups: NonZeroUsize) -> Self {
        let window = groups.get();
        let bytes = window
            .saturating_mul(2)
            .saturating_mul(self.largest_group());
        Self {
            window,
            cache: Cache::new(bytes),
            ..self
        }
    }

    /// Bytes of the largest row group in memory, as its file says; at least 1.
    fn largest_group(&self) -> usize {
        let bytes = |group: &Group| self.shards[group.shard].image_bytes(group.number);
        self.groups
            .iter()
            .map(bytes)
            .max()
            .unwrap_or_default()
            .max(1)
    }

    /// The row group of image `index`, and the image's row in it.
    fn locate(&self, index: usize) -> (usize, usize) {
        assert!(index < self.len(), "image {index} of {}", self.len());
        let after = self.groups.partition_point(|group| group.first <= index);
        (after - 1, index - self.groups[after - 1].first)
    }
}

/// Refuses the file `path` if it calls a class `found` that the files before it call `known`.
fn same_names(known: &[String], found: &[String], path: &Path) -> Result<(), DataError> {
    let classes = 0..known.len().max(found.len());
    let Some(class) = { classes }.find(|&class| known.get(class) != found.get(class)) else {
        return Ok(());
    };
    Err(DataError::BadEntry {
        path: path.to_owned(),
        entry: format!("name of class {class}"),
        found: found
            .get(class)
            .map_or("none".to_owned(), |name| format!("`{name}`")),
        expected: "the names of the files before it",
    })
}

/// Refuses a file whose labels are of another kind than those of the files before it.
fn same_kind(known: &mut Option<(PathBuf, LabelKind)>, shard: &Shard) -> Result<(), DataError> {
    let Some((_, kind)) = shard.label() else {
        return Ok(());
    };
    let (first, expected) = known.get_or_insert_with(|| (shard.path().to_owned(), kind));
    if kind.is_integer() == expected.is_integer() {
        return Ok(());
    }
    Err(DataError::LabelMix {
        path: shard.path().to_owned(),
        first: first.clone(),
    })
}

impl Source for ParquetSource {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels[index]
    }

    /// The file and the row in it, counted from 0: `train-0.parquet#17`.
    fn name(&self, index: usize) -> String {
        let shard = self.groups[self.locate(index).0].shard;
        let first = self.groups.partition_point(|group| group.shard < shard);
        let row = index - self.groups[first].first;
        let path = self.shards[shard].path();
        format!("{}#{row}", path.display())
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let (group, row) = self.locate(index);
        let encoded: Arc<Encoded> = self.cache.get(group, || {
            let Group {
                shard,
                number,
                rows,
                ..
            } = self.groups[group];
            let encoded = self.shards[shard].images(&self.storage, number, rows)?;
            let bytes = encoded.bytes();
            Ok((encoded, bytes))
        })?;
        match encoded.image(row) {
            Some(bytes) => {
                buffer.clear();
                buffer.extend_from_slice(bytes);
                Ok(Fetched::File)
            }
            None => Err(DataError::MissingImage {
                name: self.name(index),
            }
            .into()),
        }
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        let shard = self.groups[self.locate(index).0].shard;
        let path = || self.shards[shard].path().to_owned();
        self.storage.is_disk().then(path)
    }

    fn layout(&self) -> Layout {
        Layout::Runs {
            ends: self
                .groups
                .iter()
                .map(|group| group.first + group.rows)
                .collect(),
            window: self.window,
        }
    }

    fn label_advice(&self) -> &'static str {
        "a Parquet file needs a column `label`, `labels` or `fine_label`"
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
