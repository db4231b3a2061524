//! What a source gives of an image, and why it may not.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::error::DataError;
use crate::image::Image;
use crate::loader::Skipped;
use crate::source::{Source, is_url};

/// What [`Source::fetch`](crate::Source::fetch) has got of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Fetched {
    /// An image file, in the buffer; [`decode`](crate::decode) makes pixels of it.
    File,
    /// Pixels, bytes of colours or channels in full depth; nothing is left to decode.
    Pixels(Image),
}

/// Why an image could not be fetched, by what is to be done about it.
///
/// Made from a [`DataError`], it is what the operating system's error says: an image that cannot
/// be reached for now, or any more, must never be taken for a damaged one.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The storage fails for now; the same request may succeed later.
    #[error(transparent)]
    Transient(DataError),
    /// It is not there or not for us, or was waited for in vain. Another image in its place would
    /// change what is learned and measured without a word.
    #[error(transparent)]
    Missing(DataError),
    /// It is there and no image, or is gone from a folder that stands and whose index of another
    /// day lists it.
    #[error(transparent)]
    Corrupt(DataError),
}

impl FetchError {
    /// The error without its kind.
    pub fn into_error(self) -> DataError {
        match self {
            Self::Transient(error) | Self::Missing(error) | Self::Corrupt(error) => error,
        }
    }

    /// Lists a damaged image, number `index` of `source`; any other error ends what is done with
    /// all.
    pub(crate) fn skips(self, source: &dyn Source, index: usize) -> Result<Skipped, DataError> {
        match self {
            Self::Corrupt(error) => Ok(Skipped::new(source, index, &error)),
            lost => Err(lost.into_error()),
        }
    }
}

impl From<DataError> for FetchError {
    fn from(error: DataError) -> Self {
        let Some((cause, path)) = system_error(&error) else {
            return match error.itself() {
                DataError::Replaced { .. } => Self::Missing(error),
                _ => Self::Corrupt(error),
            };
        };
        match cause.kind() {
            // What is there now was away when it was read.
            ErrorKind::NotFound | ErrorKind::NotADirectory
                if !folder_stands(path) || path.exists() =>
            {
                Self::Transient(error)
            }
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied => {
                Self::Missing(error)
            }
            ErrorKind::IsADirectory
            | ErrorKind::InvalidData
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
            | ErrorKind::UnexpectedEof => Self::Corrupt(error),
            _ if is_circle_of_links(cause) => Self::Corrupt(error),
            _ => Self::Transient(error),
        }
    }
}

/// What the operating system said, and the file that it is about.
fn system_error(error: &DataError) -> Option<(&io::Error, &Path)> {
    match error.itself() {
        DataError::Read { path, source } => Some((source, path)),
        _ => None,
    }
}

/// Whether the folder of a file that is not there is there itself. That of an unmounted disk is
/// empty; a server that answers is there.
fn folder_stands(path: &Path) -> bool {
    if is_url(path) {
        return true;
    }
    let folder = |path: &Path| match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => ".".into(),
    };
    // The file of a link lies elsewhere.
    let target = fs::read_link(path).map(|target| folder(path).join(target));
    let entries = fs::read_dir(folder(target.as_deref().unwrap_or(path)));
    entries.is_ok_and(|mut entries| entries.next().is_some_and(|entry| entry.is_ok()))
}

#[cfg(unix)]
fn is_circle_of_links(cause: &io::Error) -> bool {
    cause.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(not(unix))]
fn is_circle_of_links(_: &io::Error) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &Path, cause: io::Error) -> &'static str {
        let error = DataError::Read {
            path: path.to_owned(),
            source: cause,
        };
        match FetchError::from(error) {
            FetchError::Transient(_) => "transient",
            FetchError::Missing(_) => "missing",
            FetchError::Corrupt(_) => "corrupt",
        }
    }

    #[test]
    #[cfg(unix)]
    fn errors_of_the_storage_are_told_from_errors_of_the_file() {
        use rustix::io::Errno;
        let of = |errno: Errno| kind(Path::new("/a.png"), errno.into());
        for errno in [
            Errno::IO,
            Errno::STALE,
            Errno::AGAIN,
            Errno::TIMEDOUT,
            Errno::INTR,
            Errno::NOTCONN,
            Errno::MFILE,
        ] {
            assert_eq!(of(errno), "transient", "{errno}");
        }
        assert_eq!(of(Errno::ACCESS), "missing");
        for errno in [Errno::ISDIR, Errno::LOOP, Errno::NAMETOOLONG] {
            assert_eq!(of(errno), "corrupt", "{errno}");
        }
        let undecodable = DataError::MissingImage { name: "a".into() };
        assert!(matches!(
            FetchError::from(undecodable),
            FetchError::Corrupt(_)
        ));
        let path = "train-0.tar".into();
        let replaced = FetchError::from(DataError::Replaced { path });
        assert!(matches!(replaced, FetchError::Missing(_)));
        let shared = DataError::Shared(std::sync::Arc::new(replaced.into_error()));
        assert!(matches!(FetchError::from(shared), FetchError::Missing(_)));
    }

    #[test]
    fn a_file_is_missing_only_if_its_folder_stands() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("class");
        let path = folder.join("a.png");
        let not_found = || kind(&path, ErrorKind::NotFound.into());
        assert_eq!(not_found(), "transient");
        fs::create_dir(&folder).unwrap();
        // As an unmounted disk leaves it.
        assert_eq!(not_found(), "transient");
        fs::write(folder.join("b.png"), "").unwrap();
        assert_eq!(not_found(), "missing");
        let url = Path::new("https://host/a.tar");
        assert_eq!(kind(url, ErrorKind::NotFound.into()), "missing");
        fs::write(&path, "").unwrap();
        assert_eq!(not_found(), "transient", "it is back");
    }

    #[test]
    #[cfg(unix)]
    fn the_folder_of_a_link_is_that_of_its_target() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("a.png");
        std::os::unix::fs::symlink("disk/a.png", &link).unwrap();
        let not_found = || kind(&link, ErrorKind::NotFound.into());
        assert_eq!(not_found(), "transient");
        fs::create_dir(root.path().join("disk")).unwrap();
        fs::write(root.path().join("disk/b.png"), "").unwrap();
        assert_eq!(not_found(), "missing");
    }
}
