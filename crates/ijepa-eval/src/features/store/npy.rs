//! Features as a NumPy array, with labels and names of classes in files beside it.

use std::{
    fs,
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use ijepa_model::{
    checkpoint::f32_bytes,
    files::{NewFile, read_file},
};

use super::{
    About, FeatureFile, RowShape, Rows, Table,
    safetensors::{f32s, i64_bytes},
};

/// Magic, version 1.0 and the length of the header are followed by the header.
const PREAMBLE: &[u8] = b"\x93NUMPY\x01\x00";
/// Data begin at a multiple of this.
const ALIGNMENT: usize = 64;

pub(super) struct Npy {
    file: NewFile,
    /// As it was given: what is beside it has names like it, whatever a link names.
    path: PathBuf,
    shape: RowShape,
    labels: Vec<i64>,
    about: About,
    reserved: usize,
}

impl Npy {
    pub(super) fn create(
        path: &Path,
        shape: RowShape,
        most_rows: usize,
        about: About,
    ) -> io::Result<Self> {
        // A smaller number of rows needs no more digits.
        let reserved = beginning("<f4", &shape.with_rows(most_rows), 0).len();
        let mut file = NewFile::create(path)?;
        file.seek(SeekFrom::Start(reserved as u64))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            shape,
            labels: Vec::new(),
            about,
            reserved,
        })
    }
}

impl FeatureFile for Npy {
    fn push(&mut self, rows: Rows<'_>) -> io::Result<()> {
        self.labels.extend(rows.labels);
        self.file.write_all(&f32_bytes(rows.features))
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let rows = self.labels.len();
        let beginning_of_features = beginning("<f4", &self.shape.with_rows(rows), self.reserved);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&beginning_of_features)?;
        let labels = [beginning("<i8", &[rows], 0), i64_bytes(&self.labels)].concat();
        let about = serde_json::to_vec(&self.about)?;
        let mut side_files = Vec::new();
        for (ending, bytes) in [(LABELS, labels), (ABOUT, about)] {
            let mut file = NewFile::create(&beside(&self.path, ending))?;
            file.write_all(&bytes)?;
            file.sync()?;
            side_files.push(file);
        }
        self.file.sync()?;
        // An older array never stands beside labels that are not its own.
        if let Ok(old) = fs::canonicalize(self.file.path())
            && old.is_file()
        {
            fs::remove_file(old)?;
        }
        side_files.into_iter().try_for_each(NewFile::commit)?;
        Ok(self.file.commit()?)
    }
}

/// Everything before the data, padded to a multiple of [`ALIGNMENT`] and to `at_least` bytes.
fn beginning(dtype: &str, shape: &[usize], at_least: usize) -> Vec<u8> {
    let comma = if shape.len() == 1 { "," } else { "" };
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    let shape = sides.join(", ") + comma;
    let header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    let before = PREAMBLE.len() + size_of::<u16>();
    let total = (before + header.len() + 1)
        .max(at_least)
        .next_multiple_of(ALIGNMENT);
    let length = u16::try_from(total - before).expect("a shape of three numbers is short");
    let mut bytes = PREAMBLE.to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.bytes());
    bytes.resize(total - 1, b' ');
    bytes.push(b'\n');
    bytes
}

/// Ends the name of the labels, and of the names of classes and the pooling.
const LABELS: &str = "labels.npy";
const ABOUT: &str = "meta.json";

/// The files beside `path`.
pub(super) fn all_beside(path: &Path) -> [PathBuf; 2] {
    [LABELS, ABOUT].map(|end| beside(path, end))
}

/// `a/b.npy` to `a/b.labels.npy`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    path.with_extension(ending)
}

/// Reads an array that [`Npy`] wrote, or another program, with its labels.
pub(super) fn read(path: &Path) -> Result<(Table, About), String> {
    let features = Array::read(path, &FLOATS)?;
    let labels = Array::read(&beside(path, LABELS), &INTEGERS)?;
    let about = beside(path, ABOUT);
    let bytes = read_file(&about).map_err(|error| format!("{error}: {}", error.source))?;
    let about = match bytes {
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|why| format!("`{}` is damaged: {why}", about.display()))?,
        None => About::default(),
    };
    let table = Table {
        values: features.floats(),
        labels: labels.integers(),
        shape: features.shape,
    };
    Ok((table, about))
}

/// Types of elements that are read, those that are written first.
const FLOATS: [&str; 2] = ["<f4", "<f8"];
const INTEGERS: [&str; 7] = ["<i8", "<i4", "<i2", "|i1", "<u4", "<u2", "|u1"];

/// An array in C order.
struct Array {
    shape: Vec<usize>,
    dtype: &'static str,
    data: Vec<u8>,
}

impl Array {
    /// An array of one of `types` in the form that [`beginning`] gives.
    fn read(path: &Path, types: &[&'static str]) -> Result<Self, String> {
        let wrong = || {
            let (name, types) = (path.display(), types.join(", "));
            format!("`{name}` is no array in C order of {types}")
        };
        let bytes = fs::read(path).map_err(|why| format!("`{}`: {why}", path.display()))?;
        let rest = bytes.strip_prefix(PREAMBLE).ok_or_else(wrong)?;
        let (length, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (header, data) = rest.split_at_checked(length).ok_or_else(wrong)?;
        let header = std::str::from_utf8(header).map_err(|_| wrong())?;
        let of = |dtype: &'static str| {
            let start = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': (");
            let (shape, _) = header.strip_prefix(&start)?.split_once(')')?;
            let sides = shape.split(',').map(str::trim);
            let sides = sides.filter(|side| !side.is_empty());
            let shape: Option<Vec<usize>> = sides.map(|side| side.parse().ok()).collect();
            Some((dtype, shape?))
        };
        let found = types.iter().copied().find_map(of);
        let (dtype, shape) = found.ok_or_else(wrong)?;
        let mut sides = shape.iter();
        let len = sides.try_fold(size(dtype), |product, &side| product.checked_mul(side));
        if len != Some(data.len()) {
            return Err(wrong());
        }
        Ok(Self {
            data: data.to_vec(),
            dtype,
            shape,
        })
    }

    fn floats(&self) -> Vec<f32> {
        match self.dtype {
            "<f8" => {
                let values = self.data.as_chunks().0.iter();
                values
                    .map(|bytes| f64::from_le_bytes(*bytes) as f32)
                    .collect()
            }
            _ => f32s(&self.data),
        }
    }

    fn integers(&self) -> Vec<i64> {
        let is_signed = self.dtype[1..].starts_with('i');
        let value = |bytes: &[u8]| {
            let is_negative = is_signed && bytes.last().is_some_and(|last| last >> 7 == 1);
            let mut all = if is_negative { [255; 8] } else { [0; 8] };
            all[..bytes.len()].copy_from_slice(bytes);
            i64::from_le_bytes(all)
        };
        let values = self.data.chunks_exact(size(self.dtype));
        values.map(value).collect()
    }
}

/// Bytes of an element: what its type ends with.
fn size(dtype: &str) -> usize {
    usize::from(dtype.as_bytes()[2] - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_numpy() {
        let header = beginning("<i8", &[5], 0);
        let text = "{'descr': '<i8', 'fortran_order': False, 'shape': (5,), }";
        let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        expected.extend(format!("{text:117}\n").bytes());
        assert_eq!(header, expected);
        let header = beginning("<f4", &[12, 3, 4], 256);
        assert_eq!(header.len(), 256);
        let text = String::from_utf8_lossy(&header[10..]).into_owned();
        assert!(text.contains("'shape': (12, 3, 4), }"), "{text}");
    }

    #[test]
    fn arrays_of_other_programs_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let write = |path: &Path, dtype: &str, shape: &[usize], data: &[u8]| {
            fs::write(path, [beginning(dtype, shape, 0), data.to_vec()].concat()).unwrap();
        };
        let doubles = [0.5_f64, -1.0].map(f64::to_le_bytes).concat();
        write(&path, "<f8", &[2, 1], &doubles);
        let labels = beside(&path, LABELS);
        let integers: [(&str, &[u8]); 3] = [
            ("<i4", &[7, 0, 0, 0, 255, 255, 255, 255]),
            ("|i1", &[7, 255]),
            ("<i2", &[7, 0, 255, 255]),
        ];
        for (dtype, data) in integers {
            write(&labels, dtype, &[2], data);
            let (table, _) = read(&path).unwrap();
            assert_eq!((table.values, table.shape), (vec![0.5, -1.0], vec![2, 1]));
            assert_eq!(table.labels, [7, -1], "{dtype}");
        }
        write(&labels, "<u2", &[2], &[7, 0, 255, 255]);
        assert_eq!(read(&path).unwrap().0.labels, [7, 65_535]);
        write(&labels, "<f4", &[2], &[0; 8]);
        assert!(
            read(&path)
                .err()
                .unwrap()
                .contains("no array in C order of <i8, <i4")
        );
    }

    #[test]
    fn labels_are_beside_the_features() {
        assert_eq!(
            beside(Path::new("a/b.npy"), LABELS),
            Path::new("a/b.labels.npy")
        );
    }
}
