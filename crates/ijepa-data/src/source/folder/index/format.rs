//! What the file of an index holds.
//!
//! Whole numbers of 8 bytes, little-endian, and texts, which are
//! a length and bytes: the marks (path, whether it is there, number, seconds, nanoseconds), the
//! names of the classes, the folders (path below the root, label + 1 or 0, number of images), the
//! counts of other files, the number of images; then the length of each image's name in two bytes,
//! and the names.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Marked;
use crate::source::Source;
use crate::source::folder::names::{Names, of_bytes};
use crate::source::folder::others::Others;
use crate::source::folder::walk::Mark;
use crate::source::folder::{Folder, FolderSource};

pub(super) fn write(
    out: &mut dyn Write,
    source: &FolderSource,
    marks: &[Marked],
) -> io::Result<()> {
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

fn number(out: &mut dyn Write, number: u64) -> io::Result<()> {
    out.write_all(&number.to_le_bytes())
}

fn text(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    number(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

/// The source and the marks that were written; none if there are others in it.
pub(super) fn parse(mut content: Vec<u8>, root: &Path) -> Option<(FolderSource, Vec<Marked>)> {
    let mut input = Input(&content);
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
    let classes = input.list(Input::string)?;
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
        let ending = input.string()?;
        let [count] = input.numbers()?;
        Some((ending, count))
    })?;
    let [images] = input.numbers()?;
    let lengths = input.bytes(images.checked_mul(2)?)?;
    let lengths: Vec<[u8; 2]> = lengths.as_chunks().0.to_vec();
    let lengths = lengths.into_iter().map(u16::from_le_bytes);
    // The names are most of it and stay where they are.
    let start = content.len() - input.0.len();
    content.drain(..start);
    let source = FolderSource {
        root: root.to_owned(),
        classes,
        folders,
        names: Names::of_lengths(lengths, content)?,
        others: Others(others.into_iter().collect()),
        note: None,
        is_indexed: true,
    };
    let classes = source.classes.len();
    let is_class = |folder: &Folder| folder.label.is_none_or(|label| (label as usize) < classes);
    let is_whole = first == source.len() && first > 0 && source.folders.iter().all(is_class);
    is_whole.then_some((source, marks))
}

/// What is left, which bounds every length that it announces.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(bytes)
    }

    fn numbers<const N: usize>(&mut self) -> Option<[u64; N]> {
        let bytes = self.bytes(8 * N as u64)?;
        let words = bytes.as_chunks().0;
        Some(std::array::from_fn(|at| u64::from_le_bytes(words[at])))
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let [length] = self.numbers()?;
        self.bytes(length)
    }

    fn string(&mut self) -> Option<String> {
        Some(str::from_utf8(self.text()?).ok()?.to_owned())
    }

    fn path(&mut self) -> Option<PathBuf> {
        Some(of_bytes(self.text()?).into_owned().into())
    }

    /// As many as a number says.
    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let [count] = self.numbers()?;
        (0..count).map(|_| one(self)).collect()
    }
}
