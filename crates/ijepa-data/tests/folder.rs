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

/// Arrays are kept beside images for many reasons.
#[test]
fn arrays_are_images_where_no_other_image_is() {
    let root = tree(&["a/1.npy", "a/2.NPY", "a/notes.txt", "b/1.png", "b/1.npy"]);
    let source = FolderSource::open(root.path()).unwrap();
    let expected = [("a/1.npy", 0), ("a/2.NPY", 0), ("b/1.png", 1)];
    let expected = expected.map(|(name, label)| (name.to_owned(), Some(label)));
    assert_eq!(contents(root.path(), &source), expected);
    let notes = source.notes().join("");
    assert!(notes.contains(".npy 1, .txt 1"), "{notes}");
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
fn without_labels_a_folder_may_have_any_form() {
    let files = [
        "stray.jpg",
        "b/2.png",
        "b/deep/1.png",
        "a-2/3.png",
        "a/4.png",
        "empty/",
        "lost+found/#7.png",
        ".cache/5.png",
        "notes.txt",
        "a/notes.TXT",
        "a/photo.avif",
        "LICENSE",
    ];
    let root = tree(&files);
    let source = FolderSource::unlabelled(root.path()).unwrap();
    let expected = [
        "stray.jpg",
        "a/4.png",
        "a-2/3.png",
        "b/2.png",
        "b/deep/1.png",
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|name| ((*name).to_owned(), None))
        .collect();
    assert_eq!(contents(root.path(), &source), expected);
    assert_eq!(source.classes(), <&[String]>::default());
    let note = "4 other files passed over: .avif 1, .txt 2, without ending 1";
    assert_eq!(source.notes(), [note]);
    let spec = format!("folder:{},labels=none", root.path().display());
    let spec: DataSpec = spec.parse().unwrap();
    assert_eq!(spec.open().unwrap().len(), 5);
    let strict = DataSpec::Folder(root.path().to_owned());
    assert!(matches!(strict.open(), Err(DataError::MixedFolder { .. })));
    assert_eq!(strict.without_labels(), spec);
}

#[test]
fn a_folder_that_keeps_the_strict_rules_has_the_same_order_without_labels() {
    let root = tree(&[
        "b/z.png",
        "b/deep/a.png",
        "b/deep-2/b.png",
        "a/1.png",
        "a-2/2.png",
    ]);
    let names = |source: FolderSource| (0..5).map(|index| source.name(index)).collect::<Vec<_>>();
    assert_eq!(
        names(FolderSource::open(root.path()).unwrap()),
        names(FolderSource::unlabelled(root.path()).unwrap())
    );
}

#[test]
fn what_a_check_of_the_disk_leaves_is_no_class() {
    check(&["a/1.png", "lost+found/"], &["a"], &[("a/1.png", Some(0))]);
}

#[test]
fn several_folders_are_one_and_share_their_classes_by_name() {
    let root = tree(&[
        "part-1/b/1.png",
        "part-0/a/2.png",
        "part-0/b/3.png",
        "rest/c/4.png",
    ]);
    let spec = |form: &str| -> DataSpec {
        let text = format!("folder:{}/{form}", root.path().display());
        text.parse().unwrap()
    };
    let source = spec("part-*").open().unwrap();
    let expected = [
        ("part-0/a/2.png", 0),
        ("part-0/b/3.png", 1),
        ("part-1/b/1.png", 1),
    ];
    let expected = expected.map(|(name, label)| (name.to_owned(), Some(label)));
    assert_eq!(contents(root.path(), source.as_ref()), expected);
    assert_eq!(source.classes(), ["a", "b"]);
    assert_eq!(source.read(2).unwrap().pixels(), [1, 2, 3]);
    let both = DataSpec::open_all(&[spec("rest"), spec("part-0")], None).unwrap();
    assert_eq!(both.classes(), ["a", "b", "c"]);
    assert_eq!(
        [0, 1, 2].map(|index| both.label(index)),
        [Some(2), Some(0), Some(1)]
    );
    let mixed = DataSpec::open_all(&[spec("rest"), spec("rest/c")], None).unwrap();
    assert_eq!(mixed.label(0), None);
    assert!(mixed.notes()[0].starts_with("labels are left out"));
    let nothing = spec("no-*").open().unwrap_err();
    assert!(matches!(nothing, DataError::NoMatch { .. }), "{nothing}");
}

#[test]
fn a_list_names_images_in_its_order_with_labels_or_without() {
    let root = tree(&["x/1.png", "x/2 b.png", "3.png"]);
    let other = tree(&["4.png"]);
    let list = root.path().join("list.txt");
    let open = |text: &str| {
        fs::write(&list, text).unwrap();
        let spec: DataSpec = format!("list:{}", list.display()).parse().unwrap();
        spec.open()
    };
    let far = other.path().join("4.png");
    let source = open(&format!("x/2 b.png\r\n\n3.png\n{}\nx/1.png", far.display())).unwrap();
    let names: Vec<_> = (0..source.len()).map(|index| source.name(index)).collect();
    let expected = [
        root.path().join("x/2 b.png"),
        root.path().join("3.png"),
        far,
        root.path().join("x/1.png"),
    ];
    assert_eq!(names, expected.map(|path| path.display().to_string()));
    assert_eq!((source.label(0), source.classes().len()), (None, 0));
    assert_eq!(source.read(2).unwrap().pixels(), [1, 2, 3]);

    let labels = |text: &str| {
        let source = open(text).unwrap();
        let labels: Vec<_> = (0..source.len()).map(|index| source.label(index)).collect();
        (labels, source.classes().to_vec())
    };
    let (found, classes) = labels("3.png\tred fox\nx/1.png\tcat\n3.png\tred fox\nx/2 b.png\n");
    assert_eq!(found, [Some(1), Some(0), Some(1), None]);
    assert_eq!(classes, ["cat", "red fox"]);
    let (found, classes) = labels("3.png\t10\nx/1.png\t9\n");
    assert_eq!(
        (found, classes),
        (
            vec![Some(1), Some(0)],
            vec!["9".to_owned(), "10".to_owned()]
        )
    );

    let error = open("gone.png\n").unwrap_err();
    assert!(matches!(error, DataError::ListedMissing { name, .. } if name == "gone.png"));
    assert!(matches!(open("\n \n"), Err(DataError::SubsetEmpty { .. })));
}

#[test]
fn a_subset_keeps_order_labels_and_classes() {
    let root = tree(&["a/1.png", "a/2.png", "b/3.png", "b/4.png", "c/1.png"]);
    let list = root.path().join("subset.txt");
    fs::write(&list, "4.png\r\n2.png\n\n 4.png\nc/1.png\n").unwrap();
    let spec = DataSpec::Folder(root.path().to_owned());
    let source = spec.open_subset(&list, None).unwrap();
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

mod indexes {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use ijepa_data::{Augment, Batch, FolderForm, IndexCache, Kept, Loader, LoaderConfig, Reading};

    use super::*;

    /// Makes all folders look as if they had been left alone for an hour.
    fn settle(root: &Path) {
        for entry in fs::read_dir(root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                settle(&path);
            }
        }
        let earlier = SystemTime::now() - Duration::from_secs(3600);
        fs::File::open(root).unwrap().set_modified(earlier).unwrap();
    }

    /// What an index keeps of `root` in each form, and the form.
    fn kept(indexes: &IndexCache, root: &Path) -> [(FolderForm, Kept); 2] {
        settle(root);
        [FolderForm::Classes, FolderForm::Unlabelled]
            .map(|form| (form, indexes.renew(root, form).unwrap()))
    }

    fn all(root: &Path, source: &FolderSource) -> (Vec<(String, Option<u32>)>, Vec<String>) {
        (
            contents(root, source),
            [source.classes(), &source.notes()].concat(),
        )
    }

    #[test]
    fn a_folder_from_its_index_is_the_folder() {
        let root = tree(&[
            "b/2.png",
            "b/x/1.png",
            "b/x-2/3.png",
            "a/9.png",
            "a/note.txt",
            "a/.x/",
        ]);
        let cache = TempDir::new().unwrap();
        let indexes = IndexCache::new(cache.path().join("deep/cache"));
        for (form, kept) in kept(&indexes, root.path()) {
            assert_eq!((kept.images, kept.folders), (4, 5));
            // To tell what comes from the index from what is listed anew, one of its names is
            // another.
            let path = kept.path.unwrap();
            let mut bytes = fs::read(&path).unwrap();
            let listed = indexes.open(root.path(), form).unwrap();
            let last = bytes.len() - "3.png".len();
            assert_eq!(&bytes[last..], b"3.png");
            bytes[last] = b'7';
            fs::write(&path, &bytes).unwrap();
            let from_index = indexes.open(root.path(), form).unwrap();
            let fresh = match form {
                FolderForm::Classes => FolderSource::open(root.path()),
                FolderForm::Unlabelled => FolderSource::unlabelled(root.path()),
            };
            let fresh = all(root.path(), &fresh.unwrap());
            assert_eq!(all(root.path(), &listed), fresh);
            let mut other = all(root.path(), &from_index);
            assert!(other.0[3].0.ends_with("7.png"), "{other:?}");
            other.0[3].0 = other.0[3].0.replace("7.png", "3.png");
            assert_eq!(other, fresh);
        }
        let list = cache.path().join("list");
        fs::write(&list, "1.png\n9.png\n").unwrap();
        kept(&indexes, root.path());
        let source = indexes.open(root.path(), FolderForm::Classes).unwrap();
        let some = source.restrict_to(&list).unwrap();
        let expected = [("a/9.png", Some(0)), ("b/x/1.png", Some(1))];
        let expected = expected.map(|(name, label)| (name.to_owned(), label));
        assert_eq!(contents(root.path(), &some), expected);
    }

    /// Whether a change is seen by what has an index of before.
    fn is_seen(files: &[&str], change: impl Fn(&Path)) -> bool {
        let root = tree(files);
        let cache = TempDir::new().unwrap();
        let indexes = IndexCache::new(cache.path());
        kept(&indexes, root.path());
        change(root.path());
        let of_index = indexes.open(root.path(), FolderForm::Unlabelled).unwrap();
        let fresh = FolderSource::unlabelled(root.path()).unwrap();
        contents(root.path(), &of_index) == contents(root.path(), &fresh)
    }

    #[test]
    fn changes_of_names_are_seen() {
        let files = ["a/1.png", "a/deep/2.png", "b/3.png"];
        let changes: &[fn(&Path)] = &[
            |root| fs::remove_file(root.join("a/deep/2.png")).unwrap(),
            |root| fs::write(root.join("b/4.png"), "").unwrap(),
            |root| fs::rename(root.join("a/1.png"), root.join("a/0.png")).unwrap(),
            |root| fs::rename(root.join("b"), root.join("c")).unwrap(),
            |root| fs::remove_dir_all(root.join("b")).unwrap(),
            |root| fs::create_dir(root.join("a/deep/more")).unwrap(),
        ];
        for (number, change) in changes.iter().enumerate() {
            assert!(is_seen(&files, change), "{number}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn changes_behind_links_are_seen() {
        use std::os::unix::fs::symlink;
        let disks = tree(&["one/1.png", "two/2.png", "two/3.png"]);
        let at = |name: &str| -> PathBuf { disks.path().join(name) };
        settle(disks.path());
        // What the link points at is another folder, of the same age.
        symlink("one", at("now")).unwrap();
        assert!(is_seen(&["a/0.png"], |root| {
            symlink(at("now"), root.join("b")).unwrap();
            let cache = TempDir::new().unwrap();
            let indexes = IndexCache::new(cache.path());
            kept(&indexes, root);
            fs::remove_file(at("now")).unwrap();
            symlink("two", at("now")).unwrap();
            let found = indexes.open(root, FolderForm::Unlabelled).unwrap();
            assert_eq!(found.len(), 3);
            // A disk that was away comes back.
            fs::rename(at("two"), at("away")).unwrap();
            kept(&indexes, root);
            fs::rename(at("away"), at("two")).unwrap();
            let found = indexes.open(root, FolderForm::Unlabelled).unwrap();
            assert_eq!(found.len(), 3);
        }));
    }

    #[test]
    fn an_index_is_neither_kept_of_what_just_changed_nor_of_a_small_folder() {
        let root = tree(&["a/1.png"]);
        let cache = TempDir::new().unwrap();
        let indexes = IndexCache::new(cache.path().join("cache"));
        settle(root.path());
        indexes.open(root.path(), FolderForm::Classes).unwrap();
        assert!(!cache.path().join("cache").exists());
        // A clock that is ahead never settles.
        let later = SystemTime::now() + Duration::from_secs(3600);
        fs::File::open(root.path())
            .unwrap()
            .set_modified(later)
            .unwrap();
        let kept = indexes.renew(root.path(), FolderForm::Classes).unwrap();
        assert_eq!((kept.path, kept.images), (None, 1));
    }

    #[test]
    fn large_folders_are_kept_unasked_and_a_cache_that_cannot_be_written_is_noted() {
        let names: Vec<String> = (0..IndexCache::LEAST_IMAGES)
            .map(|number| format!("{number}.png"))
            .collect();
        let root = TempDir::new().unwrap();
        names
            .iter()
            .for_each(|name| fs::write(root.path().join(name), "").unwrap());
        settle(root.path());
        let cache = TempDir::new().unwrap();
        let open = |folder: &str| {
            let indexes = IndexCache::new(cache.path().join(folder));
            indexes.open(root.path(), FolderForm::Classes).unwrap()
        };
        fs::write(cache.path().join("file"), "").unwrap();
        let notes = open("file").notes();
        assert!(
            notes[0].starts_with("cannot keep an index of `"),
            "{notes:?}"
        );
        let first = open("cache");
        assert_eq!((first.len(), first.notes().len()), (names.len(), 0));
        let kept = fs::read_dir(cache.path().join("cache")).unwrap().count();
        assert_eq!(kept, 1);
        let second = open("cache");
        assert_eq!(second.path(9), first.path(9));
    }

    #[test]
    fn a_damaged_index_is_not_believed() {
        let root = tree(&["a/1.png", "b/2.png"]);
        let cache = TempDir::new().unwrap();
        let indexes = IndexCache::new(cache.path());
        let [(form, kept), _] = kept(&indexes, root.path());
        let path = kept.path.unwrap();
        let whole = fs::read(&path).unwrap();
        let names = || contents(root.path(), &indexes.open(root.path(), form).unwrap());
        let expected = names();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(names(), expected, "{length} bytes");
        }
        // Numbers that announce more than there is.
        for at in 0..whole.len() - 8 {
            let mut bytes = whole.clone();
            bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            fs::write(&path, &bytes).unwrap();
            let _ = indexes.open(root.path(), form);
        }
    }

    #[test]
    fn what_vanished_since_is_replaced_and_listed_and_stops_past_the_limit() {
        let names: Vec<String> = (10..50).map(|number| format!("a/{number}.ppm")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let root = tree(&names);
        let cache = TempDir::new().unwrap();
        let indexes = IndexCache::new(cache.path());
        kept(&indexes, root.path());
        let source = Arc::new(indexes.open(root.path(), FolderForm::Classes).unwrap());
        let load = |workers| {
            let config = LoaderConfig {
                batch_size: 8,
                places: None,
                seed: 0,
                start_step: 0,
                workers,
                augment: Augment {
                    size: [4, 4],
                    ..Augment::default()
                },
                max_bad_fraction: 0.05,
                reading: Reading::default(),
            };
            let mut loader = Loader::new(Arc::<FolderSource>::clone(&source), config).unwrap();
            let batches: Result<Vec<Batch>, _> = loader.by_ref().take(10).collect();
            let mut skipped = loader.skipped().to_vec();
            skipped.sort_by_key(|image| image.index);
            (batches, skipped)
        };
        for gone in ["a/17.ppm", "a/31.ppm"] {
            fs::remove_file(root.path().join(gone)).unwrap();
        }
        for workers in [0, 3] {
            let (batches, skipped) = load(workers);
            assert!(
                batches
                    .unwrap()
                    .iter()
                    .all(|batch| batch.images.len() == 8 * 48)
            );
            assert_eq!([skipped[0].index, skipped[1].index], [7, 21]);
            let why = "17.ppm` is gone since its folder was indexed";
            assert!(skipped[0].why.ends_with(why), "{}", skipped[0].why);
        }
        fs::remove_file(root.path().join("a/40.ppm")).unwrap();
        let error = load(2).0.unwrap_err();
        assert!(
            matches!(
                error,
                DataError::TooManyBad {
                    bad: 3,
                    allowed: 2,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn processes_that_index_at_once_do_no_harm() {
        let root = tree(&["a/1.png", "b/2.png"]);
        let cache = TempDir::new().unwrap();
        settle(root.path());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let indexes = IndexCache::new(cache.path());
                        indexes.renew(root.path(), FolderForm::Classes).unwrap();
                        let source = indexes.open(root.path(), FolderForm::Classes).unwrap();
                        assert_eq!((source.len(), source.classes().len()), (2, 2));
                    }
                });
            }
        });
        // One index, and nothing half-written.
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_vanished_since_is_bad_and_one_that_was_just_listed_is_missed() {
        let root = tree(&["a/1.png", "a/2.png"]);
        let cache = TempDir::new().unwrap();
        let indexes = IndexCache::new(cache.path());
        kept(&indexes, root.path());
        let indexed = indexes.open(root.path(), FolderForm::Classes).unwrap();
        let listed = FolderSource::open(root.path()).unwrap();
        fs::remove_file(root.path().join("a/1.png")).unwrap();
        let fetch = |source: &FolderSource| source.fetch(0, &mut Vec::new()).unwrap_err();
        assert!(matches!(fetch(&listed), FetchError::Missing(_)));
        let gone = fetch(&indexed);
        let FetchError::Corrupt(DataError::Vanished { path }) = gone else {
            panic!("{gone}")
        };
        assert!(path.ends_with("a/1.png"));
        // A folder that is gone may be a disk that is away.
        fs::remove_dir_all(root.path().join("a")).unwrap();
        assert!(matches!(fetch(&indexed), FetchError::Transient(_)));
    }
}
