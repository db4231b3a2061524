//! Features as safetensors: `embedding` and `label`.
//!
//! The number of rows is known only at the end, since images may turn out to be unreadable, yet
//! header and labels come first. Room for the most rows is left before the features, and what is
//! left over becomes spaces at the end of the header, which the format allows.

use std::{
    fs,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
};

use ijepa_model::{checkpoint::f32_bytes, files::NewFile};
use safetensors::{Dtype, SafeTensors};
use serde_json::json;

use super::{Facts, FeatureFile, RowShape, Rows, Table};

/// Bytes of a label, and of the number that a file begins with.
const WORD: usize = 8;

pub(crate) struct SafetensorsFile {
    file: NewFile,
    shape: RowShape,
    labels: Vec<i64>,
    facts: Facts,
    /// Bytes before the features.
    reserved: usize,
}

impl SafetensorsFile {
    pub(crate) fn create(
        path: &Path,
        shape: RowShape,
        most_rows: usize,
        facts: &Facts,
    ) -> io::Result<Self> {
        let longest = header(shape, most_rows, facts).len().next_multiple_of(WORD);
        let reserved = WORD + longest + most_rows * WORD;
        let mut file = NewFile::create(path)?;
        file.seek(SeekFrom::Start(reserved as u64))?;
        Ok(Self {
            file,
            shape,
            labels: Vec::new(),
            facts: facts.clone(),
            reserved,
        })
    }

    /// Everything before the features, exactly as long as reserved.
    fn beginning(&self) -> Vec<u8> {
        let labels = i64_bytes(&self.labels);
        let length = self.reserved - WORD - labels.len();
        let mut bytes = (length as u64).to_le_bytes().to_vec();
        bytes.extend(header(self.shape, self.labels.len(), &self.facts).bytes());
        bytes.resize(WORD + length, b' ');
        bytes.extend(labels);
        bytes
    }
}

fn header(shape: RowShape, rows: usize, facts: &Facts) -> String {
    let labels = rows * WORD;
    let end = labels + rows * shape.len() * size_of::<f32>();
    json!({
        "__metadata__": facts,
        "label": {"dtype": "I64", "shape": [rows], "data_offsets": [0, labels]},
        "embedding": {
            "dtype": "F32",
            "shape": shape.with_rows(rows),
            "data_offsets": [labels, end],
        },
    })
    .to_string()
}

impl FeatureFile for SafetensorsFile {
    fn push(&mut self, rows: Rows<'_>) -> io::Result<()> {
        self.labels.extend(rows.labels);
        self.file.write_all(&f32_bytes(rows.features))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let beginning = self.beginning();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&beginning)?;
        Ok(self.file.commit()?)
    }
}

/// Features and labels of a file, and what else its header says.
pub(crate) fn read(path: &Path) -> Result<(Table, Facts), String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let text = |error: safetensors::SafeTensorError| error.to_string();
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(text)?;
    let file = SafeTensors::deserialize(&bytes).map_err(text)?;
    let tensor = |name: &str, dtype: Dtype| {
        let found = file.tensor(name).map_err(text)?;
        match found.dtype() {
            same if same == dtype => Ok(found),
            found => Err(format!("`{name}` is {found:?}, expected {dtype:?}")),
        }
    };
    let embedding = tensor("embedding", Dtype::F32)?;
    let table = Table {
        shape: embedding.shape().to_vec(),
        values: f32s(embedding.data()),
        labels: i64s(tensor("label", Dtype::I64)?.data()),
    };
    let facts = header.metadata().clone().unwrap_or_default();
    Ok((table, facts.into_iter().collect()))
}

/// `values` as little-endian bytes.
pub(crate) fn i64_bytes(values: &[i64]) -> Vec<u8> {
    let words = values.iter().map(|value| value.to_le_bytes());
    words.flatten().collect()
}

/// Little-endian bytes as values.
fn f32s(bytes: &[u8]) -> Vec<f32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|&word| f32::from_le_bytes(word)).collect()
}

/// Little-endian bytes as values.
fn i64s(bytes: &[u8]) -> Vec<i64> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|&word| i64::from_le_bytes(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_rows_than_expected_make_a_valid_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let facts: Facts = [("classes".to_owned(), "[\"é\"]".to_owned())].into();
        for rows in [0, 1, 3, 1000] {
            let (vectors, dim) = ([Some(2), None], 3);
            let shape = RowShape { vectors, dim };
            let file = SafetensorsFile::create(&path, shape, 1000, &facts);
            let mut file = Box::new(file.unwrap());
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
            let (table, found) = read(&path).unwrap();
            assert_eq!(table.shape, [rows, 2, 3]);
            let expected: Vec<f32> = (0..rows).flat_map(|row| [row as f32 + 0.5; 6]).collect();
            assert_eq!(table.values, expected);
            let labels: Vec<i64> = (0..rows as i64).map(|row| row - 1).collect();
            assert_eq!((table.labels, found), (labels, facts.clone()));
        }
    }
}
