//! Files that are whole or absent.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::error::CliError;

/// A file under a temporary name beside its own, which it gets when it is complete.
///
/// Dropped before that, it is removed, and a file that had the name before is untouched.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    writer: BufWriter<File>,
    path: PathBuf,
    temporary: Temporary,
}

#[derive(Debug)]
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Already renamed if all went well.
        let _ = fs::remove_file(&self.0);
    }
}

impl AtomicFile {
    /// Begins the file `path`; its folder is created if need be.
    pub(crate) fn create(path: &Path) -> Result<Self, CliError> {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = Temporary(path.with_file_name(name));
        let folder = temporary.0.parent().unwrap_or(Path::new(""));
        let opened = fs::create_dir_all(folder).and_then(|()| File::create(&temporary.0));
        let file = opened.map_err(cannot_write(path))?;
        Ok(Self {
            writer: BufWriter::new(file),
            path: path.to_owned(),
            temporary,
        })
    }

    /// The name that the file will have.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs the file and gives it its name.
    pub(crate) fn commit(mut self) -> Result<(), CliError> {
        let published = self
            .writer
            .flush()
            .and_then(|()| self.writer.get_ref().sync_all())
            .and_then(|()| fs::rename(&self.temporary.0, &self.path));
        published.map_err(cannot_write(&self.path))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.writer.seek(to)
    }
}

/// Turns an IO error into ours: `map_err(cannot_write(path))`.
pub(crate) fn cannot_write(path: &Path) -> impl FnOnce(io::Error) -> CliError {
    move |source| CliError::Write {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_committed_file_gets_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/a.txt");
        let write = |text: &str| {
            let mut file = AtomicFile::create(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file
        };
        write("first").commit().unwrap();
        drop(write("second"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        let others = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(others, 1, "temporary files are left");
        write("third").commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
    }
}
