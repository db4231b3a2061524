//! What is in folders, many listed at once.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::names::Names;
use super::others::Others;
use crate::error::DataError;
use crate::reading::in_order;
use crate::source::file::unreadable;
use crate::source::stamp::since_1970;

/// File name endings of images, compared without regard to case; arrays (`npy`) count where there
/// is no other image beside them.
pub const IMAGE_EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif", ARRAY,
];
/// Many things are kept in arrays beside images.
const ARRAY: &str = "npy";

/// What a check of the file system leaves.
pub(in crate::source) const LOST_AND_FOUND: &str = "lost+found";
/// Folders that are listed at once: storage answers slowly, and many questions together.
pub(super) const THREADS: usize = 16;
/// How coarse the clocks of file systems are.
pub(super) const COARSE: Duration = Duration::from_secs(2);
/// Listings that wait for one before them.
pub(super) const AHEAD: usize = 1024;

/// What one folder directly holds.
#[derive(Debug)]
pub(super) struct Listing {
    /// Sorted byte-wise.
    pub(super) images: Names,
    /// Names, sorted byte-wise, and paths without links.
    pub(super) folders: Vec<(OsString, PathBuf)>,
    pub(super) others: Others,
    /// Its own mark, then those of links in it to what is somewhere else.
    pub(super) marks: Vec<(PathBuf, Mark)>,
}

/// What changes with the names in a folder, or if another folder takes its place: its number and
/// the time of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Absent,
    Folder {
        number: u64,
        /// Since 1970.
        changed: Duration,
    },
}

impl Mark {
    pub(super) fn of(path: &Path) -> Self {
        fs::metadata(path).map_or(Self::Absent, |metadata| Self::Folder {
            number: number(&metadata),
            changed: since_1970(metadata.modified().ok()),
        })
    }

    /// Whether a change after `now` would change it: clocks of file systems are coarse.
    pub(super) fn is_settled(self, now: SystemTime) -> bool {
        match self {
            Self::Absent => true,
            Self::Folder { changed, .. } => changed + COARSE < since_1970(Some(now)),
        }
    }
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn number(_: &Metadata) -> u64 {
    0
}

impl Listing {
    /// Lists the folder `path`, which has no links in it.
    pub(super) fn of(path: &Path) -> Result<Self, DataError> {
        let unreadable = |source| unreadable(path, source);
        // Asked before the names, so that nothing changes unseen in between.
        let mut marks = vec![(path.to_owned(), Mark::of(path))];
        let (mut images, mut folders, mut others) = (Vec::new(), Vec::new(), Others::default());
        for entry in fs::read_dir(path).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") || name == LOST_AND_FOUND {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable)?;
            let mut real = None;
            if kind.is_dir() {
                real = Some(entry.path());
            } else if kind.is_symlink() {
                match fs::metadata(entry.path()) {
                    Ok(target) if target.is_dir() => {
                        let target = self::real(&entry.path())?;
                        marks.push((entry.path(), Mark::of(&target)));
                        if path.starts_with(&target) {
                            continue;
                        }
                        real = Some(target);
                    }
                    Ok(_) => {}
                    // It counts as a file, so that reading it reports it by name.
                    Err(_) => marks.push((entry.path(), Mark::Absent)),
                }
            }
            match real {
                Some(real) => folders.push((name, real)),
                None if is_image(&name) => images.push(name),
                None => others.add(&name),
            }
        }
        if !images.iter().all(|name| is_array(name)) {
            images.retain(|name| {
                let kept = !is_array(name);
                if !kept {
                    others.add(name);
                }
                kept
            });
        }
        images.sort_unstable();
        folders.sort_unstable();
        let mut names = Names::default();
        images.iter().for_each(|name| names.push(name));
        Ok(Self {
            images: names,
            folders,
            others,
            marks,
        })
    }
}

/// The folders of these paths without links, and all that they lead to, each listed once.
pub(super) fn walk(mut level: Vec<PathBuf>) -> Result<HashMap<PathBuf, Listing>, DataError> {
    let mut found = HashMap::new();
    while !level.is_empty() {
        let mut next = Vec::new();
        let list = |number: usize, _: &dyn Fn() -> bool| Listing::of(&level[number]);
        let keep = |number: usize, listing: Result<Listing, DataError>| {
            let listing = listing?;
            next.extend(listing.folders.iter().map(|(_, real)| real.clone()));
            found.insert(level[number].clone(), listing);
            Ok::<_, DataError>(())
        };
        in_order(level.len(), THREADS, AHEAD, list, keep)??;
        next.sort_unstable();
        next.dedup();
        next.retain(|path| !found.contains_key(path));
        level = next;
    }
    Ok(found)
}

/// The path without links.
pub(super) fn real(path: &Path) -> Result<PathBuf, DataError> {
    fs::canonicalize(path).map_err(|source| unreadable(path, source))
}

pub(in crate::source) fn is_image(name: &OsStr) -> bool {
    ends_in(name, IMAGE_EXTENSIONS)
}

pub(in crate::source) fn is_array(name: &OsStr) -> bool {
    ends_in(name, &[ARRAY])
}

fn ends_in(name: &OsStr, extensions: &[&str]) -> bool {
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    extension.is_some_and(|found| extensions.iter().any(|x| found.eq_ignore_ascii_case(x)))
}
