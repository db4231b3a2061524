//! Links between folders.

use std::fs;
use std::os::unix::fs::symlink;

use ijepa_data::{FetchError, FolderSource, Source};

use crate::{contents, tree};

#[test]
fn links_to_folders_that_they_lie_in_add_nothing() {
    let root = tree(&["a/1.png", "a/deep/2.png", "b/3.png"]);
    for (target, link) in [(".", "self"), (".", "a/loop"), ("..", "a/deep/up")] {
        symlink(target, root.path().join(link)).unwrap();
    }
    symlink(root.path(), root.path().join("b/root")).unwrap();
    let source = FolderSource::open(root.path()).unwrap();
    let expected = [("a/1.png", 0), ("a/deep/2.png", 0), ("b/3.png", 1)];
    let expected = expected.map(|(name, label)| (name.to_owned(), Some(label)));
    assert_eq!(contents(root.path(), &source), expected);
    assert_eq!(source.classes(), ["a", "b"]);
}

#[test]
fn what_never_ends_or_is_too_large_is_refused_before_it_is_read() {
    let root = tree(&["0.png"]);
    symlink("/dev/zero", root.path().join("1.png")).unwrap();
    let large = fs::File::create(root.path().join("2.png")).unwrap();
    large.set_len((1 << 30) + 1).unwrap();
    symlink("3.png", root.path().join("3.png")).unwrap();
    let source = FolderSource::open(root.path()).unwrap();
    let mut buffer = Vec::new();
    for image in 1..4 {
        let error = source.fetch(image, &mut buffer).unwrap_err();
        assert!(matches!(error, FetchError::Corrupt(_)), "{error}");
    }
    let error = source.read(1).unwrap_err().to_string();
    assert!(error.ends_with("1.png` is no regular file"), "{error}");
    let error = source.read(2).unwrap_err().to_string();
    let expected = "has 1073741825 bytes, expected at most 1073741824";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn many_ways_to_a_folder_are_one() {
    // Two links from each folder to the next: 2^30 ways to the last.
    let root = tree(&["a/30/1.png"]);
    for level in 0..30 {
        let folder = root.path().join(format!("a/{level}"));
        fs::create_dir(&folder).unwrap();
        for link in ["x", "y"] {
            symlink(format!("../{}", level + 1), folder.join(link)).unwrap();
        }
    }
    let source = FolderSource::open(root.path()).unwrap();
    assert_eq!(source.len(), 1);
}

#[test]
fn links_to_other_folders_are_followed() {
    let root = tree(&["a/1.png"]);
    let other = tree(&["deep/2.png"]);
    symlink(other.path(), root.path().join("b")).unwrap();
    let source = FolderSource::open(root.path()).unwrap();
    let expected = [("a/1.png", 0), ("b/deep/2.png", 1)];
    let expected = expected.map(|(name, label)| (name.to_owned(), Some(label)));
    assert_eq!(contents(root.path(), &source), expected);
}
