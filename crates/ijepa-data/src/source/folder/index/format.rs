//! The file of an index.
//!
//! A line that names the format, then whole numbers of 8 bytes, little-endian, and texts, which are
//! a length and bytes: the marks (path, whether it is there, number, seconds, nanoseconds), the
//! names of the classes, the folders (path below the root, label + 1 or 0, number of images), the
//! counts of other files, the number of images; then the length of each image's name in two bytes,
//! and the names.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Marked;
use crate::source::Source;
use crate::source::folder::names::{Names, of_bytes};
use crate::source::folder::others::Others;
use crate::source::folder::walk::Mark;
use crate::source::folder::{Folder, FolderSource};

/// Changes with the format.
const FORMAT: &[u8] = b"ijepa folder index 1\n";

pub(super) fn write(
    out: &mut impl Write,
    source: &FolderSource,
    marks: &[Marked],
) -> io::Result<()> {
    out.write_all(FORMAT)?;
    number(out, marks.len() as u64)?;
    for (path, mark) in marks {
        text(out, path.as_os_str().as_encoded_bytes())?;
        let numbers = match *mark {
            Mark::Absent => [0; 4],
            Mark::Folder { number, changed } => {
                [1, number, changed.as_secs(), changed.subsec_nanos().into()]
            }
        };
        numbers.into_iter().try_for_each(|it| number(out, it))?;
    }
    number(out, source.classes.len() as u64)?;
    let mut classes = source.classes.iter();
    classes.try_for_each(|name| text(out, name.as_bytes()))?;
    number(out, source.folders.len() as u64)?;
    let firsts = source.folders.iter().map(|folder| folder.first);
    let ends = firsts.skip(1).chain([source.len()]);
    for (folder, end) in source.folders.iter().zip(ends) {
        text(out, folder.path.as_os_str().as_encoded_bytes())?;
        number(out, folder.label.map_or(0, |label| u64::from(label) + 1))?;
        number(out, (end - folder.first) as u64)?;
    }
    number(out, source.others.0.len() as u64)?;
    for (ending, count) in &source.others.0 {
        text(out, ending.as_bytes())?;
        number(out, *count)?;
    }
    number(out, source.len() as u64)?;
    for index in 0..source.len() {
        let length = u16::try_from(source.names.bytes_of(index).len());
        let length = length.map_err(|_| io::ErrorKind::InvalidFilename)?;
        out.write_all(&length.to_le_bytes())?;
    }
    out.write_all(source.names.bytes())
}

fn number(out: &mut impl Write, number: u64) -> io::Result<()> {
    out.write_all(&number.to_le_bytes())
}

fn text(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    number(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

/// The source and the marks of the file `path`; none if it is not there or of another format.
pub(super) fn read(path: &Path, root: &Path) -> Option<(FolderSource, Vec<Marked>)> {
    let file = File::open(path).ok()?;
    let left = file.metadata().ok()?.len();
    let reader = BufReader::new(file);
    let mut input = Input { reader, left };
    if input.bytes(FORMAT.len() as u64)? != FORMAT {
        return None;
    }
    let marks = input.list(|input| {
        let path = input.path()?;
        let [there, number, seconds, nanoseconds] = input.numbers()?;
        let nanoseconds = u32::try_from(nanoseconds).ok()?;
        let mark = match there {
            0 => Mark::Absent,
            _ => Mark::Folder {
                number,
                changed: Duration::from_secs(seconds)
                    .checked_add(Duration::from_nanos(nanoseconds.into()))?,
            },
        };
        Some((path, mark))
    })?;
    let classes = input.list(|input| String::from_utf8(input.text()?).ok())?;
    let mut first = 0;
    let folders = input.list(|input| {
        let (path, [label, images]) = (input.path()?, input.numbers()?);
        let label = label.checked_sub(1).map(u32::try_from);
        let folder = Folder {
            path,
            label: label.transpose().ok()?,
            first,
        };
        first = first.checked_add(usize::try_from(images).ok()?)?;
        Some(folder)
    })?;
    let others = input.list(|input| {
        let ending = String::from_utf8(input.text()?).ok()?;
        let [count] = input.numbers()?;
        Some((ending, count))
    })?;
    let [images] = input.numbers()?;
    let lengths = input.bytes(images.checked_mul(2)?)?;
    let lengths = lengths.as_chunks().0.iter().copied();
    let bytes = input.bytes(input.left)?;
    let source = FolderSource {
        root: root.to_owned(),
        classes,
        folders,
        names: Names::of_lengths(lengths.map(u16::from_le_bytes), bytes)?,
        others: Others(others.into_iter().collect()),
        note: None,
        is_indexed: true,
    };
    let classes = source.classes.len();
    let is_class = |folder: &Folder| folder.label.is_none_or(|label| (label as usize) < classes);
    let is_whole = first == source.len() && first > 0 && source.folders.iter().all(is_class);
    is_whole.then_some((source, marks))
}

/// What is left of a file, which bounds every length that it announces.
struct Input {
    reader: BufReader<File>,
    left: u64,
}

impl Input {
    fn bytes(&mut self, count: u64) -> Option<Vec<u8>> {
        self.left = self.left.checked_sub(count)?;
        let mut bytes = vec![0; usize::try_from(count).ok()?];
        self.reader.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn numbers<const N: usize>(&mut self) -> Option<[u64; N]> {
        let bytes = self.bytes(8 * N as u64)?;
        let words = bytes.as_chunks().0;
        Some(std::array::from_fn(|at| u64::from_le_bytes(words[at])))
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let [length] = self.numbers()?;
        self.bytes(length)
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(of_bytes(&self.text()?).into_owned().into())
    }

    /// As many as a number says.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let [count] = self.numbers()?;
        (0..count).map(|_| one(self)).collect()
    }
}
