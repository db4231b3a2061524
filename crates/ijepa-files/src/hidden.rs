//! Hidden names beside those that files and folders will have.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use tempfile::{Builder, TempDir};

/// Ends the name of what is being written or deleted.
pub(crate) const UNFINISHED: &str = ".tmp";
/// Letters and digits by which names of one file or folder differ.
const RANDOM: usize = 6;
/// Ends the name of a folder that holds what is being replaced, under its own name.
pub(crate) const REPLACED: &str = ".old";

pub(crate) fn hidden_folder(path: &Path, ending: &str) -> io::Result<TempDir> {
    hidden(path, ending, 0o777, |builder, folder| {
        builder.tempdir_in(folder)
    })
}

/// Has `make` make something beside `path` under a hidden name that nothing else has. Who may use
/// it follows from `mode` and the mask of the process, as for any other file.
pub(crate) fn hidden<T>(
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
    builder.prefix(&prefix).suffix(ending).rand_bytes(RANDOM);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    #[cfg(not(unix))]
    let _ = mode;
    fs::create_dir_all(parent(path))?;
    make(&builder, parent(path))
}

/// The name beside which a hidden `name` stands, and the ending of that, if it is one.
pub(crate) fn hidden_kind(name: &OsStr) -> Option<(&str, &'static str)> {
    let name = name.to_str()?.strip_prefix('.')?;
    let kinds = [UNFINISHED, REPLACED];
    let kind = kinds.into_iter().find(|kind| name.ends_with(kind))?;
    let (beside, random) = name.strip_suffix(kind)?.rsplit_once('.')?;
    let is_random =
        random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_random.then_some((beside, kind))
}

/// Moves `path` into a hidden folder.
pub(crate) fn set_aside(path: &Path, ending: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let aside = hidden_folder(path, ending)?;
    fs::rename(path, aside.path().join(name))?;
    Ok(aside.keep())
}

/// Moves what was set aside back into `folder`, unless its name is taken again.
pub(crate) fn put_back(aside: &Path, folder: &Path) -> io::Result<()> {
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
pub(crate) fn parent(path: &Path) -> &Path {
    let named = path.parent().filter(|it| !it.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

/// Puts the names in a folder on disk, where the file system can.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
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
