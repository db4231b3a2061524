//! Features read back from files that `embed` wrote.

use std::{ffi::OsStr, fs, path::Path};

use ijepa_eval::Features;
use safetensors::{Dtype, SafeTensors};

use crate::error::CliError;

use super::{npy, parquet_table};

/// Values of a file: their shape, and the label of each row.
pub(super) struct Table {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
    pub(super) labels: Vec<i64>,
}

/// Pooled features with labels, from .safetensors or .parquet, or from .npy with its labels
/// beside it.
pub(crate) fn read_features(path: &Path) -> Result<Features, CliError> {
    let bad = |why: String| CliError::FeatureFile {
        path: path.to_owned(),
        why,
    };
    let table = match path.extension().and_then(OsStr::to_str) {
        Some("safetensors") => read_safetensors(path),
        Some("npy") => npy::read(path),
        Some("parquet") => parquet_table::read(path),
        _ => Err("expected a .safetensors, .npy or .parquet file of `ijepa embed`".to_owned()),
    };
    let Table {
        shape,
        values,
        labels,
    } = table.map_err(bad)?;
    let &[rows, dim] = shape.as_slice() else {
        return Err(bad(format!(
            "`embedding` is {shape:?}, expected [images, dim] as with --pool mean or concat4"
        )));
    };
    if labels.len() != rows {
        let found = labels.len();
        return Err(bad(format!("{found} labels for {rows} images")));
    }
    let labels = labels.into_iter().map(|label| u32::try_from(label).ok());
    Features::new(dim, values, labels.collect()).map_err(|error| bad(error.to_string()))
}

pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| error.to_string())
}

fn read_safetensors(path: &Path) -> Result<Table, String> {
    let bytes = read_bytes(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
    let tensor = |name: &str, dtype: Dtype| {
        let found = file.tensor(name).map_err(|error| error.to_string())?;
        if found.dtype() == dtype {
            Ok(found)
        } else {
            let found = found.dtype();
            Err(format!("`{name}` is {found:?}, expected {dtype:?}"))
        }
    };
    let (embedding, label) = (
        tensor("embedding", Dtype::F32)?,
        tensor("label", Dtype::I64)?,
    );
    Ok(Table {
        shape: embedding.shape().to_vec(),
        values: f32s(embedding.data()),
        labels: i64s(label.data()),
    })
}

/// Little-endian bytes as values.
pub(super) fn f32s(bytes: &[u8]) -> Vec<f32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|&word| f32::from_le_bytes(word)).collect()
}

/// Little-endian bytes as values.
pub(super) fn i64s(bytes: &[u8]) -> Vec<i64> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|&word| i64::from_le_bytes(word)).collect()
}
