//! A directory that one process at a time writes: lock, tables, checkpoints that appear as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use ijepa_model::CheckpointError;

use crate::{error::TrainError, metrics::rows_before, options::Resume};

/// The table of logged steps, which every run has.
pub(crate) const METRICS: &str = "metrics.csv";
const CHECKPOINTS: &str = "checkpoints";
const LATEST: &str = "latest";
const BEST: &str = "best";
const LOCK: &str = "lock";
/// Ends the hidden name of a checkpoint while another of the same step is written.
const REPLACED: &str = ".replaced";

/// A directory that this process alone may write.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held until the process ends, however it ends.
    _lock: File,
}

/// Turns an IO error into ours: `map_err(io("open", path))`.
pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    move |source| TrainError::Io {
        action,
        path: path.into(),
        source,
    }
}

impl RunFolder {
    /// Takes hold of `path`, which is created if need be.
    ///
    /// # Errors
    ///
    /// [`TrainError::InUse`] if another process holds it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        let path = path.into();
        let checkpoints = path.join(CHECKPOINTS);
        fs::create_dir_all(&checkpoints).map_err(io("create", &checkpoints))?;
        let lock_path = path.join(LOCK);
        let lock = File::create(&lock_path).map_err(io("create", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {
                clean_up(&checkpoints)?;
                Ok(Self { path, _lock: lock })
            }
            Err(fs::TryLockError::WouldBlock) => Err(TrainError::InUse { path }),
            Err(fs::TryLockError::Error(source)) => Err(io("lock", &lock_path)(source)),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest checkpoint, if there is one.
    fn latest(&self) -> Option<PathBuf> {
        let latest = self.path.join(CHECKPOINTS).join(LATEST);
        latest.is_dir().then_some(latest)
    }

    /// Whether it holds a run already.
    fn is_used(&self) -> bool {
        self.latest().is_some() || self.path.join(METRICS).exists()
    }

    /// The checkpoint that a run begins from, if it begins from one.
    ///
    /// # Errors
    ///
    /// [`TrainError::Exists`] if it holds a run that was not to be resumed.
    pub fn start_from(&self, resume: &Resume) -> Result<Option<PathBuf>, TrainError> {
        match resume {
            Resume::Auto => Ok(self.latest()),
            Resume::Never if self.is_used() => Err(TrainError::Exists {
                path: self.path.clone(),
            }),
            Resume::Never => Ok(None),
            Resume::File(path) => Ok(Some(path.clone())),
        }
    }

    /// Writes a file, which appears as a whole.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), TrainError> {
        let path = self.path.join(name);
        let unfinished = self.path.join(format!(".{name}.tmp"));
        File::create(&unfinished)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(io("write", &path))
    }

    /// Opens a table of comma-separated values, cut back to the rows whose second column, the
    /// step, is before `step`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if it cannot be written.
    pub fn table(&self, name: &str, header: &str, step: u64) -> Result<File, TrainError> {
        let path = self.path.join(name);
        let kept = match fs::read_to_string(&path) {
            Ok(text) => rows_before(&text, step),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io("read", &path)(error)),
        };
        let rows = kept.split_once('\n').map_or("", |(_, rows)| rows);
        let text = format!("{header}\n{rows}");
        self.write(name, &text)?;
        OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(io("open", &path))
    }

    /// Points `best` at the checkpoint of `step`, if there is one, and removes it otherwise.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if the link cannot be written.
    pub fn point_best(&self, step: Option<u64>) -> Result<(), TrainError> {
        let folder = self.path.join(CHECKPOINTS);
        let name = step.map(|step| format!("step-{step}"));
        match name.filter(|name| folder.join(name).is_dir()) {
            Some(name) => link(&folder, BEST, &name),
            None => {
                let _ = fs::remove_file(folder.join(BEST));
                Ok(())
            }
        }
    }

    /// Points `best` at the checkpoint of `step`, which outlives `keep_last` from now on.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if the link cannot be written.
    pub fn mark_best(&self, step: u64, keep_last: usize) -> Result<(), TrainError> {
        let folder = self.path.join(CHECKPOINTS);
        link(&folder, BEST, &format!("step-{step}"))?;
        remove_old(&folder, keep_last)
    }

    /// Has `create` make the checkpoint of `step` completed steps and keeps the newest
    /// `keep_last` and the best. Of a run that went back, checkpoints of steps that it has yet to
    /// reach again go first.
    ///
    /// # Errors
    ///
    /// [`TrainError::Checkpoint`] or [`TrainError::Io`] if it cannot be written; earlier
    /// checkpoints are left alone then.
    pub fn save(
        &self,
        step: u64,
        keep_last: usize,
        create: impl FnOnce(&Path) -> Result<(), CheckpointError>,
    ) -> Result<(), TrainError> {
        let folder = self.path.join(CHECKPOINTS);
        let name = format!("step-{step}");
        let target = folder.join(&name);
        replace(&target, create)?;
        link(&folder, LATEST, &name)?;
        remove_old(&folder, keep_last)
    }
}

/// Has `create` make a folder; one that is there already stays until the new one is complete.
fn replace(
    target: &Path,
    create: impl FnOnce(&Path) -> Result<(), CheckpointError>,
) -> Result<(), TrainError> {
    if !target.exists() {
        return Ok(create(target)?);
    }
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let aside = target.with_file_name(format!(".{name}{REPLACED}"));
    fs::rename(target, &aside).map_err(io("replace", target))?;
    let created = create(target);
    match created {
        Ok(()) => fs::remove_dir_all(&aside).map_err(io("remove", &aside))?,
        Err(_) => fs::rename(&aside, target).map_err(io("restore", target))?,
    }
    Ok(created?)
}

fn step_of(name: &Path) -> Option<u64> {
    name.file_name()?
        .to_str()?
        .strip_prefix("step-")?
        .parse()
        .ok()
}

fn remove_old(folder: &Path, keep_last: usize) -> Result<(), TrainError> {
    let linked = |link: &str| fs::read_link(folder.join(link)).ok();
    let (best, latest) = (linked(BEST), linked(LATEST));
    let reached = latest.as_deref().and_then(step_of).unwrap_or(u64::MAX);
    let mut steps: Vec<(bool, u64, PathBuf)> = fs::read_dir(folder)
        .map_err(io("list", folder))?
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let step = step_of(&path)?;
            Some((step <= reached, step, path))
        })
        .collect();
    steps.sort_unstable();
    let surplus = steps.len().saturating_sub(keep_last);
    for (_, _, path) in &steps[..surplus] {
        if best.as_deref() != path.file_name().map(Path::new) {
            fs::remove_dir_all(path).map_err(io("remove", path))?;
        }
    }
    Ok(())
}

/// Removes the checkpoints that killed processes were writing, and puts back those that they were
/// about to replace; the lock says that nobody is.
fn clean_up(folder: &Path) -> Result<(), TrainError> {
    for entry in fs::read_dir(folder).map_err(io("list", folder))? {
        let path = entry.map_err(io("list", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(name) = name
            .strip_prefix('.')
            .filter(|name| name.starts_with("step-"))
        else {
            continue;
        };
        let replaced = name.strip_suffix(REPLACED).map(|name| folder.join(name));
        if let Some(target) = replaced.filter(|target| !target.exists()) {
            fs::rename(&path, &target).map_err(io("restore", &target))?;
        } else {
            fs::remove_dir_all(&path).map_err(io("remove", &path))?;
        }
    }
    Ok(())
}

/// Points `link` at `name` in one step.
fn link(folder: &Path, link: &str, name: &str) -> Result<(), TrainError> {
    let unfinished = folder.join(format!(".{link}.tmp"));
    let link = folder.join(link);
    let _ = fs::remove_file(&unfinished);
    std::os::unix::fs::symlink(name, &unfinished)
        .and_then(|()| fs::rename(&unfinished, &link))
        .map_err(io("link", &link))
}
