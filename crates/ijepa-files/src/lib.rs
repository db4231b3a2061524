//! Files and folders that are whole or absent, whenever the process or the machine stops.
//!
//! What is being written has a hidden name beside its own (`.NAME.RANDOM.tmp`), is synced and then
//! renamed, and the folder around it is synced too, so that the name itself lasts. A folder that is
//! replaced waits under `.NAME.RANDOM.old` for the moment between two renames. A process that ends,
//! also by a panic, removes its own; [`clean_up`] sees to those of processes that were killed.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Write},
    iter::successors,
    path::{Path, PathBuf},
    time::Duration,
};

mod hidden;
mod new_file;

use hidden::{
    REPLACED, UNFINISHED, hidden_folder, hidden_kind, parent, put_back, set_aside, sync_folder,
};
pub use new_file::{NewFile, ensure_writable};

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

/// An error and its causes on one line, whatever they say, separated by colons; a cause that the
/// error before ends with, as many libraries' do, stands once.
pub fn on_one_line(error: &(dyn Error + 'static)) -> String {
    let all = successors(Some(error), |&error| error.source());
    let mut said: Vec<String> = Vec::new();
    for cause in all.map(ToString::to_string) {
        if said.last().is_none_or(|before| !before.ends_with(&cause)) {
            said.push(cause);
        }
    }
    one_line(&said.join(": "))
}

/// A text on one line, whatever it says: what steers a terminal becomes spaces.
pub fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
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
    filled_folder(path, fill, |unfinished| {
        let old = is_taken(path).then(|| set_aside(path, REPLACED));
        let old = old.transpose()?;
        let renamed = fs::rename(unfinished, path);
        if let Some(old) = old {
            let _ = match renamed.is_ok() {
                true => remove_folder(&old).map_err(io::Error::from),
                // What cannot be put back stays in it.
                false => put_back(&old, parent(path)).and_then(|()| fs::remove_dir(&old)),
            };
        }
        renamed
    })
}

/// As [`write_folder`], but refuses a name that is taken, also one that is taken meanwhile.
///
/// # Errors
///
/// As [`write_folder`], and a [`FileError`] of the kind [`io::ErrorKind::AlreadyExists`].
pub fn create_folder<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let taken = || io::Error::from(io::ErrorKind::AlreadyExists);
    if is_taken(path) {
        return Err(cannot("create", path)(taken()).into());
    }
    // Nothing but an empty folder is renamed to.
    filled_folder(path, fill, |unfinished| {
        let renamed = fs::rename(unfinished, path);
        renamed.map_err(|why| if is_taken(path) { taken() } else { why })
    })
}

/// Has `fill` write the files of a folder with a hidden name and `publish` give it that of `path`.
fn filled_folder<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
    publish: impl FnOnce(&Path) -> io::Result<()>,
) -> Result<(), E> {
    let unfinished = hidden_folder(path, UNFINISHED).map_err(cannot("write", path))?;
    fill(unfinished.path())?;
    let published = sync_folder(unfinished.path())
        .and_then(|()| publish(unfinished.path()))
        .and_then(|()| sync_folder(parent(path)));
    Ok(published.map_err(cannot("write", path))?)
}

/// Whether the name is there, also as a link to nothing.
fn is_taken(path: &Path) -> bool {
    path.is_symlink() || path.exists()
}

/// The bytes of a file, if it is there.
///
/// # Errors
///
/// [`FileError`] if it cannot be read.
pub fn read_file(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        bytes => bytes.map(Some).map_err(cannot("read", path)),
    }
}

/// Deletes a file, if it is there.
///
/// # Errors
///
/// [`FileError`] if it cannot be removed.
pub fn remove_file(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Deletes a folder, which vanishes as a whole, but on a disk without room file by file. What of it
/// cannot be deleted now, since a server has it open for somebody, stays hidden until somebody
/// calls [`clean_up`] for the folder above.
///
/// # Errors
///
/// [`FileError`] if it cannot be removed.
pub fn remove_folder(path: &Path) -> Result<(), FileError> {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    let removed = match set_aside(path, UNFINISHED) {
        Ok(aside) => {
            let _ = fs::remove_dir_all(aside);
            Ok(())
        }
        Err(full) if matches!(full.kind(), StorageFull | QuotaExceeded) => fs::remove_dir_all(path),
        Err(error) => Err(error),
    };
    removed.map_err(cannot("remove", path))
}

/// Removes from `folder` what killed processes were writing or deleting, as far as that can be
/// removed now, and puts back what they were about to replace. Nobody else may write to it
/// meanwhile.
///
/// # Errors
///
/// [`FileError`] if the folder cannot be read, or what belongs into it put back.
pub fn clean_up(folder: &Path) -> Result<(), FileError> {
    let entries = fs::read_dir(folder).map_err(cannot("list", folder))?;
    for entry in entries {
        let path = entry.map_err(cannot("list", folder))?.path();
        let Some((_, kind)) = path.file_name().and_then(hidden_kind) else {
            continue;
        };
        let is_folder = path.is_dir() && !path.is_symlink();
        if kind == REPLACED {
            if !is_folder {
                continue;
            }
            put_back(&path, folder).map_err(cannot("clean up", &path))?;
        }
        let _ = match is_folder {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
    }
    Ok(())
}

/// Removes from `folder` the files that killed processes were writing, of those whose names are
/// `ours`, that have not changed for so long. What cannot be looked at or removed is left.
pub fn remove_unfinished(folder: &Path, ours: impl Fn(&str) -> bool, unchanged_for: Duration) {
    let is_old = |file: &fs::DirEntry| {
        let changed = file.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|time| time.elapsed().ok());
        age.is_some_and(|age| age >= unchanged_for)
    };
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = file.file_name();
        let is_ours = matches!(hidden_kind(&name), Some((name, UNFINISHED)) if ours(name));
        if is_ours && is_old(&file) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Points the link `link` at `target`, a name relative to its folder, in one step. Where links need
/// privileges it is a file that holds the name; [`link_target`] reads both.
///
/// # Errors
///
/// [`FileError`] if it cannot be written.
pub fn point_link(link: &Path, target: &Path) -> Result<(), FileError> {
    #[cfg(unix)]
    let made = hidden::hidden(link, UNFINISHED, 0o777, |builder, folder| {
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
#[cfg(unix)]
fn free_bytes(folder: &Path) -> io::Result<Option<u64>> {
    let disk = rustix::fs::statvfs(folder)?;
    // Some network file systems do not know their size.
    let known = disk.f_blocks > 0;
    Ok(known.then(|| disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// This system does not tell.
#[cfg(not(unix))]
fn free_bytes(_: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

/// The folder of the user, where the system tells.
pub fn home() -> Option<PathBuf> {
    env::home_dir().filter(|home| !home.as_os_str().is_empty())
}

/// The folder of the user's caches: `XDG_CACHE_HOME`, else `.cache` of the user, where the system
/// tells.
pub fn user_caches() -> Option<PathBuf> {
    let set = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let set = set.filter(|path| path.is_absolute());
    set.or_else(|| Some(home()?.join(".cache")))
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
