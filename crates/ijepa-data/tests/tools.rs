//! Data sets are verified, measured and packed.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ijepa_data::{
    DataError, DataSpec, Fetched, FolderSource, PackConfig, PackError, PackFormat, ParquetSource,
    Reading, RgbImage8, Shrink, Source, Statistics, StatisticsConfig, TarSource, pack, verify,
};
use tempfile::TempDir;

/// Three classes of images, 12 x 8 and 8 x 12, one of a single grey; file `number` has red
/// `number * 20`.
fn photos() -> TempDir {
    let root = TempDir::new().unwrap();
    for number in 0..11_u8 {
        let class = root
            .path()
            .join(["cat", "dog", "red fox"][usize::from(number % 3)]);
        fs::create_dir_all(&class).unwrap();
        let (width, height) = if number % 2 == 0 { (12, 8) } else { (8, 12) };
        let colour = [number * 20, if number == 0 { 0 } else { 200 }, 0];
        let image = image::RgbImage::from_pixel(width, height, image::Rgb(colour));
        let ending = ["png", "jpg", "bmp"][usize::from(number / 4)];
        image
            .save(class.join(format!("{number:02}.{ending}")))
            .unwrap();
    }
    root
}

fn config(format: PackFormat) -> PackConfig {
    PackConfig {
        format,
        name: "train".to_owned(),
        most_images: 4,
        most_bytes: 1 << 30,
        shrink: None,
        shuffle: None,
        reading: Reading::default(),
        workers: 3,
    }
}

/// The bytes and the name of the class of every image.
fn contents(source: &dyn Source) -> Vec<(Vec<u8>, String)> {
    let image = |index| {
        let mut bytes = Vec::new();
        assert_eq!(source.fetch(index, &mut bytes).unwrap(), Fetched::File);
        let label = source.label(index).unwrap() as usize;
        (bytes, source.classes()[label].clone())
    };
    (0..source.len()).map(image).collect()
}

/// The names and bytes in an archive, in their order.
fn members(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(fs::File::open(path).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

#[test]
fn packed_parquet_files_give_back_bytes_labels_and_classes() {
    let root = photos();
    let source = FolderSource::open(root.path()).unwrap();
    let out = root.path().join("packed");
    let mut done = Vec::new();
    let packed = pack(&source, &out, &config(PackFormat::Parquet), |it| {
        done.push(it)
    })
    .unwrap();
    assert_eq!(done, (1..=11).collect::<Vec<_>>());
    assert_eq!((packed.images, packed.skipped.len()), (11, 0));
    let names = [
        "train-00000.parquet",
        "train-00001.parquet",
        "train-00002.parquet",
    ];
    assert_eq!(packed.shards, names.map(|name| out.join(name)));
    let back = ParquetSource::open(&out).unwrap();
    assert_eq!(back.classes(), source.classes());
    assert_eq!(contents(&back), contents(&source));
    let total: u64 = contents(&back)
        .iter()
        .map(|image| image.0.len() as u64)
        .sum();
    assert_eq!(packed.bytes, total);
}

#[test]
fn archives_hold_and_give_back_bytes_labels_and_the_names_of_classes() {
    let root = photos();
    let source = FolderSource::open(root.path()).unwrap();
    let out = root.path().join("packed");
    let packed = pack(&source, &out, &config(PackFormat::Tar), |_| ()).unwrap();
    let classes = fs::read_to_string(out.join("classes.txt")).unwrap();
    assert_eq!(classes, "cat\ndog\nred fox\n");
    let all: Vec<_> = packed
        .shards
        .iter()
        .flat_map(|path| members(path))
        .collect();
    assert_eq!(all.len(), 22);
    for (number, (pair, (bytes, class))) in all.chunks(2).zip(contents(&source)).enumerate() {
        let key = format!("{number:09}.");
        assert!(pair.iter().all(|member| member.0.starts_with(&key)));
        assert_eq!(pair[0].1, bytes);
        assert!(pair[1].0.ends_with(".cls"));
        let label: usize = String::from_utf8(pair[1].1.clone())
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(source.classes()[label], class);
    }
    let back = TarSource::open(&out, None).unwrap();
    assert_eq!(back.classes(), source.classes());
    assert_eq!(contents(&back), contents(&source));
    fs::write(out.join("classes.txt"), "cat\ndog\n").unwrap();
    let error = TarSource::open(&out, None).unwrap_err().to_string();
    let expected = "classes.txt`, label 2: found 2 lines, expected a line for every label from 0";
    assert!(error.ends_with(expected), "{error}");
    fs::remove_file(out.join("classes.txt")).unwrap();
    let back = TarSource::open(&out, None).unwrap();
    assert_eq!((back.classes().len(), back.label(4)), (0, source.label(4)));
}

#[test]
fn what_is_packed_depends_on_the_configuration_alone() {
    let root = photos();
    let source = FolderSource::open(root.path()).unwrap();
    let pack_to = |name: &str, config: &PackConfig| {
        let packed = pack(&source, &root.path().join(name), config, |_| ()).unwrap();
        packed
            .shards
            .iter()
            .flat_map(|path| fs::read(path).unwrap())
            .collect::<Vec<_>>()
    };
    for format in [PackFormat::Tar, PackFormat::Parquet] {
        let to = |name: &str, shuffle, workers| {
            let config = PackConfig {
                shuffle,
                workers,
                ..config(format)
            };
            pack_to(&format!("{name}-{format:?}"), &config)
        };
        let sorted = to("sorted", None, 0);
        assert!(sorted == to("again", None, 4));
        let shuffled = to("shuffled", Some(3), 0);
        assert!(shuffled == to("shuffled again", Some(3), 4));
        assert!(shuffled != sorted && shuffled != to("other", Some(4), 2));
    }
    let bytes: Vec<u64> = (0..source.len())
        .map(|index| fs::metadata(source.path(index)).unwrap().len())
        .collect();
    let most_bytes = bytes[0] + bytes[1];
    let small = PackConfig {
        most_bytes,
        ..config(PackFormat::Tar)
    };
    let packed = pack(&source, &root.path().join("small"), &small, |_| ()).unwrap();
    for path in &packed.shards {
        let images: Vec<_> = members(path);
        let images = images.iter().filter(|member| !member.0.ends_with(".cls"));
        let lengths: Vec<u64> = images.map(|image| image.1.len() as u64).collect();
        assert!(lengths.len() == 1 || lengths.iter().sum::<u64>() <= most_bytes);
    }
    assert!(packed.shards.len() > 3);
}

#[test]
fn a_name_that_is_taken_is_refused_and_nothing_half_done_is_left() {
    let root = photos();
    let source = FolderSource::open(root.path()).unwrap();
    let out = root.path().join("packed");
    fs::create_dir(&out).unwrap();
    let error = pack(&source, &out, &config(PackFormat::Tar), |_| ()).unwrap_err();
    let PackError::File(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.source.kind(), std::io::ErrorKind::AlreadyExists);
    fs::remove_dir(&out).unwrap();
    // Storage that gives nothing any more.
    fs::remove_file(source.path(7)).unwrap();
    let error = pack(&source, &out, &config(PackFormat::Parquet), |_| ()).unwrap_err();
    assert!(
        matches!(error, PackError::Data(DataError::Read { .. })),
        "{error}"
    );
    let names = fs::read_dir(root.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for (wrong, key) in [
        (
            PackConfig {
                most_images: 0,
                ..config(PackFormat::Tar)
            },
            "most_images",
        ),
        (
            PackConfig {
                name: "a/b".to_owned(),
                ..config(PackFormat::Tar)
            },
            "name",
        ),
        (
            PackConfig {
                shrink: Some(Shrink {
                    short_side: 8,
                    quality: 101,
                }),
                ..config(PackFormat::Tar)
            },
            "quality",
        ),
    ] {
        let error = pack(&source, &out, &wrong, |_| ()).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn images_are_written_smaller_on_demand_and_never_larger() {
    let root = TempDir::new().unwrap();
    for (name, width, height) in [("a", 60, 40), ("b", 30, 90), ("c", 10, 12)] {
        let image = image::RgbImage::from_pixel(width, height, image::Rgb([200, 100, 50]));
        image.save(root.path().join(format!("{name}.png"))).unwrap();
    }
    fs::write(root.path().join("d.png"), "no image").unwrap();
    let source = FolderSource::open(root.path()).unwrap();
    let shrink = Some(Shrink {
        short_side: 20,
        quality: 90,
    });
    let config = PackConfig {
        shrink,
        ..config(PackFormat::Parquet)
    };
    let packed = pack(&source, &root.path().join("out"), &config, |_| ()).unwrap();
    assert_eq!(packed.images, 3);
    assert!(packed.skipped[0].path.ends_with("d.png"));
    let back = ParquetSource::open(root.path().join("out")).unwrap();
    let images = [0, 1, 2].map(|index| back.read(index).unwrap());
    assert_eq!(
        images.each_ref().map(|it| [it.width(), it.height()]),
        [[30, 20], [20, 60], [10, 12]]
    );
    for image in &images {
        let near = image
            .pixel(3, 3)
            .iter()
            .zip([200, 100, 50])
            .all(|(a, b)| a.abs_diff(b) < 4);
        assert!(near, "{:?}", image.pixel(3, 3));
    }
    // Rendered pixels are packed without loss.
    let scenes = "scenes:n=5,size=16"
        .parse::<DataSpec>()
        .unwrap()
        .open()
        .unwrap();
    let config = PackConfig {
        shrink: None,
        ..config
    };
    pack(
        scenes.as_ref(),
        &root.path().join("scenes"),
        &config,
        |_| (),
    )
    .unwrap();
    let back = ParquetSource::open(root.path().join("scenes")).unwrap();
    for index in 0..5 {
        assert_eq!(back.read(index).unwrap(), scenes.read(index).unwrap());
        assert_eq!(back.label(index), scenes.label(index));
    }
    assert_eq!(back.classes(), scenes.classes());
}

/// Adds a file that is cut short, an empty one, a text and a link to nowhere.
fn spoil(root: &Path) -> Vec<PathBuf> {
    let good = fs::read(root.join("cat/03.png")).unwrap();
    let bad = ["cat/cut.png", "dog/empty.jpg", "dog/text.jpg"].map(|name| root.join(name));
    fs::write(&bad[0], &good[..good.len() / 2]).unwrap();
    fs::write(&bad[1], "").unwrap();
    fs::write(&bad[2], "a text").unwrap();
    bad.to_vec()
}

#[test]
fn every_bad_file_is_found_with_its_reason() {
    let root = photos();
    let mut expected = spoil(root.path());
    let source = FolderSource::open(root.path()).unwrap();
    // Not there any more, while its folder is.
    let gone = root.path().join("red fox/02.png");
    fs::remove_file(&gone).unwrap();
    expected.push(gone);
    for workers in [0, 1, 3] {
        let mut done = 0;
        let bad = verify(&source, Reading::default(), workers, |it| done = it).unwrap();
        assert_eq!(done, 14);
        let paths: Vec<PathBuf> = bad.iter().map(|it| it.path.as_str().into()).collect();
        assert_eq!(paths, expected);
        assert!(
            bad[1].why.ends_with("is empty, which is not read"),
            "{}",
            bad[1].why
        );
    }
    // A disk that is away is nobody's fault.
    let mut reading = Reading::default();
    reading.retry.retries = 0;
    fs::rename(root.path().join("cat"), root.path().join(".cat")).unwrap();
    for class in ["dog", "red fox"] {
        fs::remove_dir_all(root.path().join(class)).unwrap();
    }
    let error = verify(&source, reading, 2, |_| ()).unwrap_err();
    assert!(
        matches!(error, DataError::GaveUp { attempts: 1, .. }),
        "{error}"
    );
}

#[test]
fn statistics_are_those_of_the_images() {
    let root = photos();
    let bad = spoil(root.path());
    let source = FolderSource::open(root.path()).unwrap();
    let config = StatisticsConfig {
        most: usize::MAX,
        seed: 0,
        reading: Reading::default(),
        workers: 2,
    };
    let found = Statistics::of(&source, config, |_| ()).unwrap();
    assert_eq!(
        (found.images, found.measured, found.bad.len()),
        (14, 11, bad.len())
    );
    let classes: Vec<usize> = found.classes.values().copied().collect();
    assert_eq!((classes, found.unlabelled), (vec![5, 6, 3], 0));
    assert_eq!(
        (found.width.min, found.width.max, found.width.median),
        (8.0, 12.0, 12.0)
    );
    assert!((found.aspect.min - 8.0 / 12.0).abs() < 1e-12);
    let kinds: Vec<_> = found
        .kinds
        .iter()
        .map(|(kind, count)| (*kind, *count))
        .collect();
    assert_eq!(kinds, [("bmp", 3), ("jpg", 4), ("png", 4)]);
    assert_eq!(found.grey, 1);
    // Each image is of one colour, so the deviation is that between images.
    let reds: Vec<f64> = (0..14)
        .filter_map(|index| source.read(index).ok())
        .map(|image: RgbImage8| f64::from(image.pixel(0, 0)[0]) / 255.0)
        .collect();
    let mean = reds.iter().sum::<f64>() / 11.0;
    let variance = reds.iter().map(|red| (red - mean).powi(2)).sum::<f64>() / 11.0;
    assert!((found.mean[0] - mean).abs() < 2e-3, "{:?}", found.mean);
    assert!(
        (found.std[0] - variance.sqrt()).abs() < 2e-3,
        "{:?}",
        found.std
    );
    assert_eq!((found.sheet.width(), found.sheet.height()), (396, 296));

    let again = StatisticsConfig {
        workers: 0,
        ..config
    };
    assert_eq!(Statistics::of(&source, again, |_| ()).unwrap(), found);
    let some = |seed| {
        let config = StatisticsConfig {
            most: 5,
            seed,
            ..config
        };
        let found = Statistics::of(&source, config, |_| ()).unwrap();
        assert_eq!((found.images, found.measured + found.bad.len()), (14, 5));
        found.mean
    };
    assert_eq!(some(1), some(1));
    assert_ne!(some(1), some(2));
}

#[test]
fn a_set_without_a_single_image_has_no_statistics() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join("a.png"), "no image").unwrap();
    let source = FolderSource::open(root.path()).unwrap();
    let config = StatisticsConfig {
        most: 9,
        seed: 0,
        reading: Reading::default(),
        workers: 1,
    };
    let error = Statistics::of(&source, config, |_| ()).unwrap_err();
    assert!(
        matches!(error, DataError::NothingReadable { images: 1, .. }),
        "{error}"
    );
    let out = root.path().join("out");
    let error = pack(&source, &out, &self::config(PackFormat::Tar), |_| ()).unwrap_err();
    assert!(
        matches!(error, PackError::Data(DataError::NothingReadable { .. })),
        "{error}"
    );
    assert!(!out.exists());
}
