//! Folders of images: which files are found, in which order, with which labels.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod indexes;
#[cfg(unix)]
mod links;

use std::fs;
use std::path::Path;

use ijepa_data::{DataError, DataSpec, Fingerprint, FolderSource, ImageError, Source};
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
fn images_are_named_as_folders_are() {
    let root = tree(&["a/1.png", "a/2.JPG", "a/notes.txt", "b.png/3.png"]);
    let open = |name: &str| {
        let path = root.path().join(name).display().to_string();
        path.parse::<DataSpec>().unwrap().open()
    };
    let names = |name: &str| {
        let images = contents(root.path(), open(name).unwrap().as_ref());
        images.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names("a/1.png"), ["a/1.png"]);
    assert_eq!(names("a/*"), ["a/1.png", "a/2.JPG"]);
    // Folders go first.
    assert_eq!(names("*.png"), ["b.png/3.png"]);
    assert!(open("a/notes.txt").is_err() && open("a/*.gif").is_err());
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
fn folders_without_images_beside_images_are_no_classes() {
    let files = [
        "1.png",
        "2.png",
        "empty/",
        "__MACOSX/deep/._1.png",
        "notes/list.txt",
    ];
    check(&files, &[], &[("1.png", None), ("2.png", None)]);
    let source = FolderSource::open(tree(&files).path()).unwrap();
    assert_eq!(source.notes(), ["1 other file passed over: .txt 1"]);
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
    assert_eq!((mixed.label(0), mixed.label(1)), (Some(0), None));
    assert!(mixed.notes().is_empty());
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
    assert!(
        matches!(error, DataError::Image(ImageError::Decode { name, .. }) if name.ends_with("1.png"))
    );
    fs::remove_file(root.path().join("a/1.png")).unwrap();
    assert!(matches!(source.read(0), Err(DataError::Read { .. })));
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
