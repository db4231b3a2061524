//! The user's folder in arguments where shells leave `~` alone: behind `=` and behind a kind of data.

use std::{ffi::OsString, path::Path};

/// `argument` with `home` for `~` where it begins a path: `--out=~/run`, `folder:~/photos`,
/// `~/val,labels=~/val.txt`. A folder called `~` is `./~`.
pub(crate) fn expanded(argument: OsString, home: Option<&Path>) -> OsString {
    let (Some(home), Some(text)) = (home.and_then(Path::to_str), argument.to_str()) else {
        return argument;
    };
    let mut expanded = String::with_capacity(text.len());
    for (at, letter) in text.char_indices() {
        let begins = text[..at].chars().next_back();
        let begins = begins.is_none_or(|before| ['=', ':'].contains(&before));
        let is_home = letter == '~' && text[at + 1..].starts_with(['/', '\\']);
        match begins && is_home {
            true => expanded += home,
            false => expanded.push(letter),
        }
    }
    expanded.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(argument: &str, expected: &str) {
        let found = expanded(argument.into(), Some(Path::new("/home/me")));
        assert_eq!(found, OsString::from(expected));
    }

    #[test]
    fn the_users_folder_begins_paths_only() {
        check("~/photos", "/home/me/photos");
        check("--out=~/run", "--out=/home/me/run");
        check("folder:~/photos", "folder:/home/me/photos");
        check(
            "--data=parquet:~/a/*.parquet",
            "--data=parquet:/home/me/a/*.parquet",
        );
        check(
            "~/val,labels=~/val.txt",
            "/home/me/val,labels=/home/me/val.txt",
        );
        for same in ["./~/photos", "a~/b", "~", "~you/b", "--set", "a/~/b"] {
            check(same, same);
        }
        let unknown = expanded("~/photos".into(), None);
        assert_eq!(unknown, OsString::from("~/photos"));
    }
}
