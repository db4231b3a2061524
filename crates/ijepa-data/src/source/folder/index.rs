//! Listings of folders that are kept from one process to the next.

mod format;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::SystemTime;

use blake3::Hasher;
use ijepa_files::on_one_line;

use super::walk::{AHEAD, COARSE, Mark, THREADS, real};
use super::{FolderForm, FolderSource, check_folder};
use crate::error::DataError;
use crate::reading::in_order;
use crate::source::Source;
use crate::source::index_file::{self, Kind};
use crate::source::user_cache::user_cache;

/// A folder of indexes: lists of the images of other folders, each with the time of the last
/// change of every folder that was listed.
///
/// A folder whose index is there is not listed again unless one of its folders has changed: has
/// other names in it, or was replaced. Each is asked for that, 16 at once; files are not. So files
/// that appear, vanish or are renamed are noticed, and so is a disk that was mounted or is gone;
/// files that are written anew under their names are not, and need not be, since only names are
/// kept. What is not noticed: a change of a folder whose time was set back afterwards (`touch -r`).
///
/// Indexes are written whole or not at all, so any number of processes may share the folder. A
/// folder that changed less than two seconds ago is not trusted to show its next change, and its
/// index is not kept.
///
/// # Examples
///
/// ```no_run
/// use ijepa_data::{FolderForm, IndexCache, Source};
///
/// let indexes = IndexCache::new("/var/cache/ijepa");
/// let train = indexes.open("imagenet/train", FolderForm::Classes)?;
/// println!("{} images", train.len());
/// # Ok::<(), ijepa_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexCache {
    folder: PathBuf,
}

/// Ends the names of indexes.
const ENDING: &str = ".folder";

/// An index that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its file; none where the folder changed while it was listed.
    pub path: Option<PathBuf>,
    /// Images of the folder.
    pub images: usize,
    /// Folders that are asked for changes, and links that lead nowhere.
    pub folders: usize,
}

/// A path that was looked at, and what it was.
pub(super) type Marked = (PathBuf, Mark);

impl IndexCache {
    /// Folders of fewer images are listed every time, as fast.
    pub const LEAST_IMAGES: usize = 10_000;

    /// Indexes in `folder`, which is made when it is needed.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        Self { folder }
    }

    /// Indexes in `ijepa/folders` below `XDG_CACHE_HOME`, else below `.cache` of the user; none
    /// where the system tells of neither.
    pub fn of_user() -> Option<Self> {
        user_cache("folders").map(Self::new)
    }

    /// The images of `root`, from its index if there is one that still holds; otherwise the folder
    /// is listed, and its index kept if it has [`LEAST_IMAGES`](Self::LEAST_IMAGES). An index that
    /// cannot be kept is noted in [`notes`](Source::notes).
    ///
    /// # Errors
    ///
    /// As [`FolderSource::open`] or [`FolderSource::unlabelled`].
    pub fn open(
        &self,
        root: impl AsRef<Path>,
        form: FolderForm,
    ) -> Result<FolderSource, DataError> {
        let root = root.as_ref();
        check_folder(root)?;
        let path = self.path(root, form)?;
        if let Some((source, marks)) = read(&path, root)
            && holds(&marks)?
        {
            return Ok(source);
        }
        let started = SystemTime::now();
        let (mut source, marks) = FolderSource::list(root, form)?;
        if source.len() >= Self::LEAST_IMAGES && is_settled(&marks, started) {
            let written = self.keep(form, &source, &marks);
            source.note = written.err().map(|error| on_one_line(&error));
        }
        Ok(source)
    }

    /// Lists `root` and keeps its index, whatever was kept before and however few images it has.
    /// A folder that has just changed is waited for, two seconds.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and [`DataError::Index`] if the index cannot be written.
    pub fn renew(&self, root: impl AsRef<Path>, form: FolderForm) -> Result<Kept, DataError> {
        let root = root.as_ref();
        check_folder(root)?;
        let list = || {
            let started = SystemTime::now();
            let (source, marks) = FolderSource::list(root, form)?;
            let settled = is_settled(&marks, started);
            Ok::<_, DataError>((source, marks, settled))
        };
        let (mut source, mut marks, mut settled) = list()?;
        if !settled {
            sleep(COARSE);
            (source, marks, settled) = list()?;
        }
        let path = match settled {
            true => Some(self.keep(form, &source, &marks)?),
            false => None,
        };
        Ok(Kept {
            path,
            images: source.len(),
            folders: marks.len(),
        })
    }

    /// Writes an index, and gives its file. That of the other form is removed if the folder is not
    /// what it was any more.
    fn keep(
        &self,
        form: FolderForm,
        source: &FolderSource,
        marks: &[Marked],
    ) -> Result<PathBuf, DataError> {
        let path = self.path(&source.root, form)?;
        let written =
            index_file::write(&path, Kind::Folder, |out| format::write(out, source, marks));
        written.map_err(|cause| DataError::Index {
            folder: source.root.clone(),
            source: cause,
        })?;
        index_file::remove_abandoned(&self.folder, |name| name.ends_with(ENDING));
        let other = self.path(&source.root, form.other())?;
        let is_stale = match read(&other, &source.root) {
            Some((_, marks)) => !holds(&marks)?,
            None => other.exists(),
        };
        if is_stale {
            // One that cannot be removed is passed over by its marks.
            let _ = fs::remove_file(other);
        }
        Ok(path)
    }

    /// The file of the index of `root`, which is told by its path without links.
    fn path(&self, root: &Path, form: FolderForm) -> Result<PathBuf, DataError> {
        let mut hasher = Hasher::new();
        hasher.update(&[form as u8]);
        hasher.update(real(root)?.as_os_str().as_encoded_bytes());
        let name = hasher.finalize().to_hex();
        Ok(self.folder.join(format!("{}{ENDING}", &name[..32])))
    }
}

/// Whether every path is what it was.
fn holds(marks: &[Marked]) -> Result<bool, DataError> {
    let same = |number: usize, _: &dyn Fn() -> bool| {
        let (path, mark) = &marks[number];
        Mark::of(path) == *mark
    };
    let all = |_, same: bool| same.then_some(()).ok_or(());
    Ok(in_order(marks.len(), THREADS, AHEAD, same, all)?.is_ok())
}

/// Whether the next change of every folder will change its mark.
fn is_settled(marks: &[Marked], now: SystemTime) -> bool {
    marks.iter().all(|(_, mark)| mark.is_settled(now))
}

/// The source and the marks of an index, if it is there.
fn read(path: &Path, root: &Path) -> Option<(FolderSource, Vec<Marked>)> {
    format::parse(index_file::read(path, Kind::Folder)?, root)
}
