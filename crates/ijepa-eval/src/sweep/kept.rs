//! What is remembered of a run, as JSON beside it.

use std::{fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use super::SweepError;

/// What was written, or the default if nothing was.
pub(crate) fn read<T: DeserializeOwned + Default>(path: &Path) -> Result<T, SweepError> {
    let failed = |source| SweepError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| failed(error.into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(failed(error)),
    }
}

/// Writes beside the file and renames, so that a kill leaves the old one or the new one.
pub(crate) fn write<T: Serialize>(path: &Path, known: &T) -> Result<(), SweepError> {
    let text = serde_json::to_vec_pretty(known).expect("a report is plain data");
    let beside = path.with_extension("json.tmp");
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|source| SweepError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
}
