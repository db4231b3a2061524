//! Files and folders that are whole or absent, whenever the process or the machine stops.
//!
//! What is being written has a hidden name beside its own (`.NAME.RANDOM.tmp`), is synced and then
//! renamed, and the folder around it is synced too, so that the name itself lasts. A folder that is
//! replaced waits under `.NAME.RANDOM.old` for the moment between two renames. A process that ends,
//! also by a panic, removes its own; [`clean_up`] sees to those of processes that were killed.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use tempfile::{Builder, TempDir, TempPath};

/// Ends the name of what is being written or deleted.
const UNFINISHED: &str = ".tmp";
/// Ends the name of a folder that holds what is being replaced, under its own name.
const REPLACED: &str = ".old";

/// A file or folder that cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    /// What was attempted.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        error.source
    }
}

/// Names the file of an IO error: `map_err(cannot("write", path))`.
pub fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    move |source| FileError {
        action,
        path: path.to_owned(),
        source,
    }
}

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
    /// [`FileError`] if it cannot be created.
    pub fn create(path: &Path) -> Result<Self, FileError> {
        let target = match path.is_symlink() {
            true => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
            false => path.to_owned(),
        };
        let is_special = fs::metadata(&target).is_ok_and(|it| !it.is_file() && !it.is_dir());
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

    /// Where the bytes are until then, for writers that open a path themselves.
    pub fn unfinished_path(&self) -> &Path {
        self.unfinished.as_deref().unwrap_or(&self.path)
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

/// Has `write` fill a [`NewFile`] and commits it.
///
/// # Errors
///
/// A [`FileError`] if the file cannot be written, and whatever `write` returns; a file that had
/// the name before is untouched then.
pub fn write_file<E: From<FileError>>(
    path: &Path,
    write: impl FnOnce(&mut NewFile) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = NewFile::create(path)?;
    write(&mut file)?;
    Ok(file.commit()?)
}

/// Writes a file of these bytes with [`write_file`].
///
/// # Errors
///
/// As [`write_file`].
pub fn write_bytes(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), FileError> {
    write_file(path, |file| {
        file.write_all(bytes.as_ref())
            .map_err(cannot("write", path))
    })
}

/// Has `fill` write the files of a folder, each with [`write_file`], which appears as a whole. A
/// folder that is there already is replaced when the new one is complete.
///
/// # Errors
///
/// A [`FileError`] if the folder cannot be written, and whatever `fill` returns; a folder that had
/// the name before is untouched then.
pub fn write_folder<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let unfinished = hidden_folder(path, UNFINISHED).map_err(cannot("write", path))?;
    fill(unfinished.path())?;
    let publish = || {
        sync_folder(unfinished.path())?;
        let replaced = path.is_symlink() || path.exists();
        let old = replaced.then(|| set_aside(path, REPLACED)).transpose()?;
        let renamed = fs::rename(unfinished.path(), path);
        if let Some(old) = old {
            if renamed.is_err() {
                put_back(&old, parent(path))?;
            }
            fs::remove_dir_all(old)?;
        }
        renamed?;
        sync_folder(parent(path))
    };
    Ok(publish().map_err(cannot("write", path))?)
}

/// As [`write_folder`], but refuses a name that is taken.
///
/// # Errors
///
/// As [`write_folder`], and a [`FileError`] of the kind [`io::ErrorKind::AlreadyExists`].
pub fn create_folder<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    if path.exists() {
        return Err(cannot("create", path)(io::ErrorKind::AlreadyExists.into()).into());
    }
    write_folder(path, fill)
}

/// Deletes a folder, which vanishes as a whole.
///
/// # Errors
///
/// [`FileError`] if it cannot be removed.
pub fn remove_folder(path: &Path) -> Result<(), FileError> {
    set_aside(path, UNFINISHED)
        .and_then(fs::remove_dir_all)
        .map_err(cannot("remove", path))
}

/// Removes from `folder` what killed processes were writing or deleting, and puts back what they
/// were about to replace. Nobody else may write to it meanwhile.
///
/// # Errors
///
/// [`FileError`] if the folder cannot be read or changed.
pub fn clean_up(folder: &Path) -> Result<(), FileError> {
    let entries = fs::read_dir(folder).map_err(cannot("list", folder))?;
    for entry in entries {
        let path = entry.map_err(cannot("list", folder))?.path();
        let Some(kind) = path.file_name().and_then(hidden_kind) else {
            continue;
        };
        let restored = match kind {
            REPLACED => put_back(&path, folder),
            _ => Ok(()),
        };
        let removed = restored.and_then(|()| match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        });
        removed.map_err(cannot("clean up", &path))?;
    }
    Ok(())
}

/// Points the link `link` at `target`, a name relative to its folder, in one step. Where links need
/// privileges it is a file that holds the name; [`link_target`] reads both.
///
/// # Errors
///
/// [`FileError`] if it cannot be written.
pub fn point_link(link: &Path, target: &Path) -> Result<(), FileError> {
    #[cfg(unix)]
    let made = hidden(link, UNFINISHED, 0o777, |builder, folder| {
        let made = builder.make_in(folder, |at| std::os::unix::fs::symlink(target, at))?;
        Ok(made.into_temp_path().persist(link)?)
    });
    #[cfg(not(unix))]
    let made = write_bytes(link, target.to_string_lossy().as_bytes()).map_err(io::Error::from);
    made.and_then(|()| sync_folder(parent(link)))
        .map_err(cannot("link", link))
}

/// What [`point_link`] made `link` point at, if it did.
pub fn link_target(link: &Path) -> Option<PathBuf> {
    let written = || fs::read_to_string(link).map(PathBuf::from);
    fs::read_link(link).or_else(|_| written()).ok()
}

/// Makes sure that the disk can take the `needed` bytes of `path`, which is yet to be written;
/// where the system does not tell, it is taken to have room.
///
/// # Errors
///
/// [`FileError`] of the kind [`io::ErrorKind::StorageFull`] if there is less.
pub fn ensure_room(path: &Path, needed: u64) -> Result<(), FileError> {
    match free_bytes(parent(path)) {
        Ok(Some(free)) if free < needed => {
            let what =
                format!("No space left on device: {needed} bytes are needed, {free} are free");
            let full = io::Error::new(io::ErrorKind::StorageFull, what);
            Err(cannot("write", path)(full))
        }
        _ => Ok(()),
    }
}

/// Bytes that this user may still write below `folder`, where the system tells.
///
/// # Errors
///
/// The error of the system.
#[cfg(unix)]
pub fn free_bytes(folder: &Path) -> io::Result<Option<u64>> {
    let disk = rustix::fs::statvfs(folder)?;
    // Some network file systems do not know their size.
    let known = disk.f_blocks > 0;
    Ok(known.then(|| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Bytes that this user may still write below `folder`, where the system tells.
///
/// # Errors
///
/// None on this system.
#[cfg(not(unix))]
pub fn free_bytes(_: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

/// The folder of the user's caches: `XDG_CACHE_HOME`, else `.cache` of the user, where the system
/// tells.
pub fn user_caches() -> Option<PathBuf> {
    let set = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let set = set.filter(|path| path.is_absolute());
    let home = || env::home_dir().filter(|home| !home.as_os_str().is_empty());
    set.or_else(|| Some(home()?.join(".cache")))
}

fn hidden_folder(path: &Path, ending: &str) -> io::Result<TempDir> {
    hidden(path, ending, 0o777, |builder, folder| {
        builder.tempdir_in(folder)
    })
}

/// Has `make` make something beside `path` under a hidden name that nothing else has. Who may use
/// it follows from `mode` and the mask of the process, as for any other file.
fn hidden<T>(
    path: &Path,
    ending: &str,
    mode: u32,
    make: impl FnOnce(&Builder<'_, '_>, &Path) -> io::Result<T>,
) -> io::Result<T> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut prefix = OsStr::new(".").to_owned();
    prefix.push(name);
    prefix.push(".");
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(ending);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    fs::create_dir_all(parent(path))?;
    make(&builder, parent(path))
}

/// The ending of a hidden name, if `name` is one.
fn hidden_kind(name: &OsStr) -> Option<&'static str> {
    let name = name.to_str()?.strip_prefix('.')?;
    let kinds = [UNFINISHED, REPLACED];
    let kind = kinds.into_iter().find(|kind| name.ends_with(kind))?;
    let (_, random) = name.strip_suffix(kind)?.rsplit_once('.')?;
    let is_random = !random.is_empty() && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_random.then_some(kind)
}

/// Moves `path` into a hidden folder.
fn set_aside(path: &Path, ending: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let aside = hidden_folder(path, ending)?;
    fs::rename(path, aside.path().join(name))?;
    Ok(aside.keep())
}

/// Moves what was set aside back into `folder`, unless its name is taken again.
fn put_back(aside: &Path, folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(aside)? {
        let entry = entry?;
        let target = folder.join(entry.file_name());
        if !target.exists() {
            fs::rename(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The folder of `path`, which a bare name has too.
fn parent(path: &Path) -> &Path {
    let named = path.parent().filter(|it| !it.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

/// Puts the names in a folder on disk, where the file system can.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
            ) =>
        {
            Ok(())
        }
        synced => synced,
    }
}
