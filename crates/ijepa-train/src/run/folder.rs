//! A run directory: its lock, and checkpoints that appear as a whole.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ijepa_model::{
    CheckpointError,
    checkpoint::run_folder::{CHECKPOINTS, LATEST, checkpoint, step_of, steps},
    files::{
        cannot, clean_up, ensure_room, link_target, point_link, remove_file, remove_folder,
        remove_unfinished, write_bytes, write_folder,
    },
};

use crate::{
    error::TrainError,
    ranks::{Ranks, Single},
};

mod start;

const BEST: &str = "best";
const LOCK: &str = "lock";

/// A run directory that this process alone may write, or rank 0 of those that train together; one
/// in which nothing was written is gone again afterwards.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    ranks: Arc<dyn Ranks>,
    /// Held until the process ends, however it ends.
    _lock: Option<File>,
    /// Why the lock could not be taken, where locks cannot be had.
    unlocked: Option<String>,
    /// Whether it was not there before.
    made: bool,
    /// Steps of checkpoints that outlive `keep_last` beside the best one.
    also_kept: Mutex<BTreeSet<u64>>,
    /// Steps of checkpoints that the run went back from.
    left_behind: Mutex<BTreeSet<u64>>,
}

impl Folder {
    /// Takes hold of `path`, which is created if need be, for a process on its own.
    ///
    /// # Errors
    ///
    /// [`TrainError::InUse`] if another process holds it, [`TrainError::Io`] if it cannot be
    /// written.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        Self::of_ranks(path, Single::shared())
    }

    /// As [`open`](Self::open), for processes that train together: rank 0 takes hold of it, and the
    /// others, which must see it too, only read checkpoints.
    ///
    /// # Errors
    ///
    /// Of rank 0, as [`open`](Self::open).
    pub fn of_ranks(path: impl Into<PathBuf>, ranks: Arc<dyn Ranks>) -> Result<Self, TrainError> {
        let path = path.into();
        if ranks.rank() > 0 {
            return Ok(Self {
                path,
                ranks,
                _lock: None,
                unlocked: None,
                made: false,
                also_kept: Mutex::default(),
                left_behind: Mutex::default(),
            });
        }
        let made = !path.exists();
        let checkpoints = path.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(cannot("create", &checkpoints))?;
        let lock_path = path.join(LOCK);
        let lock = File::create(&lock_path).map_err(cannot("create", &lock_path))?;
        let unlocked = match lock.try_lock() {
            Err(fs::TryLockError::WouldBlock) => return Err(TrainError::InUse { path }),
            taken => why_unlocked(taken),
        };
        clean_up(&checkpoints)?;
        remove_unfinished(&path, is_of_runs, Duration::ZERO);
        Ok(Self {
            path,
            ranks,
            _lock: Some(lock),
            unlocked,
            made,
            also_kept: Mutex::default(),
            left_behind: Mutex::default(),
        })
    }

    /// The processes whose run it is.
    pub fn ranks(&self) -> &Arc<dyn Ranks> {
        &self.ranks
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What should be known about it before it is used.
    pub(super) fn warning(&self) -> Option<String> {
        let why = self.unlocked.as_ref()?;
        let path = self.path.display();
        Some(format!(
            "cannot lock `{path}` ({why}); make sure that no other process writes to it"
        ))
    }

    /// Writes a file of the run, which appears as a whole; ranks but 0 write nothing.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), TrainError> {
        match self.ranks.rank() {
            0 => Ok(write_bytes(&self.path.join(name), text)?),
            _ => Ok(()),
        }
    }

    /// Removes a file of the run, if there is one; ranks but 0 remove nothing.
    pub(crate) fn remove(&self, name: &str) -> Result<(), TrainError> {
        if self.ranks.rank() > 0 {
            return Ok(());
        }
        Ok(remove_file(&self.path.join(name))?)
    }

    /// Has `fill` write the checkpoint of `step` completed steps into an empty folder and keeps
    /// the newest `keep_last` and the best. Of a run that went back, the checkpoints that it went
    /// back from go first.
    ///
    /// # Errors
    ///
    /// [`TrainError::Checkpoint`] or [`TrainError::Io`] if it cannot be written; earlier
    /// checkpoints are left alone then.
    pub fn save(
        &self,
        step: u64,
        keep_last: usize,
        fill: impl FnOnce(&Path) -> Result<(), CheckpointError>,
    ) -> Result<(), TrainError> {
        write_folder(&self.checkpoint(step), fill)?;
        self.leave_behind_after(step)?;
        self.point(LATEST, step)?;
        self.remove_old(keep_last)
    }

    /// Makes sure that the disk can take the `bytes` of the checkpoint of `step`.
    pub(super) fn ensure_room(&self, step: u64, bytes: u64) -> Result<(), TrainError> {
        let room = ensure_room(&self.checkpoint(step), bytes);
        Ok(room.map_err(CheckpointError::from)?)
    }

    /// Points `best` at the checkpoint of `step`, which outlives `keep_last` from now on.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if the link cannot be written.
    pub fn mark_best(&self, step: u64, keep_last: usize) -> Result<(), TrainError> {
        self.point(BEST, step)?;
        self.remove_old(keep_last)
    }

    /// Lets the checkpoints of `steps` outlive `keep_last`, too: each was the best of scores that
    /// others cannot be compared with.
    pub(super) fn keep_also(&self, steps: BTreeSet<u64>) {
        *self.also_kept() = steps;
    }

    fn also_kept(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.also_kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Points `best` at the checkpoint of `step`, if there is one, and removes it otherwise.
    pub(super) fn point_best(&self, step: Option<u64>) -> Result<(), TrainError> {
        match step.filter(|&step| self.has(step)) {
            Some(step) => self.point(BEST, step),
            None => {
                let _ = fs::remove_file(self.link(BEST));
                Ok(())
            }
        }
    }

    /// The newest checkpoint and the one before it.
    pub fn newest_two(&self) -> Option<[PathBuf; 2]> {
        let newest = self.linked(LATEST)?;
        let before = self.steps().ok()?.into_iter().filter(|&step| step < newest);
        Some([newest, before.max()?].map(|step| self.checkpoint(step)))
    }

    /// A warning if there are checkpoints of more than `step` completed steps.
    pub(super) fn going_back(&self, step: u64) -> Option<String> {
        let later = self.steps().ok()?.into_iter().filter(|&it| it > step);
        let later: Vec<String> = later.map(|step| step.to_string()).collect();
        (self.ranks.rank() == 0 && !later.is_empty()).then(|| {
            let later = later.join(", ");
            format!(
                "the run goes back to step {step}; its checkpoints of later steps ({later}) make \
                 way for those to come"
            )
        })
    }

    /// Makes the checkpoint of `step` the newest, if there is one: a run may have gone back to it,
    /// and then none of a later step is its best.
    pub(super) fn go_on_from(&self, step: u64) -> Result<(), TrainError> {
        self.leave_behind_after(step)?;
        if self.linked(BEST).is_some_and(|best| best > step) {
            self.point_best(None)?;
        }
        match self.has(step) && self.linked(LATEST) != Some(step) {
            true => self.point(LATEST, step),
            false => Ok(()),
        }
    }

    /// The checkpoint of `step` is of the run, those of later steps are not any more.
    fn leave_behind_after(&self, step: u64) -> Result<(), TrainError> {
        let later = self.steps()?.into_iter().filter(|&it| it > step);
        let mut left_behind = self.left_behind();
        left_behind.remove(&step);
        left_behind.extend(later);
        Ok(())
    }

    fn left_behind(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.left_behind
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has the checkpoint of `step`.
    pub(super) fn has(&self, step: u64) -> bool {
        self.checkpoint(step).is_dir()
    }

    fn checkpoint(&self, step: u64) -> PathBuf {
        checkpoint(&self.path, step)
    }

    fn link(&self, name: &str) -> PathBuf {
        self.path.join(CHECKPOINTS).join(name)
    }

    fn point(&self, name: &str, step: u64) -> Result<(), TrainError> {
        let target = self.checkpoint(step);
        let name_of_target = target.file_name().expect("checkpoints have names");
        Ok(point_link(&self.link(name), Path::new(name_of_target))?)
    }

    /// The step that a link points at.
    fn linked(&self, name: &str) -> Option<u64> {
        step_of(&link_target(&self.link(name))?)
    }

    /// The steps of all checkpoints, ascending.
    fn steps(&self) -> Result<Vec<u64>, TrainError> {
        let folder = self.path.join(CHECKPOINTS);
        Ok(steps(&self.path).map_err(cannot("list", &folder))?)
    }

    fn remove_old(&self, keep_last: usize) -> Result<(), TrainError> {
        let (best, left_behind) = (self.linked(BEST), self.left_behind());
        let mut steps = self.steps()?;
        steps.sort_unstable_by_key(|step| (!left_behind.contains(step), *step));
        let also_kept = self.also_kept();
        let surplus = steps.len().saturating_sub(keep_last);
        let surplus = steps[..surplus].iter();
        let surplus = surplus.filter(|&&step| best != Some(step) && !also_kept.contains(&step));
        for &step in surplus {
            remove_folder(&self.checkpoint(step))?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        let untouched = self.ranks.rank() == 0 && names.all(|it| it == CHECKPOINTS || it == LOCK);
        // Folders that are not empty stay.
        if untouched && fs::remove_dir(self.path.join(CHECKPOINTS)).is_ok() {
            let _ = fs::remove_file(self.path.join(LOCK));
            if self.made {
                let _ = fs::remove_dir(&self.path);
            }
        }
    }
}

/// Whether only the run itself writes a file of this name into its directory.
fn is_of_runs(name: &str) -> bool {
    [".json", ".toml", ".csv"]
        .iter()
        .any(|kind| name.ends_with(kind))
}

/// A file system without locks is no reason not to train.
fn why_unlocked(taken: Result<(), fs::TryLockError>) -> Option<String> {
    taken.err().map(|error| match error {
        fs::TryLockError::Error(why) => why.to_string(),
        fs::TryLockError::WouldBlock => "it is locked".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn nothing_is_left_of_a_run_that_wrote_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        drop(Folder::open(&path).unwrap());
        assert!(!path.exists());

        fs::create_dir(&path).unwrap();
        drop(Folder::open(&path).unwrap());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);

        Folder::open(&path).unwrap().write("a", "b").unwrap();
        drop(Folder::open(&path).unwrap());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 3);

        let run = Folder::open(parent.path().join("other")).unwrap();
        run.save(1, 1, |_| Ok(())).unwrap();
        let kept = run.checkpoint(1);
        drop(run);
        assert!(kept.is_dir());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_run_goes_on_wherever_it_lies() {
        use std::os::unix::ffi::OsStrExt;

        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
        let run = Folder::open(&path).unwrap();
        run.save(1, 1, |_| Ok(())).unwrap();
        let found = run
            .start_from::<crate::Recipe>(&crate::run::Resume::Auto)
            .unwrap();
        assert_eq!(found, Some(run.checkpoint(1)));
    }

    #[test]
    fn a_file_system_without_locks_gives_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Folder::open(folder.path()).unwrap();
        assert_eq!(run.warning(), None);
        let none = io::Error::from(io::ErrorKind::Unsupported);
        run.unlocked = why_unlocked(Err(fs::TryLockError::Error(none)));
        let warning = run.warning().unwrap();
        assert!(warning.starts_with("cannot lock `"), "{warning}");
        assert_eq!(why_unlocked(Ok(())), None);
    }
}
