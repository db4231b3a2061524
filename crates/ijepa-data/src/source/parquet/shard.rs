//! One Parquet file: its columns, labels and encoded images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::Type;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;

use crate::decode::guard;
use crate::error::DataError;
use crate::source::labels::Labels;
use crate::source::parquet::chunk::Chunk;
use crate::source::parquet::encoded::Encoded;
use crate::source::parquet::labels::{LabelColumn, LabelKind, label_column};
use crate::source::parquet::pages::{self, BadPage};
use crate::source::parquet::thrift::{Compact, MAX_DEPTH, STRUCT};
use crate::source::stamp::Stamp;
use crate::source::storage::{Blob, Storage, patiently, without_query};

/// Leaf columns that can hold encoded images, in the order of preference.
const IMAGE_COLUMNS: [&str; 4] = ["image.bytes", "img.bytes", "image", "img"];
const IMAGE_COLUMNS_TEXT: &str = "`image`, `img` or with a field `bytes` in one of these";
/// Bytes at the end of a file that are read first: the whole footer, as a rule.
const FOOTER: u64 = 64 << 10;
/// Rows that a byte of images may have: nulls and runs cost next to nothing, but images do not.
const ROWS_A_BYTE: i64 = 64;
/// Rows decoded at a time, so that memory follows what a file holds and not what it announces.
const ROWS_AT_ONCE: usize = 256;

/// An opened file; the handle is not kept.
#[derive(Debug)]
pub(super) struct Shard {
    path: PathBuf,
    stamp: Stamp,
    metadata: ParquetMetaData,
    image: usize,
    label: Option<LabelColumn>,
}

impl Shard {
    /// Reads the footer, finds the columns and reads the label of every row, `None` where there is
    /// no label.
    pub(super) fn open(storage: &Storage, path: &Path) -> Result<(Self, Labels), DataError> {
        let blob = storage.open(path)?;
        let shard = Self::of(path, &blob)?;
        let mut labels = Labels::default();
        for (group, rows) in shard.group_rows().enumerate() {
            match shard.label {
                None => (0..rows).for_each(|_| labels.push_number(None)),
                Some(column) => shard.group_labels(&blob, group, column, rows, &mut labels)?,
            }
        }
        Ok((shard, labels))
    }

    fn of(path: &Path, blob: &Blob) -> Result<Self, DataError> {
        let stamp = blob.stamp()?;
        let name = without_query(path);
        let metadata = footer(name, blob, &stamp)?;
        let schema = metadata.file_metadata().schema_descr();
        let leaves: Vec<String> = schema
            .columns()
            .iter()
            .map(|column| column.path().string())
            .collect();
        let usable = |leaf: &usize| {
            let column = schema.column(*leaf);
            column.max_rep_level() == 0 && column.physical_type() == Type::BYTE_ARRAY
        };
        let place = |name: &&str| leaves.iter().position(|leaf| leaf == name);
        let mut images = IMAGE_COLUMNS.iter().filter_map(place);
        let image = images
            .find(usable)
            .ok_or_else(|| DataError::MissingColumn {
                path: name.to_owned(),
                expected: IMAGE_COLUMNS_TEXT,
                found: leaves.join(", "),
            })?;
        let label = label_column(schema).map_err(|(column, found)| DataError::LabelType {
            path: name.to_owned(),
            column: column.to_owned(),
            found,
        })?;
        let shard = Self {
            path: path.to_owned(),
            stamp,
            metadata,
            image,
            label,
        };
        shard.check()?;
        Ok(shard)
    }

    /// What it is called: a URL without its query.
    pub(super) fn path(&self) -> &Path {
        without_query(&self.path)
    }

    /// The column of labels and what it holds, if there is one.
    pub(super) fn label(&self) -> Option<(String, LabelKind)> {
        let schema = self.metadata.file_metadata().schema_descr();
        let LabelColumn { leaf, kind } = self.label?;
        Some((schema.column(leaf).path().string(), kind))
    }

    /// Rows of every row group.
    pub(super) fn group_rows(&self) -> impl Iterator<Item = usize> {
        let groups = self.metadata.row_groups().iter();
        groups.map(|group| group.num_rows() as usize)
    }

    /// The encoded images of one row group.
    pub(super) fn images(
        &self,
        storage: &Storage,
        group: usize,
        rows: usize,
    ) -> Result<Encoded, DataError> {
        let chunk = self.chunk(&storage.open(&self.path)?, group, self.image)?;
        // Whatever the footer says of them.
        let bytes = chunk.decoded + rows * Encoded::ROW;
        let mut images = Vec::new();
        let push = |image: Option<&ByteArray>| images.push(image.cloned());
        self.column::<ByteArrayType>(chunk, group, self.image, rows, push)?;
        Ok(Encoded::new(images, bytes))
    }

    /// Bytes of the images of a row group, as the file says.
    pub(super) fn image_bytes(&self, group: usize) -> usize {
        let group = self.metadata.row_group(group);
        let bytes = group.column(self.image).uncompressed_size();
        let rows = group.num_rows().saturating_mul(Encoded::ROW as i64);
        usize::try_from(bytes.saturating_add(rows)).unwrap_or_default()
    }

    /// Class names from the Hugging Face metadata; empty if there are none.
    pub(super) fn classes(&self) -> Vec<String> {
        let pairs = self.metadata.file_metadata().key_value_metadata();
        let text = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == "huggingface"));
        let text = text
            .and_then(|pair| pair.value.as_deref())
            .unwrap_or_default();
        let info: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let Some((column, _)) = self.label() else {
            return Vec::new();
        };
        let names = &info["info"]["features"][column]["names"];
        serde_json::from_value(names.clone()).unwrap_or_default()
    }

    /// Refuses row counts and column positions that the file's size rules out; the library
    /// would allocate what they announce.
    fn check(&self) -> Result<(), DataError> {
        let file_bytes = self.stamp.bytes;
        let wrong = |what, found, expected| {
            Err(DataError::Inconsistent {
                path: self.path().to_owned(),
                what,
                found,
                expected,
            })
        };
        let mut all: i64 = 0;
        for group in self.metadata.row_groups() {
            let rows = group.num_rows();
            all = all.saturating_add(rows);
            if rows < 0 || rows > i64::from(u32::MAX) {
                return wrong("the number of rows in a group", rows, i64::from(u32::MAX));
            }
            let label = self.label.map(|label| label.leaf);
            for leaf in [Some(self.image), label].into_iter().flatten() {
                let Some(column) = group.columns().get(leaf) else {
                    let found = group.num_columns() as i64;
                    return wrong("the number of columns in a group", found, leaf as i64 + 1);
                };
                let (start, length) = range(column);
                let end = start.checked_add(length).unwrap_or(i64::MAX);
                if start < 0 || length < 0 || end as u64 > file_bytes {
                    return wrong("the end of a column", end, file_bytes as i64);
                }
                if leaf == self.image && rows > length.saturating_mul(ROWS_A_BYTE) {
                    return wrong("the number of rows in a group", rows, length);
                }
            }
        }
        // Groups that share their bytes could be any number of rows.
        let most = (file_bytes as i64).saturating_mul(ROWS_A_BYTE);
        match all > most {
            true => wrong("the number of rows", all, most),
            false => Ok(()),
        }
    }

    fn group_labels(
        &self,
        blob: &Blob,
        group: usize,
        LabelColumn { leaf, kind }: LabelColumn,
        rows: usize,
        labels: &mut Labels,
    ) -> Result<(), DataError> {
        let chunk = patiently(|| self.chunk(blob, group, leaf))?;
        let signed = match kind {
            LabelKind::Integer { signed } => signed,
            LabelKind::Boolean => {
                let word = |value: &bool| value.to_string();
                let push = |value: Option<&bool>| {
                    labels.push_word(value.map(word).as_deref().map(str::as_bytes));
                };
                return self.column::<BoolType>(chunk, group, leaf, rows, push);
            }
            LabelKind::Text => {
                let push = |value: Option<&ByteArray>| labels.push_word(value.map(ByteArray::data));
                return self.column::<ByteArrayType>(chunk, group, leaf, rows, push);
            }
        };
        let mut largest = 0;
        let mut push = |label: Option<i64>| {
            largest = largest.max(label.unwrap_or(0));
            labels.push_number(label.and_then(|label| u32::try_from(label).ok()));
        };
        let schema = self.metadata.file_metadata().schema_descr();
        if schema.column(leaf).physical_type() == Type::INT32 {
            let widen = |&label: &i32| match signed {
                true => i64::from(label),
                false => i64::from(label as u32),
            };
            self.column::<Int32Type>(chunk, group, leaf, rows, |label| push(label.map(widen)))?;
        } else {
            let widen = |&label: &i64| match signed {
                true => label,
                false => i64::try_from(label as u64).unwrap_or(i64::MAX),
            };
            self.column::<Int64Type>(chunk, group, leaf, rows, |label| push(label.map(widen)))?;
        }
        if largest > i64::from(u32::MAX) {
            return Err(DataError::Inconsistent {
                path: self.path().to_owned(),
                what: "a label",
                found: largest,
                expected: i64::from(u32::MAX),
            });
        }
        Ok(())
    }

    /// Reads a column and refuses pages that announce more bytes than they can hold.
    fn chunk(&self, blob: &Blob, group: usize, leaf: usize) -> Result<Chunk, DataError> {
        let column = self.metadata.row_group(group).column(leaf);
        // The range was compared with the file's length when it was opened.
        let (start, length) = range(column);
        let (start, end) = (start as u64, (start + length) as u64);
        let bytes = blob.read(start..end, &self.stamp)?;
        let wrong = |what, found, expected| {
            Err(DataError::Inconsistent {
                path: self.path().to_owned(),
                what,
                found,
                expected,
            })
        };
        match pages::check(&bytes, column.compression()) {
            Ok(decoded) => Ok(Chunk {
                start,
                bytes,
                decoded,
            }),
            Err(BadPage::TooLarge { found, possible }) => {
                wrong("the size of a page", found as i64, possible as i64)
            }
            Err(BadPage::Broken) => wrong("the number of broken pages", 1, 0),
        }
    }

    /// Hands every value of a column chunk to `each`, `None` for null.
    fn column<T: DataType>(
        &self,
        bytes: Chunk,
        group: usize,
        column: usize,
        rows: usize,
        mut each: impl FnMut(Option<&T::T>),
    ) -> Result<(), DataError> {
        let schema = self.metadata.file_metadata().schema_descr();
        let chunk = self.metadata.row_group(group).column(column);
        let present = schema.column(column).max_def_level();
        let bytes = Arc::new(bytes);
        let mut done = 0;
        let mut read = || -> Result<(), ParquetError> {
            let pages = SerializedPageReader::new(Arc::clone(&bytes), chunk, rows, None)?;
            let mut reader = ColumnReaderImpl::<T>::new(schema.column(column), Box::new(pages));
            let (mut values, mut levels) = (Vec::new(), Vec::new());
            loop {
                values.clear();
                levels.clear();
                let (records, ..) =
                    reader.read_records(ROWS_AT_ONCE, Some(&mut levels), None, &mut values)?;
                let mut values = values.iter();
                for row in 0..records {
                    // Columns that cannot be null have no levels.
                    let is_present = levels.get(row).is_none_or(|&level| level == present);
                    each(if is_present { values.next() } else { None });
                }
                done += records;
                if records == 0 || done > rows {
                    return Ok(());
                }
            }
        };
        guard(&self.path().display().to_string(), &mut read)?
            .map_err(|cause| parquet_error(self.path(), cause))?;
        if done == rows {
            return Ok(());
        }
        Err(DataError::Inconsistent {
            path: self.path().to_owned(),
            what: "the number of values in a column",
            found: done as i64,
            expected: rows as i64,
        })
    }
}

/// Where a column chunk starts in its file, and its length, in bytes.
fn range(column: &ColumnChunkMetaData) -> (i64, i64) {
    let start = column
        .dictionary_page_offset()
        .unwrap_or(column.data_page_offset());
    (start, column.compressed_size())
}

/// What the end of a file says of all of it.
fn footer(path: &Path, blob: &Blob, stamp: &Stamp) -> Result<ParquetMetaData, DataError> {
    let mut length = stamp.bytes.min(FOOTER);
    loop {
        let start = stamp.bytes - length;
        let end = patiently(|| blob.read(start..stamp.bytes, stamp))?;
        let parse = || {
            check_footer(&end)?;
            let mut reader = ParquetMetaDataReader::new();
            reader.try_parse_sized(&end, stamp.bytes)?;
            reader.finish()
        };
        match guard(&path.display().to_string(), parse)? {
            // At most the bytes of the file, and more than were read.
            Err(ParquetError::NeedMoreData(needed)) => length = needed as u64,
            parsed => return parsed.map_err(|cause| parquet_error(path, cause)),
        }
    }
}

/// Refuses a footer, if all of it is among the last bytes of a file, whose lists are longer than
/// it.
///
/// The Parquet library takes no byte for a boolean of a field that it skips over, so a list of a
/// few bytes would keep it busy for seconds, and as many as a footer has room for for hours.
fn check_footer(end: &[u8]) -> Result<(), ParquetError> {
    let Some((rest, b"PAR1")) = end.split_last_chunk() else {
        return Ok(());
    };
    let footer = rest.split_last_chunk().and_then(|(rest, &length)| {
        let length = u32::from_le_bytes(length) as usize;
        rest.get(rest.len().checked_sub(length)?..)
    });
    let read = footer.map(|footer| Compact(footer).skip(STRUCT, MAX_DEPTH));
    match read {
        Some(None) => Err(ParquetError::EOF("its footer ends too early".to_owned())),
        _ => Ok(()),
    }
}

fn parquet_error(path: &Path, cause: ParquetError) -> DataError {
    DataError::Parquet {
        path: path.to_owned(),
        source: Box::new(cause),
    }
}
