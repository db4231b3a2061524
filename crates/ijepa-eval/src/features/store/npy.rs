//! Features as a NumPy array, with labels and names of classes in files beside it.

use std::{
    fmt::Display,
    fs,
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use ijepa_data::NpyArray;
use ijepa_model::{
    checkpoint::f32_bytes,
    files::{NewFile, read_file},
};

use super::{About, FeatureFile, RowShape, Rows, Table, safetensors::i64_bytes};

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
        let prepared = |ending: &str, bytes: &[u8]| -> io::Result<NewFile> {
            let mut file = NewFile::create(&beside(&self.path, ending))?;
            file.write_all(bytes)?;
            file.sync()?;
            Ok(file)
        };
        let (labels, about) = (prepared(LABELS, &labels)?, prepared(ABOUT, &about)?);
        self.file.sync()?;
        // Nothing is read without labels: they go first and come last, so that no array ever stands
        // beside those of another, and an older one is there until this one is.
        if labels.path().is_file() {
            fs::remove_file(labels.path())?;
        }
        for file in [self.file, about, labels] {
            file.commit()?;
        }
        Ok(())
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
    let of_features = |array: NpyArray<'_>| (array.shape().to_vec(), array.floats());
    let (shape, values) = read_array(path, &FLOATS, of_features)?;
    let of_labels = |array: NpyArray<'_>| array.integers();
    let labels = read_array(&beside(path, LABELS), &INTEGERS, of_labels)?;
    let about = beside(path, ABOUT);
    let bytes = read_file(&about).map_err(|error| format!("{error}: {}", error.source))?;
    let about = match bytes {
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|why| format!("`{}` is damaged: {why}", about.display()))?,
        None => About::default(),
    };
    let table = Table {
        values,
        labels,
        shape,
    };
    Ok((table, about))
}

/// Kinds of numbers that are read, those that are written first.
const FLOATS: [&str; 2] = ["f4", "f8"];
const INTEGERS: [&str; 7] = ["i8", "i4", "i2", "i1", "u4", "u2", "u1"];

/// What `of` makes of an array of one of `kinds`.
fn read_array<T>(
    path: &Path,
    kinds: &[&'static str],
    of: impl FnOnce(NpyArray<'_>) -> T,
) -> Result<T, String> {
    let failed = |why: &dyn Display| format!("`{}`: {why}", path.display());
    let bytes = fs::read(path).map_err(|why| failed(&why))?;
    let array = NpyArray::open(&bytes, kinds).map_err(|why| failed(&why))?;
    Ok(of(array))
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
        let error = read(&path).err().unwrap();
        assert!(error.contains("of `<f4` (expected `<i8`, `<i4`"), "{error}");
        // As NumPy writes none by itself: another order of keys, of bytes and another version.
        let header = b"{'shape': (2,), 'fortran_order': False, 'descr': '>i2'}\n";
        let length = (header.len() as u32).to_le_bytes();
        let parts = [b"\x93NUMPY\x02\x00", &length[..], header, &[0, 7, 255, 255]];
        fs::write(&labels, parts.concat()).unwrap();
        assert_eq!(read(&path).unwrap().0.labels, [7, -1]);
    }

    #[test]
    fn an_array_is_there_until_another_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let write = |value: f32| {
            let (vectors, dim) = ([None; 2], 1);
            let shape = RowShape { vectors, dim };
            let mut file = Box::new(Npy::create(&path, shape, 1, About::default()).unwrap());
            let rows = Rows {
                features: &[value],
                labels: &[7],
                names: &[],
            };
            file.push(rows).unwrap();
            file.finish()
        };
        write(0.5).unwrap();
        write(2.0).unwrap();
        assert_eq!(read(&path).unwrap().0.values, [2.0]);
        // A folder where its labels should be.
        let labels = beside(&path, LABELS);
        fs::remove_file(&labels).unwrap();
        fs::create_dir(&labels).unwrap();
        assert!(write(3.0).is_err());
        let values = read_array(&path, &FLOATS, |array| array.floats());
        assert_eq!(values.unwrap(), [2.0]);
    }

    #[test]
    fn labels_are_beside_the_features() {
        assert_eq!(
            beside(Path::new("a/b.npy"), LABELS),
            Path::new("a/b.labels.npy")
        );
    }
}
