//! Paths with wildcards.

use std::path::{Path, PathBuf};

use glob::MatchOptions;

use crate::error::DataError;

/// As in a shell: wildcards match no hidden names and no slashes.
pub(super) const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

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
    for path in glob::glob_with(pattern, MATCHING).map_err(|_| none())? {
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
