//! Which split of a data set the end of a path asks for.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The data folder, and the split that the last component of `path` names if that is no folder
/// itself: `CLEVR_v1.0/val` is split `val` of `CLEVR_v1.0`. Without one, the first of `splits`.
pub(super) fn folder_and_split(
    path: &Path,
    splits: &[&'static str],
) -> Result<(PathBuf, &'static str), DataError> {
    let asked = path.file_name().and_then(|name| name.to_str());
    let named = splits.iter().find(|&&split| Some(split) == asked);
    let (folder, split) = match (named, path.parent()) {
        (Some(split), Some(parent)) if !path.is_dir() => (parent, *split),
        _ => (path, splits[0]),
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    if folder.is_dir() {
        Ok((folder.to_owned(), split))
    } else {
        Err(DataError::NoFolder {
            path: folder.to_owned(),
        })
    }
}
