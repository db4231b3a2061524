//! Parquet files in the Hugging Face layout, whole and damaged; CIFAR in that form.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod damaged;
mod labels;
mod layouts;

use std::fs;
use std::io::Cursor;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::SystemTime;

use ijepa_data::{
    CifarSource, DataError, DataSpec, FetchError, ParquetSource, Source, epoch_order,
};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
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
fn files_that_name_their_classes_differently_are_refused_and_so_is_a_label_without_a_name() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, label, names: &str| {
        let content = file(STRUCT, &vec![vec![row(7, label)]], Some(names));
        fs::write(folder.path().join(name), content).unwrap();
    };
    let message = || ParquetSource::open(folder.path()).unwrap_err().to_string();
    write("0.parquet", 0, r#"["cat","dog"]"#);
    for (names, found) in [(r#"["cat","owl"]"#, "`owl`"), (r#"["cat"]"#, "none")] {
        write("1.parquet", 0, names);
        let path = folder.path().join("1.parquet");
        let expected = "expected the names of the files before it";
        assert_eq!(
            message(),
            format!(
                "`{}`, name of class 1: found {found}, {expected}",
                path.display()
            )
        );
    }
    write("1.parquet", 2, r#"["cat","dog"]"#);
    assert!(message().ends_with("1.parquet` is damaged: a label is 2, expected 1"));
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
        match (place < 10, level) {
            (true, Err(error)) => {
                assert!(
                    matches!(error.itself(), DataError::Replaced { .. }),
                    "{error}"
                );
            }
            (_, level) => assert_eq!(level.unwrap(), image as u8),
        }
    }
    let mut buffer = Vec::new();
    let error = windows.fetch(order[0] as usize, &mut buffer).unwrap_err();
    assert!(matches!(error, FetchError::Missing(_)), "{error}");
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

#[test]
fn cifar100_in_parquet_takes_the_fine_label() {
    let folder = TempDir::new().unwrap();
    let schema = "message schema { required binary img; required int64 fine_label; }";
    let path = folder.path().join("test-00000-of-00001.parquet");
    fs::write(&path, file(schema, &vec![vec![row(7, 42)]], None)).unwrap();
    let test = CifarSource::cifar100(folder.path().join("test")).unwrap();
    check(&test, &[(7, Some(42))]);
    assert_eq!(test.classes()[42], "leopard");
    fs::write(&path, file(schema, &vec![vec![row(7, 100)]], None)).unwrap();
    let error = CifarSource::cifar100(folder.path().join("test")).unwrap_err();
    assert!(
        error.to_string().ends_with("a label is 100, expected 99"),
        "{error}"
    );
}

#[test]
fn files_of_one_cifar_are_not_taken_for_the_other() {
    let folder = TempDir::new().unwrap();
    let content = file(PLAIN, &vec![vec![row(7, 1)]], Some(r#"["cat","dog"]"#));
    fs::write(folder.path().join("train-0.parquet"), content).unwrap();
    check(
        &CifarSource::cifar10(folder.path()).unwrap(),
        &[(7, Some(1))],
    );
    let error = CifarSource::cifar100(folder.path()).unwrap_err();
    let expected = "the number of classes with names of this data set is 0, expected 2";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn a_folder_of_cifar_may_be_called_anything() {
    let folder = TempDir::new().unwrap();
    let home = folder.path().join("cifar[10]{a,b}*");
    fs::create_dir(&home).unwrap();
    let content = file(PLAIN, &vec![vec![row(7, 3)]], None);
    fs::write(home.join("train-0.parquet"), content).unwrap();
    check(&CifarSource::cifar10(&home).unwrap(), &[(7, Some(3))]);
}
