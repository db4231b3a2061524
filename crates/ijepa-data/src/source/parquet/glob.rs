//! File names with wildcards.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::DataError;

/// The files that `pattern` names, sorted byte-wise; never empty.
pub(super) fn matches(pattern: &Path) -> Result<Vec<PathBuf>, DataError> {
    let none = || DataError::NoMatch {
        pattern: pattern.display().to_string(),
    };
    if pattern.is_file() {
        return Ok(vec![pattern.to_owned()]);
    }
    let (folder, wanted) = if pattern.is_dir() {
        (pattern, "*.parquet")
    } else {
        let wanted = pattern
            .file_name()
            .and_then(OsStr::to_str)
            .ok_or_else(none)?;
        (pattern.parent().unwrap_or(Path::new("")), wanted)
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    if !folder.is_dir() {
        return Err(none());
    }
    let unreadable = |source| DataError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        if fits(wanted.as_bytes(), name.as_encoded_bytes()) && entry.path().is_file() {
            found.push(entry.path());
        }
    }
    found.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    if found.is_empty() {
        Err(none())
    } else {
        Ok(found)
    }
}

/// Whether `name` fits `pattern`, where `*` is any text and `?` any one byte.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where to go on if the text after the last star turns out not to fit.
    let mut retry: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at + 1, from));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == name[from] => {
                at += 1;
                from += 1;
            }
            _ => match retry {
                Some((after_star, start)) => {
                    retry = Some((after_star, start + 1));
                    (at, from) = (after_star, start + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn stars_and_question_marks_fit_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.parquet", "a.parquet", true),
            ("train-*-of-*.parquet", "train-00-of-02.parquet", true),
            ("train-*", "test-0", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b", "abc", false),
            ("", "", true),
            ("*", "", true),
            ("abc", "ab", false),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
