//! Paths with wildcards.

use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The paths that `pattern` matches as in a shell and that are `wanted`, sorted byte-wise; never
/// empty. `named` is what the user called them.
pub(super) fn matching(
    named: &Path,
    pattern: &str,
    wanted: fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, DataError> {
    let none = || DataError::NoMatch {
        pattern: named.display().to_string(),
    };
    let mut found = Vec::new();
    for path in glob::glob(pattern).map_err(|_| none())? {
        let path = path.map_err(|error| DataError::Read {
            path: error.path().to_owned(),
            source: error.into(),
        })?;
        if wanted(&path) {
            found.push(path);
        }
    }
    found.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    match found.is_empty() {
        true => Err(none()),
        false => Ok(found),
    }
}
