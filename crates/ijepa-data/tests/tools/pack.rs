//! Files that are packed, and what comes back of them.

use std::fs;
use std::io::Read;
use std::path::Path;

use ijepa_data::{
    DataError, DataSpec, Fetched, FolderSource, Orientation, PackConfig, PackError, PackFormat,
    ParquetSource, Shrink, Source, TarSource, pack,
};
use tempfile::TempDir;

use crate::{config, photos};

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

/// Hours of packing would be lost if that were found out at their end.
#[cfg(unix)]
#[test]
fn names_of_classes_that_are_no_line_are_refused_before_anything_is_read() {
    let root = TempDir::new().unwrap();
    let class = root.path().join("in/two\nlines");
    fs::create_dir_all(&class).unwrap();
    fs::write(class.join("0.ppm"), b"P6 1 1 255\n\0\0\0").unwrap();
    let source = FolderSource::open(root.path().join("in")).unwrap();
    let out = root.path().join("out");
    let mut read = 0;
    let error = pack(&source, &out, &config(PackFormat::Tar), |_| read += 1).unwrap_err();
    assert!(error.to_string().contains("classes.txt"), "{error}");
    assert_eq!((read, out.exists()), (0, false));
    pack(&source, &out, &config(PackFormat::Parquet), |_| ()).unwrap();
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

/// A JPEG file of 32 x 16 pixels, blue but for a red quarter at its top left, whose EXIF data asks
/// for a turn to the right.
fn turned() -> Vec<u8> {
    let picture = image::RgbImage::from_fn(32, 16, |x, y| match x < 16 && y < 8 {
        true => image::Rgb([250, 0, 0]),
        false => image::Rgb([0, 0, 250]),
    });
    let mut jpeg = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 95);
    picture.write_with_encoder(encoder).unwrap();
    let exif =
        b"\xff\xe1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    [&jpeg[..2], exif, &jpeg[2..]].concat()
}

#[test]
fn pictures_are_written_upright_on_demand() {
    let root = TempDir::new().unwrap();
    let photos = root.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("a.jpg"), turned()).unwrap();
    let source = FolderSource::open(&photos).unwrap();
    for (name, orientation, size, red) in [
        ("stored", Orientation::Ignore, [16, 8], [2, 2]),
        ("upright", Orientation::Exif, [8, 16], [5, 2]),
    ] {
        let mut config = config(PackFormat::Parquet);
        config.reading.decoding.orientation = orientation;
        config.shrink = Some(Shrink {
            short_side: 8,
            quality: 95,
        });
        let out = root.path().join(name);
        pack(&source, &out, &config, |_| ()).unwrap();
        let image = ParquetSource::open(&out).unwrap().read(0).unwrap();
        assert_eq!([image.width(), image.height()], size, "{name}");
        let is_red = |[x, y]: [usize; 2]| image.pixel(x, y)[0] > 200;
        let corners = [
            [0, 0],
            [size[0] - 1, 0],
            [0, size[1] - 1],
            [size[0] - 1, size[1] - 1],
        ];
        assert_eq!(corners.into_iter().filter(|&at| is_red(at)).count(), 1);
        assert!(is_red(red), "{name}");
    }
}
