//! Files that are whole or absent.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::error::CheckpointError;

/// Turns an IO error into ours: `map_err(io("open", path))`.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CheckpointError {
    move |source| CheckpointError::Io {
        action,
        path: path.into(),
        source,
    }
}

/// The name under which `path` is written before it is complete.
fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Writes a file under a temporary name, syncs it and renames it.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), CheckpointError> {
    let unfinished = temporary(path);
    let written = write(&unfinished)
        .and_then(|()| File::open(&unfinished)?.sync_all())
        .and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&unfinished);
        io("write", path)(source)
    })
}

/// Fills a folder under a temporary name, syncs it and renames it.
///
/// # Errors
///
/// [`CheckpointError::Io`] if `path` exists or cannot be created, and whatever `fill` returns.
pub fn create_folder_atomically(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), CheckpointError>,
) -> Result<(), CheckpointError> {
    if path.exists() {
        return Err(io("create", path)(io::ErrorKind::AlreadyExists.into()));
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io("create", parent))?;
    }
    let unfinished = temporary(path);
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir(&unfinished).map_err(io("create", &unfinished))?;
    let filled = fill(&unfinished).and_then(|()| {
        File::open(&unfinished)
            .and_then(|folder| folder.sync_all())
            .and_then(|()| fs::rename(&unfinished, path))
            .map_err(io("create", path))
    });
    if filled.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    filled
}

/// Reads and parses a JSON file.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CheckpointError> {
    let text = fs::read(path).map_err(io("read", path))?;
    serde_json::from_slice(&text).map_err(|source| CheckpointError::Json {
        path: path.into(),
        source,
    })
}

/// Writes a JSON file atomically.
pub(crate) fn write_json(
    path: &Path,
    value: &impl serde::Serialize,
) -> Result<(), CheckpointError> {
    let text = serde_json::to_string_pretty(value).map_err(|source| CheckpointError::Json {
        path: path.into(),
        source,
    })?;
    write_atomically(path, |temporary| fs::write(temporary, text + "\n"))
}
