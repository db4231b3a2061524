//! Labels of every type, pages of every codec.

use std::fs;
use std::sync::Arc;

use ijepa_data::{DataError, ParquetSource, Source};
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

use crate::{check, png};

/// A file of one row group with an image a label, whose `label` column has the Parquet type `kind`.
fn labelled<T: DataType>(kind: &str, labels: &[T::T], codec: Compression) -> Vec<u8> {
    with_nulls::<T>(kind, labels, 0, codec)
}

/// As [`labelled`], with so many images more that have no label.
fn with_nulls<T: DataType>(
    kind: &str,
    labels: &[T::T],
    nulls: usize,
    codec: Compression,
) -> Vec<u8> {
    let rows = labels.len() + nulls;
    let schema = format!("message schema {{ required binary img; {kind} }}");
    let properties = WriterProperties::builder().set_compression(codec).build();
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let images: Vec<ByteArray> = (0..rows).map(|row| png(row as u8).into()).collect();
    let mut column = group.next_column().unwrap().unwrap();
    let typed = column.typed::<ByteArrayType>();
    typed.write_batch(&images, None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    // Only used for columns that are repeated: every row is a list of one value.
    let (mut present, first) = (vec![1; labels.len()], vec![0; rows]);
    present.resize(rows, 0);
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

    // A column without a single value is of no kind.
    let nulls = "optional int32 label (UNKNOWN);";
    write(
        "2.parquet",
        &with_nulls::<Int32Type>(nulls, &[], 3, Compression::SNAPPY),
    );
    let source = ParquetSource::open(folder.path()).unwrap();
    assert_eq!(
        (source.len(), source.label(3), source.label(4)),
        (7, Some(2), None)
    );

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
