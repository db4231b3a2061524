//! The files that hold the images of a data set together.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::source::wildcards::{matching, matching_in, no_match, sort_bytewise};

/// Files that the braces of a pattern may stand for.
const MOST_FILES: usize = 1 << 20;

/// The files that `pattern` names, sorted byte-wise; never empty.
///
/// Wildcards are those of a shell, and so are braces: `{a,b}` and `{000..146}`, where every file
/// or pattern that they make must be there. A folder stands for its files of the kind `ending`.
pub(super) fn shards(pattern: &Path, ending: &str) -> Result<Vec<PathBuf>, DataError> {
    if pattern.is_file() {
        return Ok(vec![pattern.to_owned()]);
    }
    if pattern.is_dir() {
        return matching_in(pattern, &format!("*.{ending}"), Path::is_file);
    }
    let text = pattern.to_str().ok_or_else(|| no_match(pattern))?;
    let expanded = expand(text).ok_or_else(|| no_match(pattern))?;
    let mut found = Vec::new();
    for pattern in expanded.iter().map(Path::new) {
        match pattern.is_file() {
            true => found.push(pattern.to_owned()),
            false => found.extend(matching(
                pattern,
                &pattern.to_string_lossy(),
                Path::is_file,
            )?),
        }
    }
    sort_bytewise(&mut found);
    found.dedup();
    Ok(found)
}

/// What the braces of `text` stand for; nothing if that is too much. A brace without a comma and
/// without two dots stands for itself.
pub(super) fn expand(text: &str) -> Option<Vec<String>> {
    let Some((before, inside, after)) = first_braces(text) else {
        return Some(vec![text.to_owned()]);
    };
    let middles = match (numbers(inside), alternatives(inside)) {
        (Some(numbers), _) => numbers?,
        (None, parts) if parts.len() > 1 => {
            let parts = parts.into_iter().map(expand);
            parts.collect::<Option<Vec<_>>>()?.concat()
        }
        _ => vec![format!("{{{inside}}}")],
    };
    let rests = expand(after)?;
    if middles.len().saturating_mul(rests.len()) > MOST_FILES {
        return None;
    }
    let all = middles.iter().flat_map(|middle| {
        let whole = move |rest: &String| format!("{before}{middle}{rest}");
        rests.iter().map(whole)
    });
    Some(all.collect())
}

/// The text before, in and behind the first pair of braces.
fn first_braces(text: &str) -> Option<(&str, &str, &str)> {
    let start = text.find('{')?;
    let mut depth = 0;
    let end = text[start..].find(|letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        depth == 0
    })?;
    let (inside, after) = (&text[start + 1..start + end], &text[start + end + 1..]);
    Some((&text[..start], inside, after))
}

/// The parts between commas outside braces.
fn alternatives(inside: &str) -> Vec<&str> {
    let mut depth = 0;
    let is_between = |letter| {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        letter == ',' && depth == 0
    };
    inside.split(is_between).collect()
}

/// The numbers of a range such as `008..011`, as wide as its wider end if that has zeros in front;
/// nothing in the inner option if there are too many.
fn numbers(inside: &str) -> Option<Option<Vec<String>>> {
    let (first, last) = inside.split_once("..")?;
    let is_number = |end: &str| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(first) || !is_number(last) {
        return None;
    }
    let is_padded = |end: &str| end.len() > 1 && end.starts_with('0');
    let width = match is_padded(first) || is_padded(last) {
        true => first.len().max(last.len()),
        false => 0,
    };
    let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else {
        return Some(None);
    };
    let text = |number: usize| format!("{number:0width$}");
    Some(match first.abs_diff(last) < MOST_FILES {
        true if first <= last => Some((first..=last).map(text).collect()),
        true => Some((last..=first).rev().map(text).collect()),
        false => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_those_of_a_shell() {
        for (text, expected) in [
            (
                "a-{008..011}.tar",
                "a-008.tar a-009.tar a-010.tar a-011.tar",
            ),
            ("{8..11}", "8 9 10 11"),
            ("{2..0}", "2 1 0"),
            ("{a,b{1..2},}.{x,y}", "a.x a.y b1.x b1.y b2.x b2.y .x .y"),
            ("{a}{..}{1..b}", "{a}{..}{1..b}"),
            ("{a,b", "{a,b"),
            ("plain*", "plain*"),
        ] {
            assert_eq!(expand(text).unwrap().join(" "), expected, "{text}");
        }
        for text in [
            "{0..99999999999}",
            "{0..999999999999999999999999}",
            "{0..9999}{0..9999}",
        ] {
            assert_eq!(expand(text), None, "{text}");
        }
    }

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
            let found = shards(&path, "parquet").unwrap();
            found.into_iter().map(below).collect()
        };
        let all = ["test-0.parquet", "train-0.parquet", "train-10.parquet"];
        assert_eq!(names(root.clone()), all);
        assert_eq!(names(root.join("test-0.parquet")), all[..1]);
        let escaped = PathBuf::from(glob::Pattern::escape(root.to_str().unwrap()));
        for (pattern, expected) in [
            ("*.parquet", &all[..]),
            ("train-?.parquet", &all[1..2]),
            ("train-*", &all[1..]),
            ("{train-{10,0},t*-0}.parquet", &all[..]),
            ("*/train-*.parquet", &["deep/train-2.parquet"]),
        ] {
            assert_eq!(names(escaped.join(pattern)), expected, "{pattern}");
        }
        // Each of a range must be there.
        for absent in ["b*", "train-{0..1}.parquet"] {
            let nothing = shards(&escaped.join(absent), "parquet").unwrap_err();
            assert!(matches!(nothing, DataError::NoMatch { .. }), "{nothing}");
        }
    }
}
