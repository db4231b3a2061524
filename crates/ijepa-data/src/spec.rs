//! The text that names a data set on a command line or in a recipe.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::DataError;
use crate::source::{CifarSource, FolderSource, ParquetSource, ScenesConfig, ScenesSource, Source};

/// A data set by name: `KIND:ARGUMENT`, or a bare path for a folder.
///
/// | text | data |
/// |---|---|
/// | `folder:PATH`, `PATH` | image files, one sub-folder per class or flat |
/// | `parquet:GLOB` | Hugging Face Parquet files with `image` and `label` columns |
/// | `scenes[:KEY=VALUE,...]` | images rendered by code, see [`ScenesConfig`] |
/// | `cifar10:PATH`, `cifar100:PATH` | in binary or Parquet form; `PATH/test` for the test images |
///
/// `tar`, `clevr-count`, `clevr-distance`, `places205` and `inat18` are understood
/// but cannot be opened yet. A path with a colon in its first component needs `folder:` in front.
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
    /// Image files below a folder.
    Folder(PathBuf),
    /// Parquet files; the file name may have wildcards.
    Parquet(PathBuf),
    /// Images rendered by code.
    Scenes(ScenesConfig),
    /// CIFAR-10 in a folder.
    Cifar10(PathBuf),
    /// CIFAR-100 in a folder, with its fine labels.
    Cifar100(PathBuf),
    /// A kind that is known but cannot be opened yet.
    NotBuilt {
        /// The kind's name.
        kind: &'static str,
        /// The text after the colon.
        argument: String,
    },
}

const KINDS: &[&str] = &["folder", "parquet", "scenes", "cifar10", "cifar100"];
const KINDS_NOT_BUILT: &[&str] = &[
    "tar",
    "clevr-count",
    "clevr-distance",
    "places205",
    "inat18",
];

impl DataSpec {
    /// Opens the data set: lists it and reads its labels, but decodes no image.
    ///
    /// # Errors
    ///
    /// A [`DataError`] naming what is missing or malformed; [`DataError::NotBuilt`] for kinds
    /// that cannot be read yet.
    pub fn open(&self) -> Result<Box<dyn Source>, DataError> {
        match self {
            Self::Folder(path) => Ok(Box::new(FolderSource::open(path)?)),
            Self::Parquet(pattern) => Ok(Box::new(ParquetSource::open(pattern)?)),
            Self::Scenes(config) => Ok(Box::new(ScenesSource::new(config.clone()))),
            Self::Cifar10(path) => Ok(Box::new(CifarSource::cifar10(path)?)),
            Self::Cifar100(path) => Ok(Box::new(CifarSource::cifar100(path)?)),
            Self::NotBuilt { kind, .. } => Err(DataError::NotBuilt { kind }),
        }
    }

    /// Opens a folder restricted to the images that the file `list` names, one a line.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`FolderSource::restrict_to`];
    /// [`DataError::SubsetOfOther`] if the data is not a folder.
    pub fn open_subset(&self, list: &Path) -> Result<Box<dyn Source>, DataError> {
        match self {
            Self::Folder(path) => Ok(Box::new(FolderSource::open(path)?.restrict_to(list)?)),
            other => Err(DataError::SubsetOfOther {
                spec: other.to_string(),
            }),
        }
    }
}

impl FromStr for DataSpec {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let (kind, argument) = match text.split_once(':') {
            Some((kind, argument)) if is_kind(kind) => (kind, argument),
            None if text == "scenes" => ("scenes", ""),
            _ => ("folder", text),
        };
        let path = |kind| {
            let missing = DataError::MissingPath { kind };
            if argument.is_empty() {
                Err(missing)
            } else {
                Ok(PathBuf::from(argument))
            }
        };
        match kind {
            "folder" => Ok(Self::Folder(path("folder")?)),
            "parquet" => Ok(Self::Parquet(path("parquet")?)),
            "scenes" => Ok(Self::Scenes(argument.parse()?)),
            "cifar10" => Ok(Self::Cifar10(path("cifar10")?)),
            "cifar100" => Ok(Self::Cifar100(path("cifar100")?)),
            _ => match KINDS_NOT_BUILT.iter().find(|&&known| known == kind) {
                Some(kind) => Ok(Self::NotBuilt {
                    kind,
                    argument: argument.to_owned(),
                }),
                None => Err(DataError::UnknownKind {
                    spec: text.to_owned(),
                    kind: kind.to_owned(),
                    expected: [KINDS, KINDS_NOT_BUILT].concat().join(", "),
                }),
            },
        }
    }
}

impl fmt::Display for DataSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
            Self::Parquet(pattern) => write!(f, "parquet:{}", pattern.display()),
            Self::Scenes(config) => write!(f, "scenes:{config}"),
            Self::Cifar10(path) => write!(f, "cifar10:{}", path.display()),
            Self::Cifar100(path) => write!(f, "cifar100:{}", path.display()),
            Self::NotBuilt { kind, argument } => write!(f, "{kind}:{argument}"),
        }
    }
}

/// Whether the text before a colon is meant as a kind: paths such as `C:\photos` and
/// `./a:b` are not.
fn is_kind(word: &str) -> bool {
    word.len() > 1 && !word.contains(['/', '\\', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let spec: DataSpec = text.parse().unwrap();
        assert_eq!(spec.to_string(), expected);
        assert_eq!(expected.parse::<DataSpec>().unwrap(), spec);
    }

    fn message(text: &str) -> String {
        text.parse::<DataSpec>().unwrap_err().to_string()
    }

    #[test]
    fn every_form_is_parsed_and_written_back() {
        check("photos", "folder:photos");
        check("folder:a:b", "folder:a:b");
        check("./odd:name", "folder:./odd:name");
        check(r"C:\photos", r"folder:C:\photos");
        check("parquet:d/train-*.parquet", "parquet:d/train-*.parquet");
        check("cifar10:data", "cifar10:data");
        check("tar:shards/*.tar", "tar:shards/*.tar");
        let default = "scenes:kind=texture,n=20000,size=64,seed=0,background=grey";
        check("scenes", default);
        check("scenes:", default);
        check(
            "scenes:kind=count,background=color,n=5,size=32,seed=18446744073709551615",
            "scenes:kind=count,n=5,size=32,seed=18446744073709551615,background=color",
        );
    }

    #[test]
    fn mistakes_name_what_was_found_and_what_is_valid() {
        assert_eq!(
            message("imagenet:x"),
            "unknown kind of data `imagenet` in `imagenet:x`, expected one of: folder, parquet, \
             scenes, cifar10, cifar100, tar, clevr-count, clevr-distance, places205, inat18"
        );
        assert_eq!(
            message("scenes:colour=grey"),
            "unknown key `colour` for scenes data, expected one of: kind, n, size, seed, background"
        );
        assert_eq!(
            message("scenes:size=4"),
            "bad value `4` for `size`, expected a whole number from 8 to 1024"
        );
        assert_eq!(
            message("scenes:n=0").split(',').next(),
            Some("bad value `0` for `n`")
        );
        assert_eq!(
            message("scenes:kind"),
            "bad value `` for `kind`, expected count, distance, shape or texture"
        );
        assert_eq!(
            message("folder:"),
            "folder data needs a path: `folder:PATH`"
        );
        assert_eq!(message(""), "folder data needs a path: `folder:PATH`");
        assert_eq!(
            message("cifar10:"),
            "cifar10 data needs a path: `cifar10:PATH`"
        );
    }

    #[test]
    fn kinds_that_are_not_built_say_so_when_opened() {
        for kind in KINDS_NOT_BUILT {
            let spec: DataSpec = format!("{kind}:x").parse().unwrap();
            let error = spec.open().unwrap_err().to_string();
            assert_eq!(error, format!("reading {kind} data is not built yet"));
        }
        let scenes: DataSpec = "scenes:n=3".parse().unwrap();
        assert_eq!(scenes.open().unwrap().len(), 3);
        let error = scenes.open_subset(Path::new("list")).unwrap_err();
        assert!(matches!(error, DataError::SubsetOfOther { .. }));
    }
}
