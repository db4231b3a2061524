//! Files of features: `.safetensors`, `.npy` and `.parquet`.

mod how_read;
mod npy;
mod parquet_read;
mod parquet_write;
mod safetensors;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use ijepa_model::{Pooling, files::FileError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Features;
use crate::labels::{LabelsError, numbers_by_name};
pub(crate) use how_read::HowRead;
pub(super) use safetensors::{SafetensorsFile, read as read_safetensors};

/// A file format, by the extension of a file's name.
///
/// Rows are the readable images in the order of their source. Beside them stand the labels, -1
/// where there is none, the names of the classes, which encoder it was and a digest of it, the pooling
/// (`mean`, `concat4`, `tokens` or `map`) and how images were read:
///
/// | format | features, labels | `classes`, `pool`, `encoder`, `weights`, `read` |
/// |---|---|---|
/// | `.safetensors` | `embedding` f32 `[images, dim]`, `[images, tokens, dim]` or `[images, rows, cols, dim]`, `label` i64 | the header's `__metadata__`, classes and `read` as JSON |
/// | `.npy` | the array; labels in `NAME.labels.npy` | `NAME.meta.json` |
/// | `.parquet` | columns `path`, `label`, `embedding` (a list), `class` | the footer's key-value metadata, classes and `read` as JSON |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureFormat {
    /// Any number of vectors an image.
    Safetensors,
    /// As [`Safetensors`](Self::Safetensors), for NumPy.
    Npy,
    /// One vector an image, with paths and names of classes.
    Parquet,
}

impl FeatureFormat {
    /// The format of the file `path`, which need not exist.
    ///
    /// # Errors
    ///
    /// [`FeatureFileError::Extension`] if its name ends in none of the three.
    pub fn of(path: &Path) -> Result<Self, FeatureFileError> {
        let ending = path.extension().and_then(OsStr::to_str);
        match ending.map(str::to_ascii_lowercase).as_deref() {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npy") => Ok(Self::Npy),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(FeatureFileError::Extension {
                path: path.to_owned(),
            }),
        }
    }

    /// The format of a new file `path` that is to hold features of `pooling`.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of), and [`FeatureFileError::TokensToParquet`].
    pub fn of_new(path: &Path, pooling: Pooling) -> Result<Self, FeatureFileError> {
        match (Self::of(path)?, pooling) {
            (Self::Parquet, Pooling::Tokens | Pooling::Map) => {
                Err(FeatureFileError::TokensToParquet)
            }
            (format, _) => Ok(format),
        }
    }

    /// The files that are written beside the file `path`: of an `.npy` file its labels and what is
    /// said of it.
    pub fn beside(self, path: &Path) -> Vec<PathBuf> {
        match self {
            Self::Npy => npy::all_beside(path).into(),
            Self::Safetensors | Self::Parquet => Vec::new(),
        }
    }

    /// Begins a file for at most `most_rows` rows.
    pub(super) fn create(
        self,
        path: &Path,
        shape: RowShape,
        most_rows: usize,
        about: About,
    ) -> io::Result<Box<dyn FeatureFile>> {
        Ok(match self {
            Self::Safetensors => {
                let facts = about.facts();
                Box::new(SafetensorsFile::create(path, shape, most_rows, &facts)?)
            }
            Self::Npy => Box::new(npy::Npy::create(path, shape, most_rows, about)?),
            Self::Parquet => Box::new(parquet_write::ParquetFile::create(path, shape, about)?),
        })
    }
}

/// A file of features that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureFileError {
    /// A name that says no format.
    #[error("`{}` does not end in .safetensors, .npy or .parquet", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// A table whose rows are lists of one length.
    #[error(
        "tokens cannot be written to Parquet, expected a file that ends in .safetensors or .npy"
    )]
    TokensToParquet,
    /// A file that is not what [`embed`](crate::embed) writes.
    #[error("cannot read features from `{}`: {why}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file that other weights made than those to search with.
    #[error("`{}` was made by another encoder; search with its own weights, or embed the images again", path.display())]
    OtherWeights {
        /// The file.
        path: PathBuf,
    },
    /// Two files whose features cannot be compared.
    #[error("the two files come from different {what}; embed both with the same weights and flags")]
    Unlike {
        /// What differs.
        what: &'static str,
    },
    /// A file that cannot be written.
    #[error(transparent)]
    Write(#[from] FileError),
}

/// Features that were read from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFeatures {
    /// A row for each image.
    pub features: Features,
    /// Names of the classes by label; empty if the file has none.
    pub classes: Vec<String>,
    /// `mean` or `concat4` if the file says how tokens became a vector.
    pub pool: Option<String>,
    /// Which encoder of its weights it was, such as `target`, if the file says so.
    pub encoder: Option<String>,
    /// A digest of the encoder's sizes and weights, if the file has it.
    pub weights: Option<String>,
    /// How images were read, if the file has it.
    pub(crate) read: Option<HowRead>,
}

impl StoredFeatures {
    /// Checks that `other` can be compared with these: what both files say of encoder, pooling and
    /// images is the same.
    ///
    /// # Errors
    ///
    /// [`FeatureFileError::Unlike`].
    pub fn check_like(&self, other: &Self) -> Result<(), FeatureFileError> {
        fn unlike<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
            matches!((one, other), (Some(one), Some(other)) if one != other)
        }
        let what = match () {
            () if unlike(&self.weights, &other.weights) => "encoders",
            () if unlike(&self.pool, &other.pool) => "poolings",
            () if !self.is_read_like(other) => "ways to read images",
            () => return Ok(()),
        };
        Err(FeatureFileError::Unlike { what })
    }

    /// The same with the classes of `train`, as [`with_classes_of`](crate::with_classes_of) finds
    /// those of images.
    ///
    /// # Errors
    ///
    /// [`LabelsError::UnknownNames`] or [`LabelsError::Nameless`].
    pub fn with_classes_of(mut self, train: &Self) -> Result<Self, LabelsError> {
        if let Some(numbers) = numbers_by_name(&train.classes, &self.classes)? {
            self.features = self.features.renumbered(&numbers)?;
            self.classes.clone_from(&train.classes);
        }
        Ok(self)
    }

    fn is_read_like(&self, other: &Self) -> bool {
        match (&self.read, &other.read) {
            (Some(read), Some(other)) => read.is_like(other),
            _ => true,
        }
    }
}

/// Reads pooled features from a file that [`embed`](crate::embed) wrote, now or before it kept
/// the names of classes.
///
/// # Errors
///
/// [`FeatureFileError::Read`] if the file is damaged, of another shape or not finite.
pub fn read_features(path: &Path) -> Result<StoredFeatures, FeatureFileError> {
    let bad = |why: String| FeatureFileError::Read {
        path: path.to_owned(),
        why,
    };
    let table = match FeatureFormat::of(path) {
        Ok(FeatureFormat::Safetensors) => {
            read_safetensors(path).and_then(|(table, facts)| Ok((table, About::of(&facts)?)))
        }
        Ok(FeatureFormat::Npy) => npy::read(path),
        Ok(FeatureFormat::Parquet) => parquet_read::read(path),
        Err(_) => Err("expected a .safetensors, .npy or .parquet file of `ijepa embed`".to_owned()),
    };
    let (table, about) = table.map_err(bad)?;
    let features = table.into_features().map_err(bad)?;
    Ok(StoredFeatures {
        features,
        classes: about.classes,
        pool: about.pool,
        encoder: about.encoder,
        weights: about.weights,
        read: about.read,
    })
}

/// The paths or ids of the images of a Parquet file that [`embed`](crate::embed) wrote.
///
/// # Errors
///
/// [`FeatureFileError::Read`] if the file is damaged or of another format.
pub fn read_names(path: &Path) -> Result<Vec<String>, FeatureFileError> {
    let names = match FeatureFormat::of(path) {
        Ok(FeatureFormat::Parquet) => parquet_read::names(path),
        _ => Err("expected a .parquet file, which has the paths of images".to_owned()),
    };
    let path = path.to_owned();
    names.map_err(|why| FeatureFileError::Read { path, why })
}

/// What a file says of its features beside labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    /// How tokens became features.
    #[serde(default)]
    pub(super) pool: Option<String>,
    /// Which encoder of its weights it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encoder: Option<String>,
    /// A digest of the encoder.
    #[serde(default)]
    pub(super) weights: Option<String>,
    /// How images were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) read: Option<HowRead>,
    /// Names of the classes by label.
    #[serde(default)]
    pub(super) classes: Vec<String>,
}

/// Texts by key, as formats keep them.
pub(super) type Facts = BTreeMap<String, String>;

impl About {
    fn of(facts: &Facts) -> Result<Self, String> {
        Ok(Self {
            pool: facts.get("pool").cloned(),
            encoder: facts.get("encoder").cloned(),
            weights: facts.get("weights").cloned(),
            read: parsed(facts, "read")?,
            classes: parsed(facts, "classes")?.unwrap_or_default(),
        })
    }

    fn facts(&self) -> Facts {
        let json = "texts and numbers are JSON";
        let classes = serde_json::to_string(&self.classes).expect(json);
        let read = self.read.as_ref();
        let read = read.map(|read| serde_json::to_string(read).expect(json));
        let texts = [
            ("pool", self.pool.clone()),
            ("encoder", self.encoder.clone()),
            ("weights", self.weights.clone()),
            ("read", read),
            ("classes", Some(classes)),
        ];
        let texts = texts.into_iter();
        texts
            .filter_map(|(key, text)| Some((key.to_owned(), text?)))
            .collect()
    }
}

/// What `facts` say as JSON under a key, if they have it.
fn parsed<T: DeserializeOwned>(facts: &Facts, key: &str) -> Result<Option<T>, String> {
    let value = facts.get(key).map(|text| serde_json::from_str(text));
    let value = value.transpose();
    value.map_err(|error| format!("`{key}` is damaged: {error}"))
}

/// Rows to append: features of some images with their labels and names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// One row after another.
    pub(super) features: &'a [f32],
    /// -1 for images without a label.
    pub(super) labels: &'a [i64],
    /// Path or id of each image.
    pub(super) names: &'a [String],
}

/// A file that is whole when it is finished and absent before.
pub(super) trait FeatureFile {
    fn push(&mut self, rows: Rows<'_>) -> io::Result<()>;

    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// Shape of the features of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowShape {
    /// Vectors of an image: none if they are pooled, else their number or their rows and columns.
    pub(super) vectors: [Option<usize>; 2],
    /// Length of a vector.
    pub(super) dim: usize,
}

impl RowShape {
    /// Values of a row.
    fn len(self) -> usize {
        self.inner().product()
    }

    /// Sides of the array of an image.
    fn inner(self) -> impl Iterator<Item = usize> {
        self.vectors.into_iter().flatten().chain([self.dim])
    }

    /// The shape of so many rows.
    pub(super) fn with_rows(self, rows: usize) -> Vec<usize> {
        std::iter::once(rows).chain(self.inner()).collect()
    }
}

/// Values of a file: their shape, and the label of each row.
pub(super) struct Table {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
    pub(super) labels: Vec<i64>,
}

impl Table {
    pub(super) fn into_features(self) -> Result<Features, String> {
        let &[rows, dim] = self.shape.as_slice() else {
            return Err(format!(
                "`embedding` is {:?}, expected [images, dim] as with --pool mean or concat4",
                self.shape
            ));
        };
        if self.labels.len() != rows {
            let found = self.labels.len();
            return Err(format!("{found} labels for {rows} images"));
        }
        let labels = self.labels.into_iter();
        let labels = labels.map(|label| u32::try_from(label).ok()).collect();
        Features::new(dim, self.values, labels).map_err(|error| error.to_string())
    }
}
