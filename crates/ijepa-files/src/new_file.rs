//! A file that appears when it is complete.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tempfile::TempPath;

use crate::{
    FileError, cannot,
    hidden::{UNFINISHED, hidden, parent, sync_folder},
};

/// A buffered file that gets its name by [`commit`](Self::commit).
///
/// Dropped before that, it is removed, and a file that had the name before is untouched. A link
/// stays one: what it points at is replaced. Devices and pipes are written to as they are.
#[derive(Debug)]
pub struct NewFile {
    writer: BufWriter<File>,
    path: PathBuf,
    /// None for devices and pipes.
    unfinished: Option<TempPath>,
}

impl NewFile {
    /// Begins the file `path`; the folders above it are created if need be.
    ///
    /// # Errors
    ///
    /// [`FileError`] if it cannot be created, also since it is a folder.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        refuse_folder(path)?;
        let is_special = is_special(path);
        let target = match is_special {
            true => path.to_owned(),
            false => target_of(path),
        };
        let opened = match is_special {
            true => File::create(&target).map(|file| (file, None)),
            false => hidden(&target, UNFINISHED, 0o666, |builder, folder| {
                let (file, unfinished) = builder.tempfile_in(folder)?.into_parts();
                Ok((file, Some(unfinished)))
            }),
        };
        let (file, unfinished) = opened.map_err(cannot("write", path))?;
        Ok(Self {
            writer: BufWriter::new(file),
            path: target,
            unfinished,
        })
    }

    /// The name that the file will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Syncs what was written, so that [`commit`](Self::commit) has no more to do than to rename.
    ///
    /// # Errors
    ///
    /// [`FileError`] if that fails.
    pub fn sync(&mut self) -> Result<(), FileError> {
        let synced = self.writer.flush().and_then(|()| match self.unfinished {
            Some(_) => self.writer.get_ref().sync_all(),
            None => Ok(()),
        });
        synced.map_err(cannot("write", &self.path))
    }

    /// Syncs the file and gives it its name.
    ///
    /// # Errors
    ///
    /// [`FileError`] if that fails; the file is removed then.
    pub fn commit(self) -> Result<(), FileError> {
        let Self {
            writer,
            path,
            unfinished,
        } = self;
        let publish = || -> io::Result<()> {
            let file = writer.into_inner().map_err(io::Error::from)?;
            let Some(unfinished) = unfinished else {
                return Ok(());
            };
            file.sync_all()?;
            unfinished.persist(&path)?;
            sync_folder(parent(&path))
        };
        publish().map_err(cannot("write", &path))
    }
}

/// Makes sure that a file `path` could be begun, before the work whose result it is to hold, and
/// leaves nothing behind. Devices and pipes are taken at their word.
///
/// # Errors
///
/// [`FileError`] if nothing can be written to its folder, or to the nearest one above that is
/// there.
pub fn ensure_writable(path: &Path) -> Result<(), FileError> {
    refuse_folder(path)?;
    if is_special(path) {
        return Ok(());
    }
    let target = target_of(path);
    let mut above = target.ancestors().skip(1);
    let there = above.find(|it| it.exists()).unwrap_or(Path::new(""));
    let beside = there.join(target.file_name().unwrap_or_default());
    let begun = hidden(&beside, UNFINISHED, 0o666, |builder, folder| {
        builder.tempfile_in(folder).map(drop)
    });
    begun.map_err(cannot("write", path))
}

fn refuse_folder(path: &Path) -> Result<(), FileError> {
    match path.is_dir() {
        true => Err(cannot("write", path)(io::ErrorKind::IsADirectory.into())),
        false => Ok(()),
    }
}

/// Whether it is there and no file or folder; the system follows links to pipes that have no names.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir())
}

/// What a link names in the end, which need not be there; other files are their own target.
fn target_of(path: &Path) -> PathBuf {
    let mut target = path.to_owned();
    // No system follows more of them.
    for _ in 0..40 {
        let Ok(named) = fs::read_link(&target) else {
            break;
        };
        target = parent(&target).join(named);
    }
    target
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Seek for NewFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.writer.seek(to)
    }
}
