//! Files that features are written to, row by row.

use std::{ffi::OsStr, path::Path};

use crate::error::CliError;

use super::{npy::Npy, parquet_file::ParquetFile, safetensors_file::SafetensorsFile};

/// Rows to append: features of some images with their labels and names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    /// One row after another.
    pub(super) features: &'a [f32],
    /// -1 for images without a label.
    pub(super) labels: &'a [i64],
    /// Path or id of each image.
    pub(super) names: &'a [String],
}

/// A file that is whole when it is finished and absent before.
pub(super) trait Sink {
    fn push(&mut self, rows: Rows<'_>) -> Result<(), CliError>;

    fn finish(self: Box<Self>) -> Result<(), CliError>;
}

/// Shape of the features of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowShape {
    /// Vectors of an image; none if they are pooled.
    pub(crate) tokens: Option<usize>,
    /// Length of a vector.
    pub(crate) dim: usize,
}

impl RowShape {
    /// Values of a row.
    pub(super) fn len(self) -> usize {
        self.tokens.unwrap_or(1) * self.dim
    }

    /// `[rows, dim]` or `[rows, tokens, dim]`.
    pub(crate) fn with_rows(self, rows: usize) -> Vec<usize> {
        let inner = self.tokens.into_iter().chain([self.dim]);
        std::iter::once(rows).chain(inner).collect()
    }
}

/// A file format, by the extension of the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Safetensors,
    Npy,
    Parquet,
}

impl FileKind {
    /// The format of `path`, if it can be written.
    pub(crate) fn of(path: &Path, tokens: bool) -> Result<Self, CliError> {
        if path.is_dir() {
            return Err(CliError::OutIsFolder {
                flag: "out",
                path: path.to_owned(),
            });
        }
        match path.extension().and_then(OsStr::to_str) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("npy") => Ok(Self::Npy),
            Some("parquet") if tokens => Err(CliError::TokensToParquet),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(CliError::OutExtension {
                path: path.to_owned(),
            }),
        }
    }

    /// Begins a file for at most `most_rows` rows.
    pub(super) fn create(
        self,
        path: &Path,
        shape: RowShape,
        most_rows: usize,
    ) -> Result<Box<dyn Sink>, CliError> {
        Ok(match self {
            Self::Safetensors => Box::new(SafetensorsFile::create(path, shape, most_rows)?),
            Self::Npy => Box::new(Npy::create(path, shape, most_rows)?),
            Self::Parquet => Box::new(ParquetFile::create(path, shape)?),
        })
    }
}

/// `values` as little-endian bytes.
pub(super) fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// `values` as little-endian bytes.
pub(super) fn i64_bytes(values: &[i64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
