//! Parquet files in the Hugging Face layout, whole and damaged; CIFAR in that form.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::fs;
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use ijepa_data::{
    Augment, Batch, CifarSource, DataError, DataSpec, FetchError, Loader, LoaderConfig,
    ParquetSource, Reading, Source, epoch_order,
};
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type,
};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

const STRUCT: &str = "message schema { optional group image { optional binary bytes; \
                      optional binary path (UTF8); } optional int64 label; }";
const PLAIN: &str = "message schema { required binary img; required int64 label; }";

/// A PNG whose red is `level`.
fn png(level: u8) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let gradient = |x, y| image::Rgb([level, 2 + 9 * x as u8, 3 + 9 * y as u8]);
    let image = image::RgbImage::from_fn(4, 4, gradient);
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Row groups of `(image, label)`; nulls are `None`.
type Rows = Vec<Vec<(Option<u8>, Option<i64>)>>;

fn file(schema: &str, groups: &Rows, names: Option<&str>) -> Vec<u8> {
    let pair = names.map(|names| {
        let info = format!(r#"{{"info":{{"features":{{"label":{{"names":{names}}}}}}}}}"#);
        vec![KeyValue::new("huggingface".to_owned(), info)]
    });
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(pair)
        .build();
    let schema_type = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema_type, Arc::new(properties)).unwrap();
    let nested = schema == STRUCT;
    let present = if nested { 2 } else { 0 };
    for rows in groups {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<ByteArray> = rows
            .iter()
            .filter_map(|row| row.0)
            .map(|level| png(level).into())
            .collect();
        let levels: Vec<i16> = rows
            .iter()
            .map(|row| if row.0.is_some() { present } else { 1 })
            .collect();
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<ByteArrayType>();
        typed
            .write_batch(&images, nested.then_some(&levels), None)
            .unwrap();
        column.close().unwrap();
        if nested {
            let mut column = group.next_column().unwrap().unwrap();
            let typed = column.typed::<ByteArrayType>();
            typed
                .write_batch(&[], Some(&vec![1; rows.len()]), None)
                .unwrap();
            column.close().unwrap();
        }
        let labels: Vec<i64> = rows.iter().filter_map(|row| row.1).collect();
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.1.is_some())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        let typed = column.typed::<Int64Type>();
        typed
            .write_batch(&labels, nested.then_some(&levels), None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

fn row(level: u8, label: i64) -> (Option<u8>, Option<i64>) {
    (Some(level), Some(label))
}

fn check(source: &dyn Source, expected: &[(u8, Option<u32>)]) {
    assert_eq!(source.len(), expected.len());
    // Backwards, so that access is not in the order of the file.
    for (index, &(level, label)) in expected.iter().enumerate().rev() {
        assert_eq!(
            source.read(index).unwrap().pixel(0, 0),
            [level, 2, 3],
            "{index}"
        );
        assert_eq!(source.label(index), label, "{index}");
    }
}

#[test]
fn files_are_read_in_the_order_of_their_names() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, groups: Rows, names| {
        fs::write(folder.path().join(name), file(STRUCT, &groups, names)).unwrap();
    };
    write("train-1.parquet", vec![vec![row(40, 1)]], None);
    let first = vec![
        vec![row(10, 0), row(20, 1)],
        vec![(Some(30), None), row(35, -1)],
    ];
    write("train-0.parquet", first, Some(r#"["cat","dog"]"#));
    write("test-0.parquet", vec![vec![row(99, 0)]], None);

    let pattern = folder.path().join("train-*.parquet");
    let spec: DataSpec = format!("parquet:{}", pattern.display()).parse().unwrap();
    let source = spec.open().unwrap();
    check(
        source.as_ref(),
        &[
            (10, Some(0)),
            (20, Some(1)),
            (30, None),
            (35, None),
            (40, Some(1)),
        ],
    );
    assert_eq!(source.classes(), ["cat", "dog"]);
    let name = |file: &str, row| format!("{}#{row}", folder.path().join(file).display());
    assert_eq!(source.name(3), name("train-0.parquet", 3));
    assert_eq!(source.name(4), name("train-1.parquet", 0));
    assert_eq!(ParquetSource::open(folder.path()).unwrap().len(), 6);

    let test = CifarSource::cifar10(folder.path().join("test")).unwrap();
    check(&test, &[(99, Some(0))]);
    assert_eq!(CifarSource::cifar10(folder.path()).unwrap().len(), 5);
}

#[test]
fn two_windows_of_row_groups_are_kept_and_another_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let group = |first| (first..first + 5).map(|level| row(level, 0)).collect();
    let groups: Rows = (0..4).map(|number| group(5 * number)).collect();
    fs::write(&path, file(STRUCT, &groups, None)).unwrap();
    let expected: Vec<_> = (0..20).map(|level| (level, Some(0))).collect();
    let whole = ParquetSource::open(&path).unwrap();
    check(&whole, &expected);
    assert_eq!(whole.layout().order(3, 1), epoch_order(3, 1, 20));

    let one = NonZeroUsize::MIN;
    let windows = ParquetSource::open(&path).unwrap().with_window(one);
    let order = windows.layout().order(3, 1);
    for images in order.chunks(5) {
        assert!(
            images.iter().all(|image| image / 5 == images[0] / 5),
            "{order:?}"
        );
        assert!(windows.read(images[0] as usize).is_ok());
    }

    let other: Rows = (0..4).map(|number| group(5 * number + 100)).collect();
    fs::write(&path, file(STRUCT, &other, None)).unwrap();
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    // What is in memory is what it was.
    check(&whole, &expected);
    for (place, &image) in order.iter().enumerate() {
        let level = windows
            .read(image as usize)
            .map(|image| image.pixel(0, 0)[0]);
        match place < 10 {
            true => assert!(
                matches!(level, Err(DataError::Replaced { .. })),
                "{level:?}"
            ),
            false => assert_eq!(level.unwrap(), image as u8),
        }
    }
    let mut buffer = Vec::new();
    let error = windows.fetch(order[0] as usize, &mut buffer).unwrap_err();
    assert!(matches!(error, FetchError::Missing(_)), "{error}");
}

/// The same 45 images as a folder, as four shards and as nine row groups.
fn every_layout(folder: &Path) -> [DataSpec; 3] {
    let photos = folder.join("photos");
    fs::create_dir(&photos).unwrap();
    (0..45)
        .for_each(|level| fs::write(photos.join(format!("{level:02}.png")), png(level)).unwrap());
    for shard in 0..4 {
        let path = folder.join(format!("{shard}.tar"));
        let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
        for level in (0..45).filter(|level| level * 4 / 45 == shard) {
            let image = png(level as u8);
            let mut header = tar::Header::new_ustar();
            header.set_size(image.len() as u64);
            let name = format!("{level:02}.png");
            tar.append_data(&mut header, name, &image[..]).unwrap();
        }
        tar.finish().unwrap();
    }
    let group = |first| (first..first + 5).map(|level| row(level, 0)).collect();
    let groups = (0..9).map(|number| group(5 * number)).collect();
    fs::write(folder.join("a.parquet"), file(STRUCT, &groups, None)).unwrap();
    let root = folder.display();
    [
        format!("folder:{root}/photos"),
        format!("tar:{root}/{{0..3}}.tar,window=2"),
        format!("parquet:{root}/a.parquet,window=2"),
    ]
    .map(|spec| spec.parse().unwrap())
}

#[test]
fn batches_of_every_layout_depend_on_the_step_alone() {
    let folder = TempDir::new().unwrap();
    let batches = |spec: &DataSpec, workers, start_step| -> Vec<Batch> {
        let config = LoaderConfig {
            batch_size: 6,
            seed: 5,
            start_step,
            places: None,
            workers,
            augment: Augment {
                size: [3, 3],
                ..Augment::default()
            },
            max_bad_fraction: 0.0,
            reading: Reading::default(),
        };
        let loader = Loader::new(Arc::from(spec.open().unwrap()), config).unwrap();
        let rest = 23 - start_step as usize;
        loader.take(rest).collect::<Result<_, _>>().unwrap()
    };
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for spec in every_layout(folder.path()) {
        let expected = batches(&spec, 0, 0);
        // Each image at most once an epoch of seven steps.
        for epoch in expected.chunks(7) {
            let mut images: Vec<u32> = epoch.iter().flat_map(|it| it.indices.clone()).collect();
            images.sort_unstable();
            assert!(images.windows(2).all(|pair| pair[0] < pair[1]), "{spec}");
        }
        for workers in [1, 2, 7] {
            assert!(
                batches(&spec, workers, 0) == expected,
                "{spec}, {workers} workers"
            );
            let start = rng.random_range(1..23);
            let tail = batches(&spec, workers, start);
            assert!(
                tail == expected[start as usize..],
                "{spec} from step {start}"
            );
        }
    }
}

#[test]
fn parts_with_row_groups_are_mixed_with_others() {
    let folder = TempDir::new().unwrap();
    let [photos, _, rows] = every_layout(folder.path());
    let both = DataSpec::open_all(&[rows.clone(), photos, rows], None).unwrap();
    let order = both.layout().order(1, 0);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..135).collect::<Vec<u32>>());
    let photos = |part: &[u32]| {
        part.iter()
            .filter(|image| (45..90).contains(*image))
            .count()
    };
    for third in order.chunks(45) {
        assert!((5..30).contains(&photos(third)), "{order:?}");
    }
    // At most three row groups of a part of nine are in use, two of them as told.
    let first: Vec<u32> = order.into_iter().filter(|&image| image < 45).collect();
    for window in first.chunks(9) {
        let mut groups: Vec<u32> = window.iter().map(|image| image / 5).collect();
        groups.sort_unstable();
        groups.dedup();
        assert!(groups.len() <= 4, "{groups:?}");
    }
}

#[test]
fn plain_binary_columns_work_too() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let rows = (0..200).map(|level| row(level, i64::from(level))).collect();
    fs::write(&path, file(PLAIN, &vec![rows], None)).unwrap();
    let expected: Vec<_> = (0..200)
        .map(|level| (level, Some(u32::from(level))))
        .collect();
    check(&ParquetSource::open(&path).unwrap(), &expected);
}

#[test]
fn rows_without_an_image_are_named_when_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(
        &path,
        file(
            STRUCT,
            &vec![vec![row(1, 0), (None, Some(1)), row(3, 0)]],
            None,
        ),
    )
    .unwrap();
    let source = ParquetSource::open(&path).unwrap();
    let error = source.read(1).unwrap_err();
    assert!(matches!(error, DataError::MissingImage { name } if name.ends_with("a.parquet#1")));
    assert_eq!(source.read(2).unwrap().pixel(0, 0)[0], 3);
}

#[test]
fn missing_files_and_columns_are_errors() {
    let folder = TempDir::new().unwrap();
    let pattern = folder.path().join("*.parquet");
    let error = ParquetSource::open(&pattern).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("no file matches `{}`", pattern.display())
    );
    let error = CifarSource::cifar10(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::NoSplit { split: "train", .. }));

    let path = folder.path().join("a.parquet");
    let schema = PLAIN.replace("img", "photo");
    fs::write(&path, file(&schema, &vec![vec![row(1, 1)]], None)).unwrap();
    let error = ParquetSource::open(&path).unwrap_err();
    assert!(matches!(error, DataError::MissingColumn { found, .. } if found == "photo, label"));
}

#[test]
fn files_without_a_row_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    for groups in [vec![], vec![vec![]]] {
        fs::write(&path, file(STRUCT, &groups, None)).unwrap();
        let error = ParquetSource::open(&path).unwrap_err();
        let expected = format!("no image in the Parquet files `{}`", path.display());
        assert_eq!(error.to_string(), expected);
    }
    // They do no harm beside others.
    fs::write(
        folder.path().join("b.parquet"),
        file(STRUCT, &vec![vec![row(7, 0)]], None),
    )
    .unwrap();
    check(
        &ParquetSource::open(folder.path()).unwrap(),
        &[(7, Some(0))],
    );
}

/// Opens the file and reads every image; nothing may panic.
fn try_everything(path: &Path) -> Result<(), DataError> {
    let source = ParquetSource::open(path)?;
    (0..source.len()).try_for_each(|index| source.read(index).map(|_| ()))
}

#[test]
fn truncated_files_are_errors() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let bytes = file(STRUCT, &vec![vec![row(1, 0), row(2, 1)]], None);
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(
            try_everything(&path).is_err(),
            "cut to {length} of {} bytes",
            bytes.len()
        );
    }
    fs::write(&path, &bytes).unwrap();
    try_everything(&path).unwrap();
}

#[test]
fn a_page_cannot_ask_for_gigabytes() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let rows = (0..100).map(|level| row(level, 0)).collect();
    let mut bytes = file(PLAIN, &vec![rows], None);
    // The first page header follows the magic number: type, then the two sizes. The size that
    // is announced becomes the largest number of as many bytes.
    assert_eq!(
        (&bytes[..4], bytes[4], bytes[6]),
        (b"PAR1".as_slice(), 0x15, 0x15)
    );
    let size = bytes[7..]
        .iter()
        .position(|&byte| byte & 0x80 == 0)
        .unwrap()
        + 1;
    bytes[7..6 + size].fill(0xff);
    bytes[7] = 0xfe;
    bytes[6 + size] = 0x7f;
    let announced = (1 << (7 * size - 1)) - 1;
    fs::write(&path, &bytes).unwrap();
    let source = ParquetSource::open(&path).unwrap();
    let error = source.read(0).unwrap_err();
    let DataError::Inconsistent { what, found, .. } = error else {
        panic!("{error}")
    };
    assert_eq!((what, found), ("the size of a page", announced));
}

#[test]
fn damaged_files_never_panic() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let bytes = file(
        STRUCT,
        &vec![vec![row(1, 0), row(2, 1)], vec![row(3, 1)]],
        None,
    );
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let mut refused = 0;
    for _ in 0..1500 {
        let mut damaged = bytes.clone();
        for _ in 0..rng.random_range(1..4) {
            damaged[rng.random_range(0..bytes.len())] ^= 1 << rng.random_range(0..8);
        }
        fs::write(&path, &damaged).unwrap();
        refused += usize::from(try_everything(&path).is_err());
    }
    assert!(refused > 300, "only {refused} damaged files were noticed");
}

#[test]
fn cifar100_in_parquet_takes_the_fine_label() {
    let folder = TempDir::new().unwrap();
    let schema = "message schema { required binary img; required int64 fine_label; }";
    let path = folder.path().join("test-00000-of-00001.parquet");
    fs::write(&path, file(schema, &vec![vec![row(7, 42)]], None)).unwrap();
    let test = CifarSource::cifar100(folder.path().join("test")).unwrap();
    check(&test, &[(7, Some(42))]);
    assert_eq!(test.classes()[42], "leopard");
}

/// A file of one row group with an image a label, whose `label` column has the Parquet type `kind`.
fn labelled<T: DataType>(kind: &str, labels: &[T::T], codec: Compression) -> Vec<u8> {
    let schema = format!("message schema {{ required binary img; {kind} }}");
    let properties = WriterProperties::builder().set_compression(codec).build();
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let images: Vec<ByteArray> = (0..labels.len()).map(|row| png(row as u8).into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    let typed = column.typed::<ByteArrayType>();
    typed.write_batch(&images, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    // Only used for columns that are repeated: every row is a list of one value.
    let (present, first) = (vec![1; labels.len()], vec![0; labels.len()]);
    let typed = column.typed::<T>();
    typed
        .write_batch(labels, Some(&present), Some(&first))
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn words(words: &[&str]) -> Vec<ByteArray> {
    words.iter().map(|&word| word.into()).collect()
}

/// The classes, and the label of every row.
fn classes_of(file: &[u8]) -> Result<(Vec<String>, Vec<Option<u32>>), DataError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(&path, file).unwrap();
    let source = ParquetSource::open(&path)?;
    let labels = (0..source.len()).map(|index| source.label(index));
    Ok((source.classes().to_vec(), labels.collect()))
}

#[test]
fn every_common_codec_is_read() {
    let expected: Vec<_> = (0..200).map(|row| (row, Some(u32::from(row)))).collect();
    let labels: Vec<i32> = (0..200).collect();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::BROTLI(BrotliLevel::default()),
    ] {
        let bytes = labelled::<Int32Type>("required int32 label;", &labels, codec);
        fs::write(&path, &bytes).unwrap();
        check(&ParquetSource::open(&path).unwrap(), &expected);
    }
}

#[test]
fn a_flat_page_of_a_strong_codec_is_no_bomb() {
    // 60,000 equal numbers are one page that Zstandard writes in a few bytes.
    let labels = vec![5; 60_000];
    let schema = "message schema { required binary img; required int64 label; }";
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .build();
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let image = |row: u32| ByteArray::from(row.to_le_bytes().to_vec());
    let images: Vec<ByteArray> = (0..60_000).map(image).collect();
    let mut column = group.next_column().unwrap().unwrap();
    let typed = column.typed::<ByteArrayType>();
    typed.write_batch(&images, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let typed = column.typed::<Int64Type>();
    typed.write_batch(&labels, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let (_, found) = classes_of(&bytes).unwrap();
    assert!(found.len() == 60_000 && found.iter().all(|&label| label == Some(5)));
}

#[test]
fn words_and_booleans_are_classes_in_their_order() {
    let kind = "required binary label (UTF8);";
    let text = labelled::<ByteArrayType>(
        kind,
        &words(&["dog", "ant", "dog", "cat"]),
        Compression::SNAPPY,
    );
    let expected = ["ant", "cat", "dog"].map(str::to_owned).to_vec();
    let labels = vec![Some(2), Some(0), Some(2), Some(1)];
    assert_eq!(classes_of(&text).unwrap(), (expected, labels));

    let kind = "required boolean label;";
    let flags = labelled::<BoolType>(kind, &[true, false, true], Compression::SNAPPY);
    let expected = ["false", "true"].map(str::to_owned).to_vec();
    let labels = vec![Some(1), Some(0), Some(1)];
    assert_eq!(classes_of(&flags).unwrap(), (expected, labels));
}

#[test]
fn words_of_several_files_are_classes_together() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, file: &[u8]| fs::write(folder.path().join(name), file).unwrap();
    let text = |labels: &[&str]| {
        let kind = "required binary label (UTF8);";
        labelled::<ByteArrayType>(kind, &words(labels), Compression::SNAPPY)
    };
    write("0.parquet", &text(&["owl", "elk"]));
    write("1.parquet", &text(&["bee", "owl"]));
    let source = ParquetSource::open(folder.path()).unwrap();
    assert_eq!(source.classes(), ["bee", "elk", "owl"]);
    let labels: Vec<_> = (0..4).map(|index| source.label(index).unwrap()).collect();
    assert_eq!(labels, [2, 1, 0, 2]);

    let kind = "required int32 label;";
    write(
        "2.parquet",
        &labelled::<Int32Type>(kind, &[1], Compression::SNAPPY),
    );
    let error = ParquetSource::open(folder.path()).unwrap_err();
    assert!(matches!(error, DataError::LabelMix { .. }), "{error}");
}

#[test]
fn integers_of_any_width_are_classes_as_they_are() {
    for width in ["INT_8", "INT_16", "INT_32", "UINT_8", "UINT_16", "UINT_32"] {
        let kind = format!("required int32 label ({width});");
        let file = labelled::<Int32Type>(&kind, &[7, 0], Compression::SNAPPY);
        let expected = (vec![], vec![Some(7), Some(0)]);
        assert_eq!(classes_of(&file).unwrap(), expected, "{width}");
    }
    let largest = labelled::<Int32Type>(
        "required int32 label (UINT_32);",
        &[-1],
        Compression::SNAPPY,
    );
    assert_eq!(classes_of(&largest).unwrap().1, [Some(u32::MAX)]);
    let beyond = labelled::<Int64Type>(
        "required int64 label (UINT_64);",
        &[-1],
        Compression::SNAPPY,
    );
    let error = classes_of(&beyond).unwrap_err();
    assert!(matches!(
        error,
        DataError::Inconsistent {
            what: "a label",
            ..
        }
    ));
}

#[test]
fn advice_about_labels_is_about_parquet() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.parquet");
    let kind = "required int32 shoe_size;";
    fs::write(
        &path,
        labelled::<Int32Type>(kind, &[42], Compression::SNAPPY),
    )
    .unwrap();
    let source = ParquetSource::open(&path).unwrap();
    assert_eq!(source.label(0), None);
    let expected = "a Parquet file needs a column `label`, `labels` or `fine_label`";
    assert_eq!(source.label_advice(), expected);
}

#[test]
fn labels_of_other_types_are_refused_by_name() {
    let check = |file: Vec<u8>, expected: &str| match classes_of(&file).unwrap_err() {
        DataError::LabelType { column, found, .. } => {
            assert_eq!((column.as_str(), found.as_str()), ("label", expected));
        }
        error => panic!("{error}"),
    };
    let snappy = Compression::SNAPPY;
    let floats = labelled::<DoubleType>("required double label;", &[0.5], snappy);
    check(floats, "double");
    let kind = "required int64 label (TIMESTAMP_MILLIS);";
    check(
        labelled::<Int64Type>(kind, &[1], snappy),
        "timestamp_millis (int64)",
    );
    let kind = "required int32 label (DATE);";
    check(labelled::<Int32Type>(kind, &[1], snappy), "date (int32)");
    let kind = "required binary label;";
    check(
        labelled::<ByteArrayType>(kind, &words(&["a"]), snappy),
        "binary",
    );
    let kind = "repeated int64 label;";
    check(labelled::<Int64Type>(kind, &[1], snappy), "list of int64");
    let kind = "required group label { required int64 coarse; }";
    check(labelled::<Int64Type>(kind, &[1], snappy), "struct");
}
