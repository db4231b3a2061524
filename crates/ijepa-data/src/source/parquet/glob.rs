//! File names with wildcards.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::source::wildcards::matching;

/// The files that `pattern` names, sorted byte-wise; never empty. A folder stands for its Parquet
/// files.
pub(super) fn matches(pattern: &Path) -> Result<Vec<PathBuf>, DataError> {
    if pattern.is_file() {
        return Ok(vec![pattern.to_owned()]);
    }
    let text = pattern.to_str().ok_or_else(|| DataError::NoMatch {
        pattern: pattern.display().to_string(),
    })?;
    let files = match pattern.is_dir() {
        true => format!("{}/*.parquet", glob::Pattern::escape(text)),
        false => text.to_owned(),
    };
    matching(pattern, &files, Path::is_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        let folder = tempfile::tempdir().unwrap();
        // Brackets of a real name are no pattern.
        let root = folder.path().join("set [1]");
        std::fs::create_dir_all(root.join("deep")).unwrap();
        for name in [
            "train-0.parquet",
            "train-10.parquet",
            "test-0.parquet",
            "deep/train-2.parquet",
            "a.txt",
        ] {
            std::fs::write(root.join(name), "").unwrap();
        }
        let names = |path: PathBuf| -> Vec<String> {
            let below = |path: PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
            matches(&path).unwrap().into_iter().map(below).collect()
        };
        let all = ["test-0.parquet", "train-0.parquet", "train-10.parquet"];
        assert_eq!(names(root.clone()), all);
        assert_eq!(names(root.join("test-0.parquet")), all[..1]);
        let escaped = PathBuf::from(glob::Pattern::escape(root.to_str().unwrap()));
        for (pattern, expected) in [
            ("*.parquet", &all[..]),
            ("train-?.parquet", &all[1..2]),
            ("train-*", &all[1..]),
            ("*/train-*.parquet", &["deep/train-2.parquet"]),
        ] {
            assert_eq!(names(escaped.join(pattern)), expected, "{pattern}");
        }
        let nothing = matches(&escaped.join("b*")).unwrap_err();
        assert!(matches!(nothing, DataError::NoMatch { .. }), "{nothing}");
    }
}
