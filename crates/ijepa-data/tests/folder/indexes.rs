//! Lists of folders that are kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ijepa_data::{
    Augment, Batch, DataError, FetchError, FolderForm, FolderSource, IndexCache, Kept, Loader,
    LoaderConfig, Source,
};
use tempfile::TempDir;

use crate::{contents, tree};

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

/// Ends an index as it should end.
fn seal(index: &mut [u8]) {
    let (content, hash) = index.split_last_chunk_mut::<{ blake3::OUT_LEN }>().unwrap();
    *hash = blake3::hash(content).into();
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
        let last = bytes.len() - blake3::OUT_LEN - "3.png".len();
        assert!(bytes[last..].starts_with(b"3.png"));
        bytes[last] = b'7';
        seal(&mut bytes);
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
    for at in 0..whole.len() - blake3::OUT_LEN - 8 {
        let mut bytes = whole.clone();
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        seal(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let _ = indexes.open(root.path(), form);
    }
}

#[test]
fn the_index_of_the_other_form_goes_with_what_it_was_of() {
    let root = tree(&["a/1.png", "b/2.png"]);
    let cache = TempDir::new().unwrap();
    let indexes = IndexCache::new(cache.path());
    let count = || fs::read_dir(cache.path()).unwrap().count();
    kept(&indexes, root.path());
    assert_eq!(count(), 2);
    fs::write(root.path().join("a/3.png"), "").unwrap();
    settle(root.path());
    indexes.renew(root.path(), FolderForm::Classes).unwrap();
    assert_eq!(count(), 1);
    indexes.renew(root.path(), FolderForm::Unlabelled).unwrap();
    assert_eq!(count(), 2);
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
            workers,
            max_bad_fraction: 0.05,
            ..LoaderConfig::new(
                8,
                Augment {
                    size: [4, 4],
                    ..Augment::default()
                },
            )
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
