//! JSON files of checkpoints.

use std::{fs, path::Path};

use super::error::CheckpointError;
use crate::files::{cannot, write_bytes};

/// Reads and parses a JSON file.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CheckpointError> {
    parse_json(path, &fs::read(path).map_err(cannot("read", path))?)
}

/// Parses the bytes of a JSON file that errors call `path`.
pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(
    path: &Path,
    bytes: &[u8],
) -> Result<T, CheckpointError> {
    serde_json::from_slice(bytes).map_err(|source| CheckpointError::Json {
        path: path.into(),
        source,
    })
}

/// Writes a JSON file, which appears as a whole.
pub(crate) fn write_json(
    path: &Path,
    value: &impl serde::Serialize,
) -> Result<(), CheckpointError> {
    let text = serde_json::to_string_pretty(value).map_err(|source| CheckpointError::Json {
        path: path.into(),
        source,
    })?;
    Ok(write_bytes(path, text + "\n")?)
}
