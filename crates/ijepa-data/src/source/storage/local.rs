//! A file of this machine that stays open.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::DataError;
use crate::source::file::unreadable;
use crate::source::stamp::Stamp;

/// An open file, which is opened anew after it failed: the handle of a disk that was away stays
/// dead when the disk is back.
#[derive(Debug)]
pub(in crate::source) struct LocalFile {
    path: PathBuf,
    handle: Mutex<Option<Arc<File>>>,
}

impl LocalFile {
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let file = Self {
            path: path.to_owned(),
            handle: Mutex::default(),
        };
        file.with_handle(|_| Ok(()))?;
        Ok(file)
    }

    /// What it is by now.
    pub(super) fn stamp(&self) -> Result<Stamp, DataError> {
        let metadata = self.with_handle(File::metadata)?;
        Ok(Stamp::of(&metadata))
    }

    /// Fills `buffer` with the bytes from `start` on of what is as `stamp` says.
    pub(super) fn read_into(
        &self,
        buffer: &mut [u8],
        start: u64,
        stamp: &Stamp,
    ) -> Result<(), DataError> {
        stamp.check(&self.path, &self.stamp()?)?;
        self.with_handle(|file| read_exact_at(file, &self.path, buffer, start))
    }

    fn with_handle<T>(&self, work: impl FnOnce(&File) -> io::Result<T>) -> Result<T, DataError> {
        let done = self.handle().and_then(|file| work(&file));
        done.map_err(|source| {
            self.lock().take();
            unreadable(&self.path, source)
        })
    }

    fn handle(&self) -> io::Result<Arc<File>> {
        let mut handle = self.lock();
        if let Some(file) = &*handle {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(&self.path)?);
        Ok(Arc::clone(handle.insert(file)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<File>>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, _: &Path, buffer: &mut [u8], start: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, start)
}

/// As on Unix, by a handle of its own, since there the position is shared.
#[cfg(not(unix))]
fn read_exact_at(_: &File, path: &Path, buffer: &mut [u8], start: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(buffer)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_handle_is_replaced() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&path, "abc").unwrap();
        let file = LocalFile::open(&path).unwrap();
        let stamp = file.stamp().unwrap();
        // A handle that nothing can be read of.
        let dead = File::options().append(true).open(&path).unwrap();
        *file.lock() = Some(Arc::new(dead));
        let mut found = [0; 2];
        let error = file.read_into(&mut found, 1, &stamp).unwrap_err();
        assert!(matches!(error, DataError::Read { .. }), "{error}");
        file.read_into(&mut found, 1, &stamp).unwrap();
        assert_eq!(&found, b"bc");
    }
}
