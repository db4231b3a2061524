//! WebDataset shards in the real tar formats, whole and damaged.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod damaged;
mod labels;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ijepa_data::{
    Augment, DataError, DataSpec, FetchError, Loader, LoaderConfig, Reading, Retry, Source,
};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

/// An image of one grey level.
fn image(level: u8) -> Vec<u8> {
    [b"P6 4 4 255\n".as_slice(), &[level; 48]].concat()
}

/// A member's header without a path.
fn header(mut header: Header, bytes: &[u8]) -> Header {
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header
}

/// A tar file of `members`.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, bytes) in members {
        let mut header = header(Header::new_ustar(), bytes);
        tar.append_data(&mut header, path, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// As WebDataset writes them: `cls` before `ppm`, a sample a level.
fn samples(levels: std::ops::Range<u8>) -> Vec<u8> {
    let members: Vec<_> = levels
        .flat_map(|level| {
            let class = (level % 3).to_string().into_bytes();
            [
                (format!("{level:03}.cls"), class),
                (format!("{level:03}.ppm"), image(level)),
            ]
        })
        .collect();
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, it)| (&name[..], &it[..]))
        .collect();
    archive(&members)
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn open(folder: &TempDir, argument: &str) -> Result<Arc<dyn Source>, DataError> {
    let root = folder.path().display();
    format!("tar:{root}/{argument}").parse::<DataSpec>()?.open()
}

/// Name below `folder`, grey level and label of every image, read backwards.
fn contents(folder: &TempDir, source: &dyn Source) -> Vec<(String, u8, Option<u32>)> {
    let prefix = format!("{}/", folder.path().display());
    let of = |index| {
        let name = source.name(index);
        let name = name.strip_prefix(&prefix).unwrap().to_owned();
        let level = source.read(index).unwrap().pixel(3, 3)[0];
        (name, level, source.label(index))
    };
    let mut all: Vec<_> = (0..source.len()).rev().map(of).collect();
    all.reverse();
    all
}

#[test]
fn members_of_one_key_are_a_sample_and_endings_may_be_in_any_case() {
    let folder = TempDir::new().unwrap();
    let bytes = archive(&[
        ("readme", b"none"),
        ("d/a.JPEG", &image(1)),
        ("d/a.txt", b"a cat"),
        ("d/a.cls", b" 7\n"),
        ("d/._b.jpg", b"no sample"),
        ("d/b.depth.png", &image(9)),
        ("d/b.Png", &image(2)),
        ("d/b.webp", &image(8)),
        ("d/only.txt", b"no image"),
        ("e/b.left.jpg", &image(3)),
        ("e/b.cls", b"-1"),
        ("./f.x/c.tif", &image(4)),
        ("./f.x/c.cls", b""),
    ]);
    write(&folder, "train-0.tar", &bytes);
    let source = open(&folder, "train-0.tar").unwrap();
    let expected = [
        ("train-0.tar/d/a.JPEG", 1, Some(7)),
        ("train-0.tar/d/b.Png", 2, None),
        ("train-0.tar/e/b.left.jpg", 3, None),
        ("train-0.tar/f.x/c.tif", 4, None),
    ];
    let expected = expected.map(|(name, level, label)| (name.to_owned(), level, label));
    assert_eq!(contents(&folder, source.as_ref()), expected);
    assert_eq!(source.classes().len() + source.faults().len(), 0);
    assert_eq!(source.file(1), Some(folder.path().join("train-0.tar")));
}

#[test]
fn an_array_is_the_image_of_a_sample_without_another() {
    let folder = TempDir::new().unwrap();
    let (level, none) = (image(7), [0; 4]);
    let members = [
        ("0.npy", &none[..]),
        ("0.left.ppm", &level),
        ("1.npy", &none),
        ("1.txt", b"one"),
    ];
    write(&folder, "a.tar", &archive(&members));
    let source = open(&folder, "a.tar").unwrap();
    let names = [0, 1].map(|index| source.name(index));
    assert!(names[0].ends_with("/0.left.ppm") && names[1].ends_with("/1.npy"));
    assert_eq!(source.len(), 2);
}

#[test]
fn long_names_of_every_format_are_read_and_what_is_no_file_is_passed_over() {
    let folder = TempDir::new().unwrap();
    let long = |letter: &str, length| format!("{}/x.ppm", letter.repeat(length));
    let mut tar = Builder::new(Vec::new());
    let bytes = image(1);
    // 150 bytes take ustar's prefix and GNU's long name; PAX has any.
    let ustar = format!("{}/{}", "p".repeat(90), long("u", 60));
    tar.append_data(&mut header(Header::new_ustar(), &bytes), &ustar, &bytes[..])
        .unwrap();
    let gnu = long("g", 300);
    tar.append_data(&mut header(Header::new_gnu(), &bytes), &gnu, &bytes[..])
        .unwrap();
    let pax = long("é", 200);
    let extensions = [("path", pax.as_bytes()), ("mtime", b"1.5".as_slice())];
    tar.append_pax_extensions(extensions).unwrap();
    tar.append_data(
        &mut header(Header::new_ustar(), &bytes),
        "short.ppm",
        &bytes[..],
    )
    .unwrap();
    for kind in [
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Fifo,
    ] {
        let mut other = header(Header::new_gnu(), b"");
        other.set_entry_type(kind);
        other.set_link_name("short.ppm").unwrap();
        tar.append_data(&mut other, "other.ppm", &[][..]).unwrap();
    }
    write(&folder, "a.tar", &tar.into_inner().unwrap());
    let source = open(&folder, "*.tar").unwrap();
    let names: Vec<String> = contents(&folder, source.as_ref())
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(names, [ustar, gnu, pax].map(|name| format!("a.tar/{name}")));
}

/// Lets the file look as if it had been changed at that second.
fn set_second(path: &Path, second: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

#[test]
fn an_index_counts_for_the_same_file_only() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, "a.tar", &samples(0..5));
    set_second(&path, 1000);
    let names = || -> Result<Vec<String>, DataError> {
        let source = open(&folder, "a.tar")?;
        Ok((0..source.len()).map(|index| source.name(index)).collect())
    };
    let expected = names().unwrap();
    let is_index = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "index");
    let files = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let indices: Vec<PathBuf> = files.filter(is_index).collect();
    let [index] = &indices[..] else {
        panic!("{indices:?}")
    };
    // The shard is not looked at again, or this would be seen.
    fs::write(&path, vec![7; samples(0..5).len()]).unwrap();
    set_second(&path, 1000);
    assert_eq!(names().unwrap(), expected);
    // A damaged index is made anew.
    let mut damaged = fs::read(index).unwrap();
    damaged[60] ^= 1;
    fs::write(index, &damaged).unwrap();
    assert!(matches!(names(), Err(DataError::Tar { .. })));
    fs::write(&path, samples(0..5)).unwrap();
    set_second(&path, 1000);
    assert_eq!(names().unwrap(), expected);
    // Another file of the same length, and one of the same time.
    fs::write(&path, samples(5..10)).unwrap();
    set_second(&path, 1001);
    assert_ne!(names().unwrap(), expected);
    fs::write(&path, samples(0..9)).unwrap();
    set_second(&path, 1001);
    assert_eq!(names().unwrap()[..5], expected);
}

fn loader(source: Arc<dyn Source>, max_bad_fraction: f64) -> Loader {
    let config = LoaderConfig {
        workers: 2,
        max_bad_fraction,
        reading: Reading {
            retry: Retry {
                retries: 2,
                first_pause: Duration::ZERO,
            },
            ..Reading::default()
        },
        ..LoaderConfig::new(
            4,
            Augment {
                size: [4, 4],
                ..Augment::default()
            },
        )
    };
    Loader::new(source, config).unwrap()
}

#[test]
fn a_shard_that_is_another_one_now_is_an_error_and_so_is_one_that_is_gone() {
    let folder = TempDir::new().unwrap();
    write(&folder, "0.tar", &samples(0..6));
    let path = write(&folder, "1.tar", &samples(6..12));
    set_second(&path, 1000);
    let another = |change: &dyn Fn()| {
        fs::write(&path, samples(6..12)).unwrap();
        set_second(&path, 1000);
        // Before it is opened, and while it is.
        for reads in [0, 1] {
            let source = open(&folder, "").unwrap();
            assert_eq!(source.len(), 12);
            (0..reads).for_each(|_| assert_eq!(source.read(7).unwrap().pixel(0, 0)[0], 7));
            change();
            let error = source.fetch(7, &mut Vec::new()).unwrap_err();
            let replaced = |error: &DataError| matches!(error, DataError::Replaced { path } if path.ends_with("1.tar"));
            assert!(
                matches!(&error, FetchError::Missing(error) if replaced(error)),
                "{error}"
            );
            let mut loader = loader(source, 1.0);
            let error = loader.by_ref().find_map(Result::err).unwrap();
            assert!(replaced(&error), "{error}");
            assert_eq!(loader.skipped(), []);
            fs::write(&path, samples(6..12)).unwrap();
            set_second(&path, 1000);
        }
    };
    another(&|| {
        fs::write(&path, samples(106..112)).unwrap();
        set_second(&path, 1001);
    });
    another(&|| {
        fs::write(&path, &samples(6..12)[..2048]).unwrap();
        set_second(&path, 1000);
    });

    let source = open(&folder, "").unwrap();
    fs::remove_file(&path).unwrap();
    assert!(source.read(0).is_ok());
    let error = source.fetch(7, &mut Vec::new()).unwrap_err();
    let is_read = |error: &DataError| matches!(error.itself(), DataError::Read { .. });
    assert!(
        matches!(&error, FetchError::Missing(error) if is_read(error)),
        "{error}"
    );
    assert!(
        matches!(open(&folder, "{0..1}.tar"), Err(DataError::NoMatch { pattern }) if pattern.ends_with("1.tar"))
    );
}
