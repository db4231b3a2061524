//! Image files whose labels stand in a list or an annotation file.

mod clevr;
mod inat;
mod labels;
mod list;
mod places;

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::error::DataError;
use crate::fetch::{FetchError, Fetched};
use crate::source::Source;
use crate::source::file::{fetch_file, read_file};

/// Image files with the labels that a file gives them.
///
/// The data sets of the evaluation suite are constructors. Those with splits take the folder,
/// for the training images, or the folder with a split behind it: `CLEVR_v1.0/val`. Their images
/// stand in the order of their names; names that are absolute or contain `..` are refused, and so
/// is a name that stands twice. Those of [`list`](Self::list) and [`files`](Self::files) may lie
/// anywhere, in the order given.
///
/// Only the first file is looked for when the source is opened; others are missed when read.
///
/// # Examples
///
/// ```no_run
/// use ijepa_data::{ListedSource, Source};
///
/// let test = ListedSource::clevr_count("CLEVR_v1.0/val")?;
/// println!("{} images, {} classes", test.len(), test.classes().len());
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ListedSource {
    root: PathBuf,
    files: Vec<Listed>,
    classes: Vec<String>,
}

/// An image by its path below the root.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) name: Box<OsStr>,
    pub(super) label: Option<u32>,
}

impl Listed {
    pub(super) fn new(name: impl Into<OsString>, label: Option<u32>) -> Self {
        let name = name.into().into_boxed_os_str();
        Self { name, label }
    }
}

impl ListedSource {
    /// The images that the file `list` names, below the first of `roots` that has one of them.
    pub(super) fn new(
        list: &Path,
        roots: &[PathBuf],
        mut files: Vec<Listed>,
        classes: Vec<String>,
    ) -> Result<Self, DataError> {
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if let Some(file) = files.iter().find(|file| !stays_inside(&file.name)) {
            return Err(DataError::BadEntry {
                path: list.to_owned(),
                entry: "an image's name".to_owned(),
                found: format!("`{}`", file.name.display()),
                expected: "a path below the data folder",
            });
        }
        if let Some(pair) = files.windows(2).find(|pair| pair[0].name == pair[1].name) {
            let (found, expected) = match pair[0].label {
                Some(_) => ("two labels", "one"),
                None => ("it twice", "it once"),
            };
            return Err(DataError::BadEntry {
                path: list.to_owned(),
                entry: format!("image `{}`", pair[0].name.display()),
                found: found.to_owned(),
                expected,
            });
        }
        let Some(first) = files.first() else {
            return Err(DataError::SubsetEmpty {
                path: list.to_owned(),
            });
        };
        match roots.iter().find(|root| root.join(&*first.name).is_file()) {
            Some(root) => Ok(Self {
                root: root.clone(),
                files,
                classes,
            }),
            None => Err(DataError::ListedMissing {
                path: list.to_owned(),
                name: first.name.display().to_string(),
                root: roots[0].clone(),
            }),
        }
    }

    /// The file of image `index`.
    ///
    /// # Panics
    ///
    /// Panics if `index` is not below the number of images.
    pub fn path(&self, index: usize) -> PathBuf {
        self.root.join(&*self.files[index].name)
    }
}

impl Source for ListedSource {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.files[index].label
    }

    fn name(&self, index: usize) -> String {
        self.path(index).display().to_string()
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        fetch_file(&self.path(index), buffer)
    }

    fn file(&self, index: usize) -> Option<PathBuf> {
        Some(self.path(index))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}

/// Whether a path from a file cannot lead out of the data folder.
fn stays_inside(name: &OsStr) -> bool {
    let mut parts = Path::new(name).components();
    !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Parses a JSON file into the fields that are wanted and skips all others.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    serde_json::from_slice(&read_file(path)?).map_err(|cause| DataError::Json {
        path: path.to_owned(),
        source: Box::new(cause),
    })
}

/// Class names for data sets that only number their classes.
fn numbered(classes: u32) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}
