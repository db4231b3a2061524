//! Features read back from the Parquet files of `embed`.

use std::{fs::File, panic::catch_unwind, path::Path};

use parquet::{
    basic::Compression,
    column::reader::{ColumnReaderImpl, get_typed_column_reader},
    data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int64Type},
    errors::ParquetError,
    file::reader::{FileReader, RowGroupReader, SerializedFileReader},
};

use super::{About, Facts, Table};

const NAME: &str = "path";
const LABEL: &str = "label";
const EMBEDDING: &str = "embedding.list.element";

/// Labels of the rows, all values one after another, and 0 where a value begins a row.
#[derive(Default)]
struct Columns {
    labels: Vec<i64>,
    values: Vec<f32>,
    levels: Vec<i16>,
    facts: Facts,
}

/// Reads a table with the columns of [`ParquetFile`](super::parquet_write::ParquetFile).
pub(super) fn read(path: &Path) -> Result<(Table, About), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let Columns {
        labels,
        values,
        levels,
        facts,
    } = catch_unwind(|| columns(file))
        // The reader panics on some damage.
        .map_err(|_| "damaged Parquet file".to_owned())?
        .map_err(|error| error.to_string())?;
    let rows = labels.len();
    let dim = values.len() / rows.max(1);
    let begins = |at: usize| at.is_multiple_of(dim) == (levels[at] == 0);
    if values.len() != rows * dim || levels.len() != values.len() || !(0..values.len()).all(begins)
    {
        return Err(format!(
            "`{EMBEDDING}` is not the same number of values in each row"
        ));
    }
    let table = Table {
        shape: vec![rows, dim],
        values,
        labels,
    };
    Ok((table, About::of(&facts)?))
}

/// The names of the images of such a table.
pub(super) fn names(path: &Path) -> Result<Vec<String>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let names = catch_unwind(|| name_column(file));
    let names = names.map_err(|_| "damaged Parquet file".to_owned())?;
    let names = names.map_err(|error| error.to_string())?.into_iter();
    let text = |name: ByteArray| String::from_utf8(name.data().to_vec());
    let names = names.map(text).collect::<Result<_, _>>();
    names.map_err(|_| format!("`{NAME}` is no text"))
}

fn name_column(file: File) -> Result<Vec<ByteArray>, ParquetError> {
    // A name takes four bytes and more.
    let mut left = file.metadata()?.len() / size_of::<u32>() as u64;
    let file = SerializedFileReader::new(file)?;
    let mut names = Vec::new();
    for number in 0..file.num_row_groups() {
        let group = file.get_row_group(number)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let mut column = column::<ByteArrayType>(group.as_ref(), NAME, &mut left)?;
        column.read_records(rows, None, None, &mut names)?;
    }
    Ok(names)
}

fn columns(file: File) -> Result<Columns, ParquetError> {
    // Nothing is compressed or encoded in fewer bytes than it is.
    let room = file.metadata()?.len() / size_of::<f32>() as u64;
    let mut left = [room; 2];
    let file = SerializedFileReader::new(file)?;
    let facts = file.metadata().file_metadata().key_value_metadata();
    let facts = facts.into_iter().flatten().cloned();
    let mut read = Columns {
        facts: facts
            .filter_map(|fact| Some((fact.key, fact.value?)))
            .collect(),
        ..Columns::default()
    };
    for number in 0..file.num_row_groups() {
        let group = file.get_row_group(number)?;
        let rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
        let mut labels = column::<Int64Type>(group.as_ref(), LABEL, &mut left[0])?;
        labels.read_records(rows, None, None, &mut read.labels)?;
        let mut values = column::<FloatType>(group.as_ref(), EMBEDDING, &mut left[1])?;
        let (levels, mut present) = (&mut read.levels, Vec::new());
        values.read_records(rows, Some(&mut present), Some(levels), &mut read.values)?;
    }
    Ok(read)
}

/// A column of a row group whose pages announce no more values than are `left` for it.
fn column<T: DataType>(
    group: &dyn RowGroupReader,
    name: &str,
    left: &mut u64,
) -> Result<ColumnReaderImpl<T>, ParquetError> {
    let schema = group.metadata().schema_descr();
    let is_it = |&at: &usize| schema.column(at).path().string() == name;
    let wanted = (0..schema.num_columns()).find(is_it).filter(|&at| {
        let found = schema.column(at);
        let levels = (found.max_def_level(), found.max_rep_level());
        let nested = i16::from(name == EMBEDDING);
        let plain = group.metadata().column(at).compression() == Compression::UNCOMPRESSED;
        let of_type = found.physical_type() == T::get_physical_type();
        plain && of_type && levels == (nested, nested)
    });
    let Some(at) = wanted else {
        let kind = T::get_physical_type();
        let why = format!(
            "no column `{name}` of {kind} without nulls and compression, as `ijepa embed` writes it"
        );
        return Err(ParquetError::General(why));
    };
    let mut pages = group.get_column_page_reader(at)?;
    while let Some(page) = pages.get_next_page()? {
        *left = left
            .checked_sub(page.num_values().into())
            .ok_or_else(|| ParquetError::General(format!("`{name}` announces too many values")))?;
    }
    Ok(get_typed_column_reader(group.get_column_reader(at)?))
}

#[cfg(test)]
mod tests {
    use super::super::{FeatureFile, RowShape, Rows, parquet_write::ParquetFile};
    use super::*;

    fn about() -> About {
        About {
            pool: Some("mean".to_owned()),
            encoder: Some("target".to_owned()),
            weights: Some("0a1b".to_owned()),
            read: None,
            classes: vec!["cat".to_owned(); 4],
        }
    }

    fn write(path: &Path, values: &[f32]) {
        let dim = values.len() / 4;
        let vectors = [None; 2];
        let shape = RowShape { vectors, dim };
        let mut file = Box::new(ParquetFile::create(path, shape, about()).unwrap());
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        let rows = Rows {
            features: values,
            labels: &[3, -1, 0, 7],
            names: &names,
        };
        file.push(rows).unwrap();
        file.finish().unwrap();
    }

    #[test]
    fn what_was_written_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let values: Vec<f32> = (0..20).map(|at| at as f32 / 3.0).collect();
        write(&path, &values);
        let (found, said) = read(&path).unwrap();
        assert_eq!(said, about());
        assert_eq!(
            (found.shape.as_slice(), found.labels),
            (&[4, 5][..], vec![3, -1, 0, 7])
        );
        assert_eq!(found.values, values);
        assert_eq!(names(&path).unwrap(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn damaged_files_are_errors_or_other_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        write(&path, &[0.5; 400]);
        let good = std::fs::read(&path).unwrap();
        for place in (0..good.len()).step_by(3) {
            for change in [0x01, 0x80] {
                let mut bytes = good.clone();
                bytes[place] ^= change;
                std::fs::write(&path, bytes).unwrap();
                let _ = (read(&path), names(&path));
            }
        }
    }
}
