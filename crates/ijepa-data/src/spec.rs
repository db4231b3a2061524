//! The text that names a data set on a command line.

mod folders;
mod options;

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::DataError;
use crate::nearest::near;
use crate::source::{
    CifarSource, ConcatSource, FolderForm, IndexCache, ListedSource, ParquetSource, ScenesConfig,
    ScenesSource, Source, TarSource, VocSource,
};

/// A data set by name: `KIND:ARGUMENT`, or a bare path for a folder.
///
/// | text | data |
/// |---|---|
/// | `folder:PATH`, `PATH` | image files, one sub-folder per class or flat; wildcards name several folders |
/// | `folder:PATH,labels=none` | image files at any depth without labels, see [`FolderSource::unlabelled`](crate::FolderSource::unlabelled) |
/// | `folder:PATH,labels=FILE` | image files with the labels of a text file, see [`ListedSource::labelled_folder`] |
/// | `list:FILE` | the images that a text file names, with labels or without, see [`ListedSource::list`] |
/// | `parquet:GLOB[,window=K]` | Hugging Face Parquet files with `image` and `label` columns, see [`ParquetSource`] |
/// | `tar:GLOB[,label=FIELD][,window=K]` | WebDataset shards, see [`TarSource`] |
/// | `scenes[:KEY=VALUE,...]` | images rendered by code, see [`ScenesConfig`] |
/// | `cifar10:PATH`, `cifar100:PATH` | in binary or Parquet form; `PATH/test` for the test images |
/// | `clevr-count:PATH`, `clevr-distance:PATH` | CLEVR v1.0; `PATH/val` for the validation images |
/// | `places205:PATH`, `inat18:PATH` | with their split files; `PATH/val` for the validation images |
/// | `voc:PATH` | images with masks in the layout of PASCAL VOC, see [`VocSource`]; `PATH/val` for those of the list `val` |
///
/// `GLOB` may have wildcards and braces (`train-{000000..000146}.tar`) and may be a folder, and
/// with the Cargo feature `remote` a URL; `K` row groups or shards are mixed at a time. A path with
/// a colon in its first component needs `folder:` in front.
///
/// # Examples
///
/// ```
/// use ijepa_data::DataSpec;
///
/// let spec: DataSpec = "photos/train".parse()?;
/// assert_eq!(spec, DataSpec::Folder("photos/train".into()));
/// assert_eq!(spec.to_string(), "folder:photos/train");
/// assert!("imagnet:photos".parse::<DataSpec>().is_err());
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataSpec {
    /// Image files below a folder, or several.
    Folder(PathBuf),
    /// Image files at any depth below a folder, or several, without labels.
    Unlabelled(PathBuf),
    /// Image files that a text file names.
    List(PathBuf),
    /// Image files below a folder with the labels of a text file.
    LabelledFolder {
        /// The folder.
        folder: PathBuf,
        /// The text file.
        labels: PathBuf,
    },
    /// Parquet files.
    Parquet {
        /// The files.
        pattern: PathBuf,
        /// Row groups that are mixed at a time, if not as many as usual.
        window: Option<NonZeroUsize>,
    },
    /// WebDataset shards.
    Tar {
        /// The files.
        pattern: PathBuf,
        /// The field of JSON members that labels are; otherwise those of members `cls`.
        label: Option<String>,
        /// Shards that are mixed at a time, if not as many as usual.
        window: Option<NonZeroUsize>,
    },
    /// Images rendered by code.
    Scenes(ScenesConfig),
    /// CIFAR-10 in a folder.
    Cifar10(PathBuf),
    /// CIFAR-100 in a folder, with its fine labels.
    Cifar100(PathBuf),
    /// CLEVR v1.0 labelled by the number of objects.
    ClevrCount(PathBuf),
    /// CLEVR v1.0 labelled by the depth of the nearest object.
    ClevrDistance(PathBuf),
    /// Places205 labelled by scene category.
    Places205(PathBuf),
    /// iNaturalist 2018 labelled by species.
    Inat18(PathBuf),
    /// Images with masks in the layout of PASCAL VOC, without labels.
    Voc(PathBuf),
}

/// Makes the specification of a kind from a path.
type OfPath = fn(PathBuf) -> DataSpec;

/// Kinds whose argument is a path and nothing else.
const OF_PATHS: &[(&str, OfPath)] = &[
    ("list", DataSpec::List),
    ("cifar10", DataSpec::Cifar10),
    ("cifar100", DataSpec::Cifar100),
    ("clevr-count", DataSpec::ClevrCount),
    ("clevr-distance", DataSpec::ClevrDistance),
    ("places205", DataSpec::Places205),
    ("inat18", DataSpec::Inat18),
    ("voc", DataSpec::Voc),
];

impl DataSpec {
    /// Opens the data set: lists it and reads its labels, but decodes no image.
    ///
    /// # Errors
    ///
    /// A [`DataError`] naming what is missing or malformed.
    pub fn open(&self) -> Result<Arc<dyn Source>, DataError> {
        self.open_with(None)
    }

    /// As [`open`](Self::open); folders are listed with the help of `indexes`, if there are any.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(&self, indexes: Option<&IndexCache>) -> Result<Arc<dyn Source>, DataError> {
        match self {
            Self::Folder(path) => folders::open(path, FolderForm::Classes, indexes),
            Self::Unlabelled(path) => folders::open(path, FolderForm::Unlabelled, indexes),
            Self::List(path) => Ok(Arc::new(ListedSource::list(path)?)),
            Self::LabelledFolder { folder, labels } => {
                Ok(Arc::new(ListedSource::labelled_folder(folder, labels)?))
            }
            Self::Parquet { pattern, window } => {
                let source = ParquetSource::open(pattern)?;
                Ok(Arc::new(match window {
                    Some(groups) => source.with_window(*groups),
                    None => source,
                }))
            }
            Self::Tar {
                pattern,
                label,
                window,
            } => {
                let source = TarSource::open(pattern, label.as_deref())?;
                Ok(Arc::new(match window {
                    Some(shards) => source.with_window(*shards),
                    None => source,
                }))
            }
            Self::Scenes(config) => Ok(Arc::new(ScenesSource::new(config.clone()))),
            Self::Cifar10(path) => Ok(Arc::new(CifarSource::cifar10(path)?)),
            Self::Cifar100(path) => Ok(Arc::new(CifarSource::cifar100(path)?)),
            Self::ClevrCount(path) => Ok(Arc::new(ListedSource::clevr_count(path)?)),
            Self::ClevrDistance(path) => Ok(Arc::new(ListedSource::clevr_distance(path)?)),
            Self::Places205(path) => Ok(Arc::new(ListedSource::places205(path)?)),
            Self::Inat18(path) => Ok(Arc::new(ListedSource::inat18(path)?)),
            Self::Voc(path) => Ok(Arc::new(VocSource::open(path)?)),
        }
    }

    /// Opens several data sets as one, in their order, see [`open_with`](Self::open_with).
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with), and [`DataError::BadValue`] for more images than have
    /// numbers of 32 bits.
    pub fn open_all(
        specs: &[Self],
        indexes: Option<&IndexCache>,
    ) -> Result<Arc<dyn Source>, DataError> {
        match specs {
            [spec] => spec.open_with(indexes),
            _ => {
                let sources = specs.iter().map(|spec| spec.open_with(indexes));
                let sources = sources.collect::<Result<Vec<_>, _>>()?;
                let images: usize = sources.iter().map(|source| source.len()).sum();
                match u32::try_from(images) {
                    Ok(_) => Ok(Arc::new(ConcatSource::new(sources))),
                    Err(_) => Err(DataError::too_many_images(images)),
                }
            }
        }
    }

    /// The same images where nobody asks for labels: a folder may have any form then.
    pub fn without_labels(self) -> Self {
        match self {
            Self::Folder(path) => Self::Unlabelled(path),
            other => other,
        }
    }
}

/// All kinds that can be opened.
fn kinds() -> impl Iterator<Item = &'static str> {
    let of_paths = OF_PATHS.iter().map(|(kind, _)| *kind);
    ["folder", "scenes", "parquet", "tar"]
        .into_iter()
        .chain(of_paths)
}

impl FromStr for DataSpec {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let (kind, argument) = match text.split_once(':') {
            Some((kind, argument)) if is_kind(kind) => (kind, argument),
            None if text == "scenes" => ("scenes", ""),
            _ => ("folder", text),
        };
        let path = |kind| options::path(kind, argument);
        match kind {
            "folder" => match argument.rsplit_once(",labels=") {
                Some(("", _)) => Err(DataError::MissingPath { kind: "folder" }),
                Some((folder, "none")) => Ok(Self::Unlabelled(folder.into())),
                Some((_, "")) => {
                    let expected = "the path of a text file";
                    Err(DataError::bad_value("labels", "", expected))
                }
                Some((folder, labels)) => Ok(Self::LabelledFolder {
                    folder: folder.into(),
                    labels: labels.into(),
                }),
                None => Ok(Self::Folder(path("folder")?)),
            },
            "scenes" => Ok(Self::Scenes(argument.parse()?)),
            "parquet" => {
                let (pattern, [window]) = options::split(argument, ["window"]);
                Ok(Self::Parquet {
                    pattern: options::path("parquet", pattern)?,
                    window: window.map(options::window).transpose()?,
                })
            }
            "tar" => {
                let (pattern, [label, window]) = options::split(argument, ["label", "window"]);
                Ok(Self::Tar {
                    pattern: options::path("tar", pattern)?,
                    label: label.map(options::field).transpose()?,
                    window: window.map(options::window).transpose()?,
                })
            }
            _ => {
                if let Some((kind, of_path)) = OF_PATHS.iter().find(|(known, _)| *known == kind) {
                    return Ok(of_path(path(kind)?));
                }
                Err(DataError::UnknownKind {
                    spec: text.to_owned(),
                    kind: kind.to_owned(),
                    near: near(kind, kinds()),
                    expected: kinds().collect::<Vec<_>>().join(", "),
                })
            }
        }
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
            Self::Unlabelled(path) => write!(f, "folder:{},labels=none", path.display()),
            Self::List(path) => write!(f, "list:{}", path.display()),
            Self::LabelledFolder { folder, labels } => {
                let (folder, labels) = (folder.display(), labels.display());
                write!(f, "folder:{folder},labels={labels}")
            }
            Self::Parquet { pattern, window } => {
                write!(f, "parquet:{}", pattern.display())?;
                options::write(f, "window", window.as_ref())
            }
            Self::Tar {
                pattern,
                label,
                window,
            } => {
                write!(f, "tar:{}", pattern.display())?;
                options::write(f, "label", label.as_ref())?;
                options::write(f, "window", window.as_ref())
            }
            Self::Scenes(config) => write!(f, "scenes:{config}"),
            Self::Cifar10(path) => write!(f, "cifar10:{}", path.display()),
            Self::Cifar100(path) => write!(f, "cifar100:{}", path.display()),
            Self::ClevrCount(path) => write!(f, "clevr-count:{}", path.display()),
            Self::ClevrDistance(path) => write!(f, "clevr-distance:{}", path.display()),
            Self::Places205(path) => write!(f, "places205:{}", path.display()),
            Self::Inat18(path) => write!(f, "inat18:{}", path.display()),
            Self::Voc(path) => write!(f, "voc:{}", path.display()),
        }
    }
}

/// Whether the text before a colon is meant as a kind: paths such as `C:\photos` and
/// `./a:b` are not.
fn is_kind(word: &str) -> bool {
    word.len() > 1 && !word.contains(['/', '\\', '.'])
}

#[cfg(test)]
mod tests;
