//! Features as safetensors: `embedding` and `label`.
//!
//! The number of rows is known only at the end, since images may turn out to be unreadable, yet
//! header and labels come first. Room for the most rows is left before the features, and what is
//! left over becomes spaces at the end of the header, which the format allows.

use std::{
    io::{Seek, SeekFrom, Write},
    path::Path,
};

use ijepa_model::files::{NewFile, cannot};
use serde_json::json;

use crate::error::CliError;

use super::sink::{RowShape, Rows, Sink, f32_bytes, i64_bytes};

/// Bytes of a label, and of the number that a file begins with.
const WORD: usize = 8;

pub(super) struct SafetensorsFile {
    file: NewFile,
    shape: RowShape,
    labels: Vec<i64>,
    /// Bytes before the features.
    reserved: usize,
}

impl SafetensorsFile {
    pub(super) fn create(path: &Path, shape: RowShape, most_rows: usize) -> Result<Self, CliError> {
        let longest = header(shape, most_rows).len().next_multiple_of(WORD);
        let reserved = WORD + longest + most_rows * WORD;
        let mut file = NewFile::create(path)?;
        file.seek(SeekFrom::Start(reserved as u64))
            .map_err(cannot("write", path))?;
        Ok(Self {
            file,
            shape,
            labels: Vec::new(),
            reserved,
        })
    }

    /// Everything before the features, exactly as long as reserved.
    fn beginning(&self) -> Vec<u8> {
        let labels = i64_bytes(&self.labels);
        let length = self.reserved - WORD - labels.len();
        let mut bytes = (length as u64).to_le_bytes().to_vec();
        bytes.extend(header(self.shape, self.labels.len()).bytes());
        bytes.resize(WORD + length, b' ');
        bytes.extend(labels);
        bytes
    }
}

fn header(shape: RowShape, rows: usize) -> String {
    let labels = rows * WORD;
    let end = labels + rows * shape.len() * size_of::<f32>();
    json!({
        "label": {"dtype": "I64", "shape": [rows], "data_offsets": [0, labels]},
        "embedding": {
            "dtype": "F32",
            "shape": shape.with_rows(rows),
            "data_offsets": [labels, end],
        },
    })
    .to_string()
}

impl Sink for SafetensorsFile {
    fn push(&mut self, rows: Rows<'_>) -> Result<(), CliError> {
        let written = self.file.write_all(&f32_bytes(rows.features));
        written.map_err(cannot("write", self.file.path()))?;
        self.labels.extend(rows.labels);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), CliError> {
        let beginning = self.beginning();
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(&beginning));
        written.map_err(cannot("write", self.file.path()))?;
        Ok(self.file.commit()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_rows_than_expected_make_a_valid_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        for rows in [0, 1, 3, 1000] {
            let (tokens, dim) = (Some(2), 3);
            let shape = RowShape { tokens, dim };
            let mut file = Box::new(SafetensorsFile::create(&path, shape, 1000).unwrap());
            for row in 0..rows {
                let features = [row as f32 + 0.5; 6];
                let (labels, names) = ([row as i64 - 1], [String::new()]);
                let rows = Rows {
                    features: &features,
                    labels: &labels,
                    names: &names,
                };
                file.push(rows).unwrap();
            }
            file.finish().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let embedding = read.tensor("embedding").unwrap();
            assert_eq!(embedding.shape(), [rows, 2, 3]);
            let expected: Vec<f32> = (0..rows).flat_map(|row| [row as f32 + 0.5; 6]).collect();
            assert_eq!(embedding.data(), f32_bytes(&expected));
            let labels: Vec<i64> = (0..rows as i64).map(|row| row - 1).collect();
            assert_eq!(read.tensor("label").unwrap().data(), i64_bytes(&labels));
        }
    }
}
