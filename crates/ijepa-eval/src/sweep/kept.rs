//! What is remembered of a run, as JSON beside it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ijepa_train::{Recipe, recipe::diff};
use serde::{Serialize, de::DeserializeOwned};

use super::SweepError;

/// The folder of a run holds one of another kind.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{}` holds a run with {key} = {found}, this one has {expected}; choose another folder",
    path.display()
)]
pub struct OtherRun {
    /// Its folder.
    pub path: PathBuf,
    /// What differs.
    pub key: String,
    /// Its value there.
    pub found: String,
    /// Its value now.
    pub expected: String,
}

/// How the recipe of the run in `folder`, if there is one, differs from `recipe`.
pub(crate) fn other_recipe(folder: &Path, recipe: &Recipe) -> Result<Option<OtherRun>, SweepError> {
    let path = folder.join("recipe.toml");
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(None);
    };
    let found = Recipe::from_toml(&text, &path.display().to_string())?;
    let difference = diff(&found, recipe).into_iter().next();
    Ok(difference.map(|(key, found, expected)| OtherRun {
        path: folder.to_owned(),
        key,
        found,
        expected,
    }))
}

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

/// Writes beside the file, in a folder that may be new, syncs and renames, so that a kill leaves
/// the old one or the new one.
pub(crate) fn write<T: Serialize>(path: &Path, known: &T) -> Result<(), SweepError> {
    let text = serde_json::to_vec_pretty(known).expect("a report is plain data");
    let beside = path.with_extension("json.tmp");
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&beside, text))
        .and_then(|()| fs::File::open(&beside)?.sync_all())
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|source| SweepError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
}
