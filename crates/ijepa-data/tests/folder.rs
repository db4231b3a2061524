//! Folders of images: which files are found, in which order, with which labels.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::path::Path;

use ijepa_data::{DataError, DataSpec, FetchError, Fingerprint, FolderSource, Source};
use tempfile::TempDir;

/// A folder holding `files`, each a one-pixel image; names ending in `/` become empty folders.
fn tree(files: &[&str]) -> TempDir {
    let root = TempDir::new().unwrap();
    for file in files {
        let path = root.path().join(file);
        if file.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"P6 1 1 255\n\x01\x02\x03").unwrap();
        }
    }
    root
}

/// Paths below the root with their labels, in the source's order.
fn contents(root: &Path, source: &dyn Source) -> Vec<(String, Option<u32>)> {
    let below = |index| {
        let name = source.name(index);
        let path = Path::new(&name).strip_prefix(root).unwrap();
        path.to_str().unwrap().replace('\\', "/")
    };
    (0..source.len())
        .map(|index| (below(index), source.label(index)))
        .collect()
}

fn check(files: &[&str], classes: &[&str], expected: &[(&str, Option<u32>)]) {
    let root = tree(files);
    let source = FolderSource::open(root.path()).unwrap();
    let expected: Vec<_> = expected
        .iter()
        .map(|&(name, label)| (name.to_owned(), label))
        .collect();
    assert_eq!(contents(root.path(), &source), expected);
    assert_eq!(source.classes(), classes);
    assert_eq!(source.read(0).unwrap().pixels(), [1, 2, 3]);
}

#[test]
fn classes_are_sub_folders_in_byte_order() {
    check(
        &[
            "b/2.png",
            "b/10.png",
            "a/x.JPG",
            "B/1.webp",
            "LICENSE",
            "a/notes.txt",
        ],
        &["B", "a", "b"],
        &[
            ("B/1.webp", Some(0)),
            ("a/x.JPG", Some(1)),
            ("b/10.png", Some(2)),
            ("b/2.png", Some(2)),
        ],
    );
}

#[test]
fn classes_are_searched_at_any_depth_folder_by_folder() {
    check(
        &[
            "c/z.png",
            "c/deep/er/a.png",
            "c/deep-2/b.png",
            "c/deep/c.png",
            "c/.cache/x.png",
        ],
        &["c"],
        &[
            ("c/z.png", Some(0)),
            ("c/deep/c.png", Some(0)),
            ("c/deep-2/b.png", Some(0)),
            ("c/deep/er/a.png", Some(0)),
        ]
        .map(|x| x),
    );
}

#[test]
fn a_flat_folder_has_no_labels() {
    check(
        &["2.png", "1.tif", "readme.md"],
        &[],
        &[("1.tif", None), ("2.png", None)],
    );
}

#[test]
fn folders_without_images_are_named() {
    let missing = FolderSource::open("/no/such/folder").unwrap_err();
    assert_eq!(
        missing.to_string(),
        "data folder `/no/such/folder` does not exist"
    );

    let root = tree(&["a.png"]);
    let file = FolderSource::open(root.path().join("a.png")).unwrap_err();
    assert!(matches!(file, DataError::NotAFolder { .. }));

    let empty = TempDir::new().unwrap();
    let error = FolderSource::open(empty.path()).unwrap_err();
    assert!(matches!(error, DataError::NoImages { path, .. } if path == empty.path()));

    let root = tree(&["a/1.png", "b/"]);
    let error = FolderSource::open(root.path()).unwrap_err();
    assert!(matches!(error, DataError::NoImages { path, .. } if path.ends_with("b")));
}

#[test]
fn images_beside_classes_are_an_error() {
    let root = tree(&["a/1.png", "stray.jpg"]);
    let error = FolderSource::open(root.path()).unwrap_err();
    assert!(matches!(error, DataError::MixedFolder { example, .. } if example == "stray.jpg"));
}

#[test]
fn a_subset_keeps_order_labels_and_classes() {
    let root = tree(&["a/1.png", "a/2.png", "b/3.png", "b/4.png", "c/1.png"]);
    let list = root.path().join("subset.txt");
    fs::write(&list, "4.png\r\n2.png\n\n 4.png\nc/1.png\n").unwrap();
    let spec = DataSpec::Folder(root.path().to_owned());
    let source = spec.open_subset(&list).unwrap();
    let expected = [
        ("a/2.png", Some(0)),
        ("b/4.png", Some(1)),
        ("c/1.png", Some(2)),
    ]
    .map(|(name, label)| (name.to_owned(), label));
    assert_eq!(contents(root.path(), source.as_ref()), expected);
    assert_eq!(source.classes().len(), 3);
}

#[test]
fn subset_mistakes_are_errors() {
    let root = tree(&["a/1.png", "b/1.png", "b/2.png"]);
    let list = root.path().join("subset.txt");
    let open = |text: &str| {
        fs::write(&list, text).unwrap();
        FolderSource::open(root.path())
            .unwrap()
            .restrict_to(&list)
            .unwrap_err()
    };
    let error = open("2.png\n7.png\n8.png");
    assert!(matches!(error, DataError::SubsetUnknown { count: 2, first, .. } if first == "7.png"));
    assert!(matches!(open("1.png"), DataError::SubsetAmbiguous { name, .. } if name == "1.png"));
    assert!(matches!(open(" \n"), DataError::SubsetEmpty { .. }));
    let missing = FolderSource::open(root.path())
        .unwrap()
        .restrict_to("/no/list")
        .unwrap_err();
    assert_eq!(missing.to_string(), "cannot read `/no/list`");
}

#[test]
fn an_unreadable_image_is_named_when_read() {
    let root = tree(&["a/1.png", "a/2.png"]);
    fs::write(root.path().join("a/1.png"), b"broken").unwrap();
    fs::remove_file(root.path().join("a/2.png")).unwrap();
    let source = FolderSource::open(root.path()).unwrap();
    assert_eq!(source.len(), 1);
    let error = source.read(0).unwrap_err();
    assert!(matches!(error, DataError::Decode { name, .. } if name.ends_with("1.png")));
    fs::remove_file(root.path().join("a/1.png")).unwrap();
    assert!(matches!(source.read(0), Err(DataError::Read { .. })));
}

#[cfg(unix)]
mod links {
    use std::os::unix::fs::symlink;

    use super::*;

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
        let expected = "has 1073741825 bytes, expected at most 1073741824 of an image";
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
}

#[test]
fn a_fingerprint_tells_other_images_names_and_sizes_but_not_where_they_lie() {
    let of = |root: &Path| Fingerprint::of(&FolderSource::open(root).unwrap());
    let files = ["a/1.png", "a/2.png", "b/3.png"];
    let [root, other] = [(); 2].map(|()| tree(&files));
    let before = of(root.path());
    assert_eq!(before, of(other.path()));
    let difference = || before.difference(&of(other.path()));
    assert_eq!(difference(), None);
    fs::write(other.path().join("b/3.png"), "longer than it was before").unwrap();
    assert_eq!(difference().as_deref(), Some("other sizes"));
    fs::rename(other.path().join("b/3.png"), other.path().join("b/4.png")).unwrap();
    assert_eq!(difference().as_deref(), Some("other names; other sizes"));
    let more = tree(&["a/1.png", "a/2.png", "b/3.png", "b/4.png"]);
    assert_eq!(
        before.difference(&of(more.path())).as_deref(),
        Some("3 images then, 4 now; other names; other sizes")
    );
}
