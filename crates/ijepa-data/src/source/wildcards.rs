//! Paths with wildcards.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::error::DataError;
use crate::source::file::unreadable;
use crate::source::folder::LOST_AND_FOUND;
use crate::source::storage::without_query;

/// As in a shell: wildcards match no hidden names and no slashes.
pub(super) const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The letters of wildcards.
pub(super) const WILDCARDS: [char; 3] = ['*', '?', '['];

/// The paths that `pattern` matches as in a shell and that are `wanted`, sorted byte-wise; never
/// empty. `**` is the folder and all below it that no link leads to. Names that are no text and
/// `lost+found` match no wildcard, and below one, folders that are not for this user hold nothing.
/// `named` is what the user called them.
///
/// # Errors
///
/// [`DataError::NoMatch`], or [`DataError::Read`] for a folder that cannot be listed.
pub(super) fn matching(
    named: &Path,
    pattern: &str,
    wanted: fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, DataError> {
    let mut found = vec![PathBuf::new()];
    let mut is_chosen = true;
    for part in Path::new(pattern).components() {
        match part.as_os_str().to_str() {
            Some(name) if name.contains(WILDCARDS) => {
                let pattern = Pattern::new(name).map_err(|_| no_match(named))?;
                let list = |folder: &PathBuf| match name {
                    "**" => all_below(folder, is_chosen),
                    _ => list(folder, &pattern, is_chosen),
                };
                let lists = found.iter().map(list);
                found = lists.collect::<Result<Vec<_>, _>>()?.concat();
                is_chosen = false;
            }
            _ => found.iter_mut().for_each(|path| path.push(part)),
        }
    }
    some_of(named, found, wanted)
}

/// As [`matching`], of what lies directly in `folder`, whatever that is called, and fits `name`.
pub(super) fn matching_in(
    folder: &Path,
    name: &str,
    wanted: fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, DataError> {
    let pattern = Pattern::new(name).map_err(|_| no_match(folder))?;
    some_of(&folder.join(name), list(folder, &pattern, true)?, wanted)
}

pub(super) fn no_match(pattern: &Path) -> DataError {
    DataError::NoMatch {
        pattern: without_query(pattern).display().to_string(),
    }
}

pub(super) fn sort_bytewise(paths: &mut [PathBuf]) {
    paths.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
}

/// What of `folder` fits `name`. One that the user chose has to be open to them.
fn list(folder: &Path, name: &Pattern, is_chosen: bool) -> Result<Vec<PathBuf>, DataError> {
    let failed = |source| unreadable(folder, source);
    // That of a bare name is the current one.
    let entries = match fs::read_dir(Path::new(".").join(folder)) {
        Ok(entries) => entries,
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => return Ok(Vec::new()),
            ErrorKind::PermissionDenied if !is_chosen => return Ok(Vec::new()),
            _ => return Err(failed(error)),
        },
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?.file_name();
        let fits = |text: &str| text != LOST_AND_FOUND && name.matches_with(text, MATCHING);
        if entry.to_str().is_some_and(fits) {
            found.push(folder.join(entry));
        }
    }
    Ok(found)
}

/// `folder` and all folders below it.
fn all_below(folder: &Path, is_chosen: bool) -> Result<Vec<PathBuf>, DataError> {
    let any = Pattern::new("*").expect("a star is a pattern");
    let is_folder = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|it| it.is_dir());
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(folder) = found.get(next) {
        let inside = list(folder, &any, is_chosen && next == 0)?;
        found.extend(inside.into_iter().filter(is_folder));
        next += 1;
    }
    Ok(found)
}

fn some_of(
    named: &Path,
    mut found: Vec<PathBuf>,
    wanted: fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, DataError> {
    found.retain(|path| wanted(path));
    sort_bytewise(&mut found);
    found.dedup();
    match found.is_empty() {
        true => Err(no_match(named)),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_what_those_of_a_shell_do() {
        let home = tempfile::tempdir().unwrap();
        for folder in ["b [1]", "b-2", ".hidden", "lost+found", "a"] {
            fs::create_dir_all(home.path().join(folder).join("deep")).unwrap();
            fs::write(home.path().join(folder).join("1.tar"), "").unwrap();
        }
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::ffi::OsStrExt;
            let no_text = std::ffi::OsStr::from_bytes(b"b\xff");
            fs::create_dir(home.path().join(no_text)).unwrap();
        }
        let root = Pattern::escape(home.path().to_str().unwrap());
        let of = |pattern: &str, wanted| -> Vec<String> {
            let found = matching(pattern.as_ref(), &format!("{root}/{pattern}"), wanted);
            let below = |path: PathBuf| path.strip_prefix(home.path()).unwrap().to_owned();
            let text = |path: PathBuf| below(path).display().to_string();
            found.unwrap_or_default().into_iter().map(text).collect()
        };
        for (pattern, expected) in [
            ("*", &["a", "b [1]", "b-2"][..]),
            ("b*", &["b [1]", "b-2"]),
            (".h*", &[".hidden"]),
            ("lost+found", &["lost+found"]),
            ("*/d?ep", &["a/deep", "b [1]/deep", "b-2/deep"]),
            ("*/1.tar/*", &[]),
            ("**/d*", &["a/deep", "b [1]/deep", "b-2/deep"]),
            ("a/**", &["a", "a/deep"]),
            ("a/./../b-[0-9]", &["a/../b-2"]),
            ("c*", &[]),
            ("no/*", &[]),
        ] {
            assert_eq!(of(pattern, Path::is_dir), expected, "{pattern}");
        }
        assert_eq!(
            of("*/*", Path::is_file),
            ["a/1.tar", "b [1]/1.tar", "b-2/1.tar"]
        );
        assert_eq!(of("**/a/**/1.tar", Path::is_file), ["a/1.tar"]);
        let inside = matching_in(&home.path().join("b [1]"), "*.tar", Path::is_file);
        assert_eq!(inside.unwrap(), [home.path().join("b [1]/1.tar")]);
    }

    #[test]
    fn what_is_not_for_this_user_is_passed_over_below_a_wildcard_only() {
        let home = tempfile::tempdir().unwrap();
        let closed = home.path().join("closed");
        fs::create_dir(&closed).unwrap();
        let mut rights = fs::metadata(&closed).unwrap().permissions();
        let open = rights.clone();
        #[cfg(unix)]
        std::os::unix::fs::PermissionsExt::set_mode(&mut rights, 0);
        fs::set_permissions(&closed, rights).unwrap();
        let is_closed = fs::read_dir(&closed).is_err();
        let any = Pattern::new("*").unwrap();
        assert!(list(&closed, &any, false).unwrap().is_empty());
        assert_eq!(list(&closed, &any, true).is_err(), is_closed);
        fs::set_permissions(&closed, open).unwrap();
    }
}
