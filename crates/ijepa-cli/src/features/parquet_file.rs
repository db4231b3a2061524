//! Features as Parquet: columns `path`, `label` and `embedding`, a list of floats.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ijepa_model::files::{self, NewFile};
use parquet::{
    basic::Compression,
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use crate::error::CliError;

use super::sink::{RowShape, Rows, Sink};

const SCHEMA: &str = "message schema {
    required binary path (UTF8);
    required int64 label;
    required group embedding (LIST) { repeated group list { required float element; } }
}";
/// Values of the features of a row group, 64 MiB.
const GROUP_VALUES: usize = 16 << 20;

pub(super) struct ParquetFile {
    path: PathBuf,
    writer: SerializedFileWriter<NewFile>,
    dim: usize,
    pending: Pending,
}

/// Rows of the next row group.
#[derive(Default)]
struct Pending {
    features: Vec<f32>,
    labels: Vec<i64>,
    names: Vec<ByteArray>,
}

impl ParquetFile {
    pub(super) fn create(path: &Path, shape: RowShape) -> Result<Self, CliError> {
        let file = NewFile::create(path)?;
        let schema = parse_message_type(SCHEMA).expect("the schema is valid");
        // Features are noise to a compressor and to a dictionary.
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties));
        Ok(Self {
            path: path.to_owned(),
            writer: writer.map_err(cannot_write(path))?,
            dim: shape.len(),
            pending: Pending::default(),
        })
    }

    fn write_group(&mut self) -> Result<(), CliError> {
        let Pending {
            features,
            labels,
            names,
        } = std::mem::take(&mut self.pending);
        if labels.is_empty() {
            return Ok(());
        }
        let dim = self.dim;
        let mut write = || -> Result<(), ParquetError> {
            let mut group = self.writer.next_row_group()?;
            while let Some(mut column) = group.next_column()? {
                match column.untyped() {
                    ColumnWriter::ByteArrayColumnWriter(path) => {
                        path.write_batch(&names, None, None)?;
                    }
                    ColumnWriter::Int64ColumnWriter(label) => {
                        label.write_batch(&labels, None, None)?;
                    }
                    ColumnWriter::FloatColumnWriter(embedding) => {
                        // Each value is in a list; the first of a row begins it.
                        let present = vec![1; features.len()];
                        let continues: Vec<i16> = (0..features.len())
                            .map(|i| i16::from(i % dim > 0))
                            .collect();
                        embedding.write_batch(&features, Some(&present), Some(&continues))?;
                    }
                    _ => unreachable!("the schema has three types"),
                }
                column.close()?;
            }
            group.close()?;
            Ok(())
        };
        write().map_err(cannot_write(&self.path))
    }
}

impl Sink for ParquetFile {
    fn push(&mut self, rows: Rows<'_>) -> Result<(), CliError> {
        let pending = &mut self.pending;
        pending.features.extend(rows.features);
        pending.labels.extend(rows.labels);
        let names = rows.names.iter().map(|name| name.as_str().into());
        pending.names.extend(names);
        if pending.features.len() >= GROUP_VALUES {
            self.write_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), CliError> {
        self.write_group()?;
        let file = self.writer.into_inner().map_err(cannot_write(&self.path))?;
        Ok(file.commit()?)
    }
}

fn cannot_write(path: &Path) -> impl FnOnce(ParquetError) -> CliError {
    move |source| match source {
        ParquetError::External(cause) => {
            files::cannot("write", path)(io::Error::other(cause)).into()
        }
        source => CliError::Parquet {
            path: path.to_owned(),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::{Field, RowAccessor},
    };

    use super::*;

    #[test]
    fn rows_come_back_with_path_label_and_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let shape = RowShape {
            tokens: None,
            dim: 2,
        };
        let mut file = Box::new(ParquetFile::create(&path, shape).unwrap());
        for first in [0u8, 2] {
            let [a, b] = [first, first + 1].map(f32::from);
            let rows = Rows {
                features: &[a, 0.5, b, 1.5],
                labels: &[i64::from(first) - 1, 7],
                names: &[format!("{first}.png"), format!("{}.png", first + 1)],
            };
            file.push(rows).unwrap();
            file.write_group().unwrap();
        }
        file.finish().unwrap();

        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let rows: Vec<_> = reader
            .get_row_iter(None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let expected = [
            ("0.png", -1, 0.5),
            ("1.png", 7, 1.5),
            ("2.png", 1, 0.5),
            ("3.png", 7, 1.5),
        ];
        assert_eq!(rows.len(), expected.len());
        for (number, (row, (name, label, second))) in rows.iter().zip(expected).enumerate() {
            assert_eq!(row.get_string(0).unwrap(), name);
            assert_eq!(row.get_long(1).unwrap(), label);
            let values = [number as f32, second].map(Field::Float);
            assert_eq!(row.get_list(2).unwrap().elements(), values);
        }
    }
}
