//! WebDataset archives.

use std::io::{self, ErrorKind};
use std::path::Path;

use ijepa_files::{FileError, NewFile, cannot, write_bytes};
use tar::{Builder, Header};

use super::{Packable, Shard};
use crate::source::CLASSES_FILE;

pub(super) struct TarShard(Builder<NewFile>);

impl TarShard {
    pub(super) fn new(file: NewFile) -> Self {
        Self(Builder::new(file))
    }

    fn member(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Neither owner nor time, so that the same images make the same archive.
        let mut header = Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        self.0.append_data(&mut header, name, bytes)
    }
}

impl Shard for TarShard {
    fn add(&mut self, number: usize, image: &Packable) -> io::Result<()> {
        let Packable {
            bytes,
            extension,
            label,
            ..
        } = image;
        self.member(&format!("{number:09}.{extension}"), bytes)?;
        match label {
            Some(label) => self.member(&format!("{number:09}.cls"), label.to_string().as_bytes()),
            None => Ok(()),
        }
    }

    fn finish(self: Box<Self>) -> io::Result<NewFile> {
        self.0.into_inner()
    }
}

/// Refuses names of classes of which a line each cannot be written into `folder`.
pub(super) fn check_classes(folder: &Path, classes: &[String]) -> Result<(), FileError> {
    match classes.iter().any(|name| name.contains(['\n', '\r'])) {
        true => {
            let cause = io::Error::new(ErrorKind::InvalidData, "the name of a class has two lines");
            Err(cannot("write", &folder.join(CLASSES_FILE))(cause))
        }
        false => Ok(()),
    }
}

/// Writes the names of the classes, if there are any.
pub(super) fn write_classes(folder: &Path, classes: &[String]) -> Result<(), FileError> {
    let path = folder.join(CLASSES_FILE);
    let lines: String = classes.iter().map(|name| format!("{name}\n")).collect();
    match lines.is_empty() {
        true => Ok(()),
        false => write_bytes(&path, lines),
    }
}
