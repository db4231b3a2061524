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
/// Dropped before that, it is removed, and a file that had the name before is untouched. Devices
/// and pipes are written to as they are.
#[derive(Debug)]
pub(crate) struct AtomicFile {
    writer: BufWriter<File>,
    path: PathBuf,
    /// None for devices and pipes.
    temporary: Option<Temporary>,
}

#[derive(Debug)]
struct Temporary(PathBuf);

impl Temporary {
    fn beside(path: &Path) -> Self {
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}.tmp", std::process::id()));
        Self(path.with_file_name(name))
    }

    fn create(&self) -> io::Result<File> {
        fs::create_dir_all(self.0.parent().unwrap_or(Path::new("")))?;
        File::create(&self.0)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Already renamed if all went well.
        let _ = fs::remove_file(&self.0);
    }
}

impl AtomicFile {
    /// Begins the file `path`; its folder is created if need be.
    pub(crate) fn create(path: &Path) -> Result<Self, CliError> {
        // A link stays one.
        let path = &match path.is_symlink() {
            true => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
            false => path.to_owned(),
        };
        let opened = if is_special(path) {
            File::create(path).map(|file| (file, None))
        } else {
            let temporary = Temporary::beside(path);
            temporary.create().map(|file| (file, Some(temporary)))
        };
        let (file, temporary) = opened.map_err(cannot_write(path))?;
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
        let written = self.writer.flush();
        let published = written.and_then(|()| match &self.temporary {
            Some(temporary) => {
                self.writer.get_ref().sync_all()?;
                fs::rename(&temporary.0, &self.path)
            }
            None => Ok(()),
        });
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

/// Whether something other than a file or a folder has the name.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
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

    #[cfg(unix)]
    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let [path, link] = ["a", "link"].map(|name| folder.path().join(name));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = AtomicFile::create(&link).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_written_to_and_stays() {
        use std::os::unix::fs::FileTypeExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let other_end = path.clone();
        let reader = std::thread::spawn(move || fs::read_to_string(other_end).unwrap());
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"text").unwrap();
        file.commit().unwrap();
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap(), "text");
    }
}
