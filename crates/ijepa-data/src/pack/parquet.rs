//! Parquet files in the layout of Hugging Face data sets.

use std::io;
use std::sync::Arc;

use ijepa_files::NewFile;
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::json;

use super::{Packable, Shard};

const UNLABELLED: &str = "message schema { optional group image { optional binary bytes; \
                          optional binary path (UTF8); } }";
const LABELLED: &str = "message schema { optional group image { optional binary bytes; \
                        optional binary path (UTF8); } optional int64 label; }";
/// Images of a row group, as Hugging Face writes them, and their bytes: what a reader of one image
/// has to load.
const GROUP_IMAGES: usize = 100;
const GROUP_BYTES: usize = 8 << 20;

pub(super) struct ParquetShard {
    writer: SerializedFileWriter<NewFile>,
    has_labels: bool,
    group: Group,
}

/// The row group that is being filled.
#[derive(Default)]
struct Group {
    images: Vec<ByteArray>,
    paths: Vec<ByteArray>,
    labels: Vec<Option<u32>>,
    bytes: usize,
}

impl ParquetShard {
    /// A file with a column of labels where images have them; the metadata names `classes`.
    pub(super) fn new(file: NewFile, has_labels: bool, classes: &[String]) -> io::Result<Self> {
        let schema = if has_labels { LABELLED } else { UNLABELLED };
        let schema = parse_message_type(schema).expect("the schema is valid");
        let label = match classes {
            [] => json!({"dtype": "int64", "_type": "Value"}),
            names => json!({"names": names, "_type": "ClassLabel"}),
        };
        let mut features = json!({"image": {"_type": "Image"}});
        if has_labels {
            features["label"] = label;
        }
        let info = json!({"info": {"features": features}}).to_string();
        let pair = KeyValue::new("huggingface".to_owned(), info);
        // Images are noise to a compressor and to a dictionary.
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_key_value_metadata(Some(vec![pair]))
            .build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties));
        Ok(Self {
            writer: writer.map_err(io_error)?,
            has_labels,
            group: Group::default(),
        })
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let group = std::mem::take(&mut self.group);
        if group.images.is_empty() {
            return Ok(());
        }
        let mut writer = self.writer.next_row_group()?;
        // The field, and the group that it is in.
        let present = vec![2; group.images.len()];
        for texts in [&group.images, &group.paths] {
            let mut column = next_column(&mut writer)?;
            let typed = column.typed::<ByteArrayType>();
            typed.write_batch(texts, Some(&present), None)?;
            column.close()?;
        }
        if self.has_labels {
            let labels: Vec<i64> = group.labels.iter().flatten().map(|&it| it.into()).collect();
            let present: Vec<i16> = group.labels.iter().map(|it| it.is_some().into()).collect();
            let mut column = next_column(&mut writer)?;
            let typed = column.typed::<Int64Type>();
            typed.write_batch(&labels, Some(&present), None)?;
            column.close()?;
        }
        writer.close().map(|_| ())
    }
}

fn next_column<'a>(
    group: &'a mut SerializedRowGroupWriter<'_, NewFile>,
) -> Result<parquet::file::writer::SerializedColumnWriter<'a>, ParquetError> {
    Ok(group.next_column()?.expect("the schema has this column"))
}

impl Shard for ParquetShard {
    fn add(&mut self, _: usize, image: &Packable) -> io::Result<()> {
        let is_full = self.group.images.len() >= GROUP_IMAGES
            || self.group.bytes + image.bytes.len() > GROUP_BYTES;
        if is_full {
            self.write_group().map_err(io_error)?;
        }
        self.group.bytes += image.bytes.len();
        self.group.images.push(image.bytes.clone().into());
        self.group.paths.push(image.name.as_str().into());
        self.group.labels.push(image.label);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<NewFile> {
        self.write_group().map_err(io_error)?;
        self.writer.into_inner().map_err(io_error)
    }
}

fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast() {
            Ok(error) => *error,
            Err(cause) => io::Error::other(cause),
        },
        other => io::Error::other(other),
    }
}
