//! Tar files in the layout of WebDataset.

mod index;
mod scan;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::order::Layout;
use crate::reading::in_order;
use crate::source::Source;
use crate::source::cache::Cache;
use crate::source::file::{MOST_BYTES, too_large};
use crate::source::folder::EXTENSIONS_TEXT;
use crate::source::storage::{Blob, Storage, beside, without_query};
use crate::source::user_cache::user_cache;
use index::Index;

/// Names the classes of shards whose labels are numbers, one a line.
pub(crate) const CLASSES_FILE: &str = "classes.txt";
/// Shards that are kept open.
const MOST_OPEN: usize = 128;
/// Images that are mixed at a time, unless told otherwise.
const WINDOW_IMAGES: usize = 1 << 16;

/// The images of one or more tar files.
///
/// Members that follow one another and whose paths are equal up to the first dot of the file name
/// are a sample: `a/7.jpg`, `a/7.cls`. Its image is the member with an ending of
/// [`IMAGE_EXTENSIONS`](crate::IMAGE_EXTENSIONS), in either case; of several, the first that has
/// nothing between the key and that ending (`7.jpg` before `7.left.jpg`). Samples without one are
/// passed over. Integers of the member `cls` are classes as they are, a negative one means no
/// label; names are classes in their byte-wise order. Where labels are integers, a file
/// `classes.txt` beside the first shard may name class `n` in line `n`, from 0.
///
/// The first opening reads the headers and labels of every shard, in parallel, and keeps an index
/// (24 bytes an image and its name) as a hidden file beside the shard or, where that cannot be
/// written or is behind a URL, in `ijepa/shards` of the user's cache folder. It counts for a shard
/// of the same length, time of change and ETag; where a server tells neither time nor ETag, none is
/// kept. The query of a URL does not count. The file of a shard may be ustar, GNU or PAX, of any
/// size, and is not compressed; sparse members are refused.
///
/// A shard that stops early has the images before that place and is named in
/// [`faults`](Source::faults); an image that is cut is a damaged one. A shard that is another one
/// when an image is read is an error ([`DataError::Replaced`]), never another image.
///
/// # Examples
///
/// ```no_run
/// use ijepa_data::{Source, TarSource};
///
/// let train = TarSource::open("imagenet/train-{000000..000146}.tar", None)?;
/// println!("{} images, first {}", train.len(), train.name(0));
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct TarSource {
    shards: Vec<Shard>,
    /// Images up to the end of each shard.
    ends: Vec<usize>,
    classes: Vec<String>,
    window: usize,
    storage: Storage,
    open: Cache<Blob>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    index: Index,
    /// The class of each word of the index.
    classes: Vec<u32>,
}

impl TarSource {
    /// Opens the files that `pattern` names, in the byte-wise order of their paths.
    ///
    /// `*`, `?`, `{a,b}` and `{000..146}` are understood; a folder means all its `.tar` files. With
    /// the Cargo feature `remote` it may be `https://HOST/PATH` or `s3://BUCKET/PATH`. With a
    /// `field`, labels are that field of members `json`: integers, strings or booleans.
    ///
    /// # Errors
    ///
    /// [`DataError::NoMatch`], [`DataError::Read`], [`DataError::Tar`], [`DataError::BadEntry`]
    /// for a label that is none, [`DataError::LabelMix`], or [`DataError::NoImages`].
    pub fn open(pattern: impl AsRef<Path>, field: Option<&str>) -> Result<Self, DataError> {
        let pattern = pattern.as_ref();
        let storage = Storage::of(pattern)?;
        let paths = storage.shards(pattern, "tar")?;
        // Where indices are kept that cannot lie beside their shards.
        let folder = user_cache("shards");
        let open = |number: usize, _: &dyn Fn() -> bool| {
            Index::open(&storage, &paths[number], field, folder.as_deref())
        };
        let mut indices = Vec::with_capacity(paths.len());
        let threads = storage.most_at_once();
        in_order(paths.len(), threads, threads, open, |_, index| {
            indices.push(index?);
            Ok::<(), DataError>(())
        })??;
        one_kind(&paths, &indices)?;
        let words = indices.iter().flat_map(|index| &index.about().words);
        let classes: Vec<String> = words
            .collect::<BTreeSet<_>>()
            .into_iter()
            .cloned()
            .collect();
        let place =
            |word: &String| classes.binary_search(word).expect("every word is a class") as u32;
        let shard = |(path, index): (PathBuf, Index)| Shard {
            path,
            classes: index.about().words.iter().map(place).collect(),
            index,
        };
        let shards: Vec<Shard> = paths.into_iter().zip(indices).map(shard).collect();
        let add = |images: &mut usize, shard: &Shard| {
            *images += shard.index.len();
            Some(*images)
        };
        let ends: Vec<usize> = shards.iter().scan(0, add).collect();
        let images = ends.last().copied().unwrap_or_default();
        if images == 0 {
            return Err(DataError::NoImages {
                path: without_query(pattern).to_owned(),
                expected: EXTENSIONS_TEXT,
            });
        }
        check_labelled(pattern, field, &shards)?;
        let classes = match classes.is_empty() && field.is_none() {
            true => names_of_numbers(&storage, &shards)?,
            false => classes,
        };
        Ok(Self {
            window: (WINDOW_IMAGES * shards.len()).div_ceil(images),
            shards,
            ends,
            classes,
            storage,
            open: Cache::new(MOST_OPEN),
        })
    }

    /// Mixes the images of so many shards at a time; without this, of as many as have 65,536.
    #[must_use]
    pub fn with_window(self, shards: NonZeroUsize) -> Self {
        let window = shards.get();
        Self { window, ..self }
    }

    /// The number of the shard of image `index`, and the image's row in it.
    fn locate(&self, index: usize) -> (usize, usize) {
        assert!(index < self.len(), "image {index} of {}", self.len());
        let shard = self.ends.partition_point(|&end| end <= index);
        let first = shard.checked_sub(1).map_or(0, |before| self.ends[before]);
        (shard, index - first)
    }
}

/// Whether an image has a label where a `field` was said to hold them.
fn check_labelled(pattern: &Path, field: Option<&str>, shards: &[Shard]) -> Result<(), DataError> {
    let mut kinds = shards.iter().map(|shard| shard.index.about().are_numbers);
    match field.filter(|_| !kinds.any(|kind| kind.is_some())) {
        None => Ok(()),
        Some(field) => Err(DataError::BadEntry {
            path: without_query(pattern).to_owned(),
            entry: format!("field `{field}`"),
            found: "no label in any sample".to_owned(),
            expected: "some in members `json`",
        }),
    }
}

impl Source for TarSource {
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (number, row) = self.locate(index);
        let shard = &self.shards[number];
        let label = shard.index.label(row)?;
        match shard.classes.is_empty() {
            true => Some(label),
            false => shard.classes.get(label as usize).copied(),
        }
    }

    /// The shard and the member in it: `train-0.tar/n01440764/10026.jpg`.
    fn name(&self, index: usize) -> String {
        let (number, row) = self.locate(index);
        let Shard { path, index, .. } = &self.shards[number];
        format!(
            "{}/{}",
            without_query(path).display(),
            String::from_utf8_lossy(index.name(row))
        )
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        let shard = &self.shards[self.locate(index).0];
        self.storage.is_disk().then(|| shard.path.clone())
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        let (number, row) = self.locate(index);
        let shard = &self.shards[number];
        let (start, length) = shard.index.place(row);
        if start.saturating_add(length.into()) > shard.index.about().shard.bytes {
            let name = self.name(index);
            return Err(DataError::CutOff { name }.into());
        }
        if u64::from(length) > MOST_BYTES {
            return Err(too_large(self.name(index).as_ref(), length.into()).into());
        }
        let open = || Ok((self.storage.open(&shard.path)?, 1));
        let blob = self.open.get(number, open)?;
        buffer.resize(length as usize, 0);
        blob.read_into(buffer, start, &shard.index.about().shard)?;
        Ok(Fetched::File)
    }

    fn layout(&self) -> Layout {
        Layout::Runs {
            ends: self.ends.clone(),
            window: self.window,
        }
    }

    fn label_advice(&self) -> &'static str {
        "tar files need members `KEY.cls`, or `,label=FIELD` for a field of their members `KEY.json`"
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn faults(&self) -> Vec<String> {
        let stopped = self.shards.iter().filter_map(|shard| {
            let why = shard.index.about().stop.as_ref()?;
            let images = shard.index.len();
            let path = without_query(&shard.path).display();
            Some(format!(
                "`{path}` stops early, after {images} images: {why}"
            ))
        });
        stopped.collect()
    }
}

/// Refuses shards of which some have numbers for labels and some words.
fn one_kind(paths: &[PathBuf], indices: &[Index]) -> Result<(), DataError> {
    let kinds = paths.iter().zip(indices).filter_map(|(path, index)| {
        let are_numbers = index.about().are_numbers?;
        Some((path, are_numbers))
    });
    let mut kinds = kinds.peekable();
    let Some(&(first, expected)) = kinds.peek() else {
        return Ok(());
    };
    match kinds.find(|(_, found)| *found != expected) {
        Some((path, _)) => Err(DataError::LabelMix {
            path: without_query(path).to_owned(),
            first: without_query(first).to_owned(),
        }),
        None => Ok(()),
    }
}

/// The names of classes that are numbers, if there are such and a file beside the first of `shards`
/// has them.
fn names_of_numbers(storage: &Storage, shards: &[Shard]) -> Result<Vec<String>, DataError> {
    let labels = shards.iter().map(|shard| &shard.index);
    let labels = labels.flat_map(|index| (0..index.len()).filter_map(|row| index.label(row)));
    let Some(largest) = labels.max() else {
        return Ok(Vec::new());
    };
    let path = beside(&shards[0].path, CLASSES_FILE);
    let Some(text) = storage.text(&path)? else {
        return Ok(Vec::new());
    };
    let names: Vec<String> = text.lines().map(str::to_owned).collect();
    match largest as usize >= names.len() {
        true => Err(DataError::BadEntry {
            path: without_query(&path).to_owned(),
            entry: format!("label {largest}"),
            found: format!("{} lines", names.len()),
            expected: "a line for every label from 0",
        }),
        false => Ok(names),
    }
}
