//! Where the files of a data set lie: on this machine or behind URLs.

mod blob;
mod local;
#[cfg(feature = "remote")]
mod remote;

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::fetch::FetchError;
use crate::reading::Retry;
use crate::source::file::read_text;
use crate::source::shards::shards;
pub(super) use blob::{Blob, Scanner};

/// Files that are looked at side by side, since storage answers many at once.
const MOST_AT_ONCE: usize = 16;
/// As many behind URLs, where an answer takes longer.
#[cfg(feature = "remote")]
const MOST_AT_ONCE_REMOTE: usize = 64;

/// The storage of one data set.
#[derive(Debug, Clone)]
pub(super) enum Storage {
    Disk,
    #[cfg(feature = "remote")]
    Remote(std::sync::Arc<remote::Remote>),
}

impl Storage {
    /// The storage of the files that `pattern` names.
    ///
    /// # Errors
    ///
    /// [`DataError::NoRemote`] for a URL in a build without the feature `remote`, with it
    /// [`DataError::Threads`].
    pub(super) fn of(pattern: &Path) -> Result<Self, DataError> {
        match is_url(pattern) {
            false => Ok(Self::Disk),
            #[cfg(feature = "remote")]
            true => Ok(Self::Remote(remote::Remote::start()?)),
            #[cfg(not(feature = "remote"))]
            true => Err(DataError::NoRemote {
                url: pattern.display().to_string(),
            }),
        }
    }

    /// The files that `pattern` names, sorted byte-wise; never empty.
    pub(super) fn shards(&self, pattern: &Path, ending: &str) -> Result<Vec<PathBuf>, DataError> {
        match self {
            Self::Disk => shards(pattern, ending),
            #[cfg(feature = "remote")]
            Self::Remote(remote) => remote.shards(pattern, ending),
        }
    }

    pub(super) fn open(&self, path: &Path) -> Result<Blob, DataError> {
        match self {
            Self::Disk => Blob::open(path),
            #[cfg(feature = "remote")]
            Self::Remote(remote) => Ok(Blob::Object(remote.object(path)?)),
        }
    }

    /// The text of a file, if it is there and, behind a URL, for us: some servers refuse what they
    /// do not have.
    pub(super) fn text(&self, path: &Path) -> Result<Option<String>, DataError> {
        match self {
            Self::Disk => path.is_file().then(|| read_text(path)).transpose(),
            #[cfg(feature = "remote")]
            Self::Remote(remote) => remote.text(path),
        }
    }

    /// Files that are looked at side by side.
    pub(super) fn most_at_once(&self) -> usize {
        match self {
            Self::Disk => MOST_AT_ONCE,
            #[cfg(feature = "remote")]
            Self::Remote(_) => MOST_AT_ONCE_REMOTE,
        }
    }

    pub(super) fn is_disk(&self) -> bool {
        matches!(self, Self::Disk)
    }
}

/// Whether a path is a URL.
pub(crate) fn is_url(path: &Path) -> bool {
    let scheme = path.to_str().and_then(|text| text.split_once("://"));
    scheme.is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// A URL up to its query, and the query with its `?`: `?token=T`. Paths, and the keys of S3, have
/// none.
pub(super) fn split_query(url: &str) -> (&str, &str) {
    let has_query = url.starts_with("http://") || url.starts_with("https://");
    let start = url.find('?').filter(|_| has_query);
    url.split_at(start.unwrap_or(url.len()))
}

/// A path, or a URL without its query, which may be long or secret and is another one the next day.
pub(super) fn without_query(path: &Path) -> &Path {
    let bare = path.to_str().map(|url| Path::new(split_query(url).0));
    bare.unwrap_or(path)
}

/// The file `name` in the folder of `path`; a URL keeps its query.
pub(super) fn beside(path: &Path, name: &str) -> PathBuf {
    let Some(url) = path.to_str().filter(|_| is_url(path)) else {
        return path.with_file_name(name);
    };
    let (url, query) = split_query(url);
    let folder = url.rfind('/').map_or(0, |slash| slash + 1);
    format!("{}{name}{query}", &url[..folder]).into()
}

/// Waits for storage that fails for now, while a data set is opened.
pub(super) fn patiently<T>(
    mut attempt: impl FnMut() -> Result<T, DataError>,
) -> Result<T, DataError> {
    let attempt = || attempt().map_err(FetchError::from);
    let done = Retry::default().run(&|| false, attempt);
    done.map_err(FetchError::into_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths() {
        for (path, expected) in [
            ("https://host/a.tar", true),
            ("s3://bucket/a.tar", true),
            ("C:/a.tar", false),
            ("a/b://c", false),
            ("://a", false),
        ] {
            assert_eq!(is_url(path.as_ref()), expected, "{path}");
        }
    }

    #[test]
    fn what_lies_beside_a_file_is_asked_for_as_that_is() {
        for (path, expected) in [
            ("a/b-0.tar", "a/classes.txt"),
            (
                "https://h/a/b-0.tar?token=x/y",
                "https://h/a/classes.txt?token=x/y",
            ),
            ("http://h/b-0.tar", "http://h/classes.txt"),
            ("s3://h/a/b?0.tar", "s3://h/a/classes.txt"),
        ] {
            assert_eq!(beside(path.as_ref(), "classes.txt"), Path::new(expected));
        }
    }

    #[test]
    #[cfg(not(feature = "remote"))]
    fn a_build_without_the_feature_says_so() {
        let error = Storage::of("https://host/a.tar".as_ref()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`https://host/a.tar` needs a build with the Cargo feature `remote`"
        );
    }
}
