//! Features as a NumPy array, with labels and names of classes in files beside it.

use std::{
    fs,
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use ijepa_model::files::{NewFile, read_file};

use super::{
    About, FeatureFile, RowShape, Rows, Table,
    safetensors::{f32s, i64_bytes, i64s, write_f32s},
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
        write_f32s(&mut self.file, rows.features)
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

/// Reads an array that [`Npy`] wrote, with its labels.
pub(super) fn read(path: &Path) -> Result<(Table, About), String> {
    let (shape, data) = array(path, "<f4", size_of::<f32>())?;
    let (_, labels) = array(&beside(path, LABELS), "<i8", size_of::<i64>())?;
    let about = beside(path, ABOUT);
    let bytes = read_file(&about).map_err(|error| format!("{error}: {}", error.source))?;
    let about = match bytes {
        Some(bytes) => serde_json::from_slice(&bytes)
            .map_err(|why| format!("`{}` is damaged: {why}", about.display()))?,
        None => About::default(),
    };
    let table = Table {
        shape,
        values: f32s(&data),
        labels: i64s(&labels),
    };
    Ok((table, about))
}

/// Shape and bytes of an array in the form that [`beginning`] gives.
fn array(path: &Path, dtype: &str, size: usize) -> Result<(Vec<usize>, Vec<u8>), String> {
    let wrong = || {
        let name = path.display();
        format!("`{name}` is no array of {dtype} as `ijepa embed` writes it")
    };
    let bytes = fs::read(path).map_err(|why| format!("`{}`: {why}", path.display()))?;
    let rest = bytes.strip_prefix(PREAMBLE).ok_or_else(wrong)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
    let length = usize::from(u16::from_le_bytes(*length));
    let (header, data) = rest.split_at_checked(length).ok_or_else(wrong)?;
    let header = std::str::from_utf8(header).map_err(|_| wrong())?;
    let start = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': (");
    let shape = header.strip_prefix(&start).and_then(|rest| {
        let (shape, _) = rest.split_once(')')?;
        let sides = shape
            .split(',')
            .map(str::trim)
            .filter(|side| !side.is_empty());
        sides
            .map(|side| side.parse().ok())
            .collect::<Option<Vec<usize>>>()
    });
    let shape = shape.ok_or_else(wrong)?;
    let len = shape
        .iter()
        .try_fold(size, |product, &side| product.checked_mul(side));
    if len != Some(data.len()) {
        return Err(wrong());
    }
    Ok((shape, data.to_vec()))
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
    fn labels_are_beside_the_features() {
        assert_eq!(
            beside(Path::new("a/b.npy"), LABELS),
            Path::new("a/b.labels.npy")
        );
    }
}
