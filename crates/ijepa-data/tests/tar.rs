//! WebDataset shards in the real tar formats, whole and damaged.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ijepa_data::{
    Augment, DataError, DataSpec, FetchError, Loader, LoaderConfig, Reading, Retry, Source,
    TarSource,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
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

fn open(folder: &TempDir, argument: &str) -> Result<Box<dyn Source>, DataError> {
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
    assert_eq!(source.classes().len() + source.notes().len(), 0);
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

#[test]
fn names_of_all_shards_are_classes_together() {
    let folder = TempDir::new().unwrap();
    write(
        &folder,
        "0.tar",
        &archive(&[
            ("a.cls", b"owl"),
            ("a.ppm", &image(0)),
            ("b.ppm", &image(1)),
            ("b.cls", b"elk\n"),
        ]),
    );
    write(
        &folder,
        "1.tar",
        &archive(&[
            ("a.cls", b"bee"),
            ("a.ppm", &image(2)),
            ("b.cls", b"owl"),
            ("b.ppm", &image(3)),
        ]),
    );
    // An empty shard does no harm beside others.
    write(&folder, "2.tar", &archive(&[]));
    let source = open(&folder, "{0..2}.tar").unwrap();
    assert_eq!(source.classes(), ["bee", "elk", "owl"]);
    let labels: Vec<_> = (0..4).map(|index| source.label(index).unwrap()).collect();
    assert_eq!(labels, [2, 1, 0, 2]);

    write(
        &folder,
        "3.tar",
        &archive(&[("a.cls", b"5"), ("a.ppm", &image(0))]),
    );
    let error = open(&folder, "").unwrap_err();
    assert!(matches!(error, DataError::LabelMix { .. }), "{error}");
    write(
        &folder,
        "4.tar",
        &archive(&[
            ("a.cls", b"5"),
            ("a.ppm", &image(0)),
            ("b.ppm", &image(0)),
            ("b.cls", b"x"),
        ]),
    );
    let error = open(&folder, "4.tar").unwrap_err().to_string();
    assert!(
        error.ends_with(
            "4.tar`, member `b.ppm`: found a name, expected an integer or a name, as before it"
        ),
        "{error}"
    );
}

#[test]
fn a_field_of_json_members_is_the_label() {
    let folder = TempDir::new().unwrap();
    let json = [
        r#"{"kind": "ray", "tag": 3, "fresh": true, "size": 1.5}"#,
        r#"{"kind": "eel", "tag": 0, "fresh": false}"#,
        r#"{"tag": null}"#,
    ];
    let members: Vec<_> = json
        .iter()
        .enumerate()
        .flat_map(|(level, json)| {
            let key = format!("{level}");
            [
                (format!("{key}.ppm"), image(level as u8)),
                (format!("{key}.json"), json.as_bytes().to_vec()),
                (format!("{key}.cls"), b"9".to_vec()),
            ]
        })
        .collect();
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, it)| (&name[..], &it[..]))
        .collect();
    write(&folder, "a.tar", &archive(&members));
    let labels = |field: &str| {
        let source = open(&folder, &format!("a.tar{field}")).unwrap();
        let labels = [0, 1, 2].map(|index| source.label(index));
        (source.classes().to_vec(), labels)
    };
    let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    assert_eq!(labels(""), (vec![], [Some(9); 3]));
    assert_eq!(
        labels(",label=kind"),
        (names(["eel", "ray"]), [Some(1), Some(0), None])
    );
    assert_eq!(labels(",label=tag"), (vec![], [Some(3), Some(0), None]));
    assert_eq!(
        labels(",label=fresh"),
        (names(["false", "true"]), [Some(1), Some(0), None])
    );
    assert_eq!(labels(",label=absent"), (vec![], [None; 3]));
    // The index of one field is not that of another.
    assert_eq!(labels(",label=tag"), (vec![], [Some(3), Some(0), None]));
    let error = open(&folder, "a.tar,label=size").unwrap_err();
    assert!(
        matches!(&error, DataError::BadEntry { entry, found, .. } if entry == "member `0.json`" && found == "1.5"),
        "{error}"
    );
    write(
        &folder,
        "b.tar",
        &archive(&[("a.ppm", &image(1)), ("a.json", b"{")]),
    );
    let error = open(&folder, "b.tar,label=kind").unwrap_err();
    assert!(
        matches!(&error, DataError::BadEntry { found, .. } if found == "no JSON"),
        "{error}"
    );
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

fn loader(source: Box<dyn Source>, max_bad_fraction: f64) -> Loader {
    let config = LoaderConfig {
        batch_size: 4,
        seed: 0,
        start_step: 0,
        places: None,
        workers: 2,
        augment: Augment {
            size: [4, 4],
            ..Augment::default()
        },
        max_bad_fraction,
        reading: Reading {
            retry: Retry {
                retries: 2,
                first_pause: Duration::ZERO,
            },
            ..Reading::default()
        },
    };
    Loader::new(Arc::from(source), config).unwrap()
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
    assert!(
        matches!(error, FetchError::Missing(DataError::Read { .. })),
        "{error}"
    );
    assert!(
        matches!(open(&folder, "{0..1}.tar"), Err(DataError::NoMatch { pattern }) if pattern.ends_with("1.tar"))
    );
}

#[test]
fn a_cut_shard_keeps_its_whole_images_and_is_named() {
    let folder = TempDir::new().unwrap();
    let whole = samples(0..5);
    // A header and a block of content each for class and image.
    let sample = 4 * 512;
    write(&folder, "0.tar", &samples(10..20));
    for length in
        (1..whole.len())
            .step_by(211)
            .chain([512, 1024, sample, 3 * sample - 511, 5 * sample])
    {
        let path = write(&folder, "1.tar", &whole[..length]);
        set_second(&path, length as u64);
        let source = open(&folder, "").unwrap_or_else(|error| {
            // Not a single image is left.
            assert!(length < 1536 + 59, "{error}");
            assert!(matches!(error, DataError::Tar { .. }), "{error}");
            open(&folder, "0.tar").unwrap()
        });
        // The content of an image has 59 bytes, and its last block may lack the rest.
        let good = (0..5)
            .filter(|sample_number| sample_number * sample + 1536 + 59 <= length)
            .count();
        for index in 0..10 + good {
            assert_eq!(
                source.label(index),
                Some([1, 0][usize::from(index >= 10)])
                    .map(|first| (first + (index % 10) as u32) % 3)
            );
            let level = if index < 10 { 10 + index } else { index - 10 };
            assert_eq!(source.read(index).unwrap().pixel(0, 0)[0], level as u8);
        }
        let cut: Vec<usize> = (10 + good..source.len()).collect();
        assert!(cut.len() <= 1, "{cut:?}");
        for &index in &cut {
            let error = source.fetch(index, &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, FetchError::Corrupt(DataError::CutOff { .. })),
                "{error}"
            );
        }
        let is_whole = length >= 5 * sample + 512;
        let notes = source.notes();
        if source.len() > 10 {
            assert_eq!(notes.is_empty(), is_whole, "{length}: {notes:?}");
            assert!(
                notes
                    .iter()
                    .all(|note| note.contains("1.tar` stops early, after"))
            );
        }
        // Of the third image there is one byte.
        if length == 3 * sample - 511 {
            assert_eq!(cut.len(), 1);
            let mut loader = loader(source, 0.1);
            for batch in loader.by_ref().take(6) {
                assert_eq!(batch.unwrap().indices.len(), 4);
            }
            assert_eq!(loader.skipped().len(), 1);
            assert!(loader.skipped()[0].why.contains("is cut off"));
        }
    }
}

#[test]
fn what_is_no_image_is_left_out_and_named() {
    let folder = TempDir::new().unwrap();
    let mut members: Vec<(String, Vec<u8>)> = (0..30)
        .map(|level| (format!("{level:02}.jpg"), image(level)))
        .collect();
    members[3].1 = Vec::new();
    members[4].1 = b"<html>not found</html>".to_vec();
    members[5].1.truncate(30);
    let members: Vec<(&str, &[u8])> = members
        .iter()
        .map(|(name, it)| (&name[..], &it[..]))
        .collect();
    write(&folder, "a.tar", &archive(&members));
    let mut loader = loader(open(&folder, "a.tar").unwrap(), 0.1);
    for batch in loader.by_ref().take(8) {
        assert_eq!(batch.unwrap().images.len(), 4 * 48);
    }
    let mut skipped: Vec<&str> = loader
        .skipped()
        .iter()
        .map(|it| it.path.rsplit('/').next().unwrap())
        .collect();
    skipped.sort_unstable();
    assert_eq!(skipped, ["03.jpg", "04.jpg", "05.jpg"]);
}

#[test]
fn what_is_no_tar_file_is_refused() {
    let folder = TempDir::new().unwrap();
    write(&folder, "good.tar", &samples(0..3));
    let refused = |bytes: &[u8]| {
        write(&folder, "bad.tar", bytes);
        let error = open(&folder, "").unwrap_err();
        let DataError::Tar { path, source } = error else {
            panic!("{error}")
        };
        assert!(path.ends_with("bad.tar"));
        source.to_string()
    };
    refused(b"");
    refused(&[7; 2000]);
    refused(b"\x1f\x8b\x08\x00 compressed");
    let none = *b"00000000000\0";
    let endless = [0x80, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
    for length in [none, endless] {
        let mut sparse = Builder::new(Vec::new());
        let mut header = header(Header::new_gnu(), b"");
        header.set_entry_type(EntryType::GNUSparse);
        let fields = header.as_gnu_mut().unwrap();
        fields.realsize = length;
        (fields.sparse[0].offset, fields.sparse[0].numbytes) = (length, none);
        sparse.append_data(&mut header, "a.ppm", &[][..]).unwrap();
        assert_eq!(
            refused(&sparse.into_inner().unwrap()),
            "a member is a sparse file"
        );
    }
    let mut sparse = Builder::new(Vec::new());
    sparse
        .append_pax_extensions([("GNU.sparse.major", b"1".as_slice())])
        .unwrap();
    let mut header = header(Header::new_ustar(), &image(1));
    sparse
        .append_data(&mut header, "GNUSparseFile.0/a.ppm", &image(1)[..])
        .unwrap();
    assert_eq!(
        refused(&sparse.into_inner().unwrap()),
        "a member is a sparse file"
    );

    let nothing = TempDir::new().unwrap();
    write(&nothing, "a.tar", &archive(&[("a.txt", b"x")]));
    assert!(matches!(
        open(&nothing, "a.tar"),
        Err(DataError::NoImages { .. })
    ));
    assert!(matches!(
        open(&nothing, "b*.tar"),
        Err(DataError::NoMatch { .. })
    ));
}

#[test]
fn damaged_shards_never_panic_and_never_ask_for_more_than_they_hold() {
    let folder = TempDir::new().unwrap();
    let bytes = samples(0..4);
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut refused = 0;
    for number in 0..200 {
        let mut damaged = bytes.clone();
        for _ in 0..rng.random_range(1..4) {
            // Headers are what matters.
            let block = rng.random_range(0..bytes.len() / 1024) * 1024;
            let at = block + [rng.random_range(0..160), rng.random_range(0..512)][number % 2];
            damaged[at] ^= 1 << rng.random_range(0..8);
            if number % 3 == 0 {
                let header = &mut damaged[block..block + 512];
                header[148..156].fill(b' ');
                let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
                header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
        let path = write(&folder, "a.tar", &damaged);
        set_second(&path, number as u64);
        match TarSource::open(&path, None) {
            Ok(source) => {
                let mut buffer = Vec::new();
                for index in 0..source.len() {
                    let _ = source.fetch(index, &mut buffer);
                    assert!(buffer.capacity() <= 2 * bytes.len());
                }
                refused += usize::from(!source.notes().is_empty());
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 80, "only {refused} damaged files were noticed");
}
