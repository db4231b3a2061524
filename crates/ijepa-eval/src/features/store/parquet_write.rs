//! Features as Parquet: columns `path`, `label`, `embedding`, a list of floats, and `class`.

use std::{io, path::Path, sync::Arc};

use ijepa_model::files::NewFile;
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType, FloatType, Int64Type},
    errors::ParquetError,
    file::{metadata::KeyValue, properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};

use super::{About, FeatureFile, RowShape, Rows};

const SCHEMA: &str = "message schema {
    required binary path (UTF8);
    required int64 label;
    required group embedding (LIST) { repeated group list { required float element; } }
    optional binary class (UTF8);
}";
/// Values of the features of a row group, 64 MiB.
const GROUP_VALUES: usize = 16 << 20;

pub(super) struct ParquetFile {
    writer: SerializedFileWriter<NewFile>,
    dim: usize,
    classes: Vec<ByteArray>,
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
    pub(super) fn create(path: &Path, shape: RowShape, about: About) -> io::Result<Self> {
        let file = NewFile::create(path)?;
        let schema = parse_message_type(SCHEMA).expect("the schema is valid");
        let facts = about.facts().into_iter();
        let facts = facts.map(|(key, value)| KeyValue::new(key, value));
        // Features are noise to a compressor and to a dictionary.
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_key_value_metadata(Some(facts.collect()))
            .build();
        let writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties));
        let classes = about.classes.iter();
        Ok(Self {
            writer: writer.map_err(io_error)?,
            dim: shape.len(),
            classes: classes.map(|name| name.as_str().into()).collect(),
            pending: Pending::default(),
        })
    }

    /// The names of the classes of `labels` that have one, and whether each has.
    fn class_column(&self, labels: &[i64]) -> (Vec<ByteArray>, Vec<i16>) {
        let class = |label: &i64| self.classes.get(usize::try_from(*label).ok()?).cloned();
        let present = labels.iter().map(|label| class(label).is_some().into());
        (labels.iter().filter_map(class).collect(), present.collect())
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let Pending {
            features,
            labels,
            names,
        } = std::mem::take(&mut self.pending);
        if labels.is_empty() {
            return Ok(());
        }
        let (classes, is_named) = self.class_column(&labels);
        // Each value is in a list; the first of a row begins it.
        let present = vec![1; features.len()];
        let begins = |at: usize| at.is_multiple_of(self.dim);
        let continues: Vec<i16> = (0..features.len()).map(|at| (!begins(at)).into()).collect();

        let mut group = self.writer.next_row_group()?;
        for number in 0.. {
            let Some(mut column) = group.next_column()? else {
                break;
            };
            match number {
                0 => column
                    .typed::<ByteArrayType>()
                    .write_batch(&names, None, None)?,
                1 => column
                    .typed::<Int64Type>()
                    .write_batch(&labels, None, None)?,
                2 => column.typed::<FloatType>().write_batch(
                    &features,
                    Some(&present),
                    Some(&continues),
                )?,
                _ => {
                    column
                        .typed::<ByteArrayType>()
                        .write_batch(&classes, Some(&is_named), None)?
                }
            };
            column.close()?;
        }
        group.close()?;
        Ok(())
    }
}

impl FeatureFile for ParquetFile {
    fn push(&mut self, rows: Rows<'_>) -> io::Result<()> {
        let pending = &mut self.pending;
        pending.features.extend(rows.features);
        pending.labels.extend(rows.labels);
        let names = rows.names.iter().map(|name| name.as_str().into());
        pending.names.extend(names);
        if pending.features.len() >= GROUP_VALUES {
            self.write_group().map_err(io_error)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.write_group().map_err(io_error)?;
        Ok(self.writer.into_inner().map_err(io_error)?.commit()?)
    }
}

fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => io::Error::other(cause),
        other => io::Error::other(other),
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
            vectors: [None; 2],
            dim: 2,
        };
        let about = About {
            classes: vec!["cat".to_owned(), "dog".to_owned()],
            ..About::default()
        };
        let mut file = Box::new(ParquetFile::create(&path, shape, about).unwrap());
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
            ("0.png", -1, 0.5, None),
            ("1.png", 7, 1.5, None),
            ("2.png", 1, 0.5, Some("dog")),
            ("3.png", 7, 1.5, None),
        ];
        assert_eq!(rows.len(), expected.len());
        for (number, (row, expected)) in rows.iter().zip(expected).enumerate() {
            let (name, label, second, class) = expected;
            assert_eq!(row.get_string(0).unwrap(), name);
            assert_eq!(row.get_long(1).unwrap(), label);
            let values = [number as f32, second].map(Field::Float);
            assert_eq!(row.get_list(2).unwrap().elements(), values);
            assert_eq!(row.get_string(3).ok().map(String::as_str), class);
        }
    }
}
