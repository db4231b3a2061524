//! Which checkpoint a run begins from, also in folders that were copied, moved or left halfway.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ijepa_model::{
    checkpoint::{Moments, TrainingState, run_folder},
    files::{cannot, remove_folder},
};

use super::{BEST, CHECKPOINTS, Folder, LATEST};
use crate::{
    error::TrainError,
    recipe::Settings,
    run::{files::METRICS, options::Resume, tables},
};

impl Folder {
    /// The checkpoint that a run with settings `S` begins from, if it begins from one; all ranks
    /// ask together.
    ///
    /// # Errors
    ///
    /// Of rank 0, which decides:
    /// [`TrainError::OtherKind`] if it holds a run with other settings than `S`,
    /// [`TrainError::Exists`] if it holds a run that was not to be resumed,
    /// [`TrainError::OtherRun`] if it holds another run than the checkpoint's,
    /// [`TrainError::Unclear`] if it does not say where its run is.
    pub fn start_from<S: Settings>(&self, resume: &Resume) -> Result<Option<PathBuf>, TrainError> {
        let own = match self.ranks.rank() {
            0 => {
                self.check_kind(S::FILE)?;
                self.checkpoint_to_start_from(resume)?
            }
            _ => None,
        };
        let said = own.as_ref().map(|path| path.to_string_lossy());
        let said = serde_json::to_vec(&said).expect("it is a text");
        let decided: Option<PathBuf> =
            serde_json::from_slice(&self.ranks.gather(&said)[0]).expect("rank 0 wrote it");
        // Not every path is a text.
        Ok(own.or(decided))
    }

    fn checkpoint_to_start_from(&self, resume: &Resume) -> Result<Option<PathBuf>, TrainError> {
        match resume {
            Resume::Never if self.is_used()? => Err(TrainError::Exists {
                path: self.path.clone(),
            }),
            Resume::Never => Ok(None),
            Resume::Auto => self.latest(),
            Resume::File(path) if self.holds(path) || !path.exists() || !self.is_used()? => {
                self.settle_copies()?;
                // A run directory stands for its newest checkpoint.
                let holds = |folder: &Path| folder.join(TrainingState::FILE).is_file();
                Ok(run_folder::find(path, holds).or_else(|| Some(path.clone())))
            }
            Resume::File(path) => Err(TrainError::OtherRun {
                path: path.clone(),
                run: self.path.clone(),
            }),
        }
    }

    /// Checks that a run that it holds is described by the file `settings`, if by any.
    fn check_kind(&self, settings: &'static str) -> Result<(), TrainError> {
        if !self.is_used()? || self.path.join(settings).exists() {
            return Ok(());
        }
        let entries = fs::read_dir(&self.path).map_err(cannot("list", &self.path))?;
        let mut names = entries.flatten().map(|entry| entry.file_name());
        let other = names.find(|name| Path::new(name).extension().is_some_and(|it| it == "toml"));
        match other {
            Some(found) => Err(TrainError::OtherKind {
                path: self.path.clone(),
                found: found.to_string_lossy().into_owned(),
                settings,
            }),
            None => Ok(()),
        }
    }

    /// Whether it holds a run already.
    fn is_used(&self) -> Result<bool, TrainError> {
        let logged = self.path.join(METRICS).exists();
        Ok(logged || self.link(LATEST).is_dir() || !self.steps()?.is_empty())
    }

    /// Whether `path` is a checkpoint of this run.
    fn holds(&self, path: &Path) -> bool {
        let inside = || {
            let (path, run) = (
                fs::canonicalize(path).ok()?,
                fs::canonicalize(&self.path).ok()?,
            );
            Some(path.starts_with(run))
        };
        inside().unwrap_or(false)
    }

    /// The newest checkpoint, if there is one: the one that `latest` points at, or without it the
    /// complete one of the most steps.
    fn latest(&self) -> Result<Option<PathBuf>, TrainError> {
        self.settle_copies()?;
        let linked = self.linked(LATEST).filter(|&step| self.has(step));
        let steps = self.steps()?;
        if steps.is_empty() || linked.is_some() {
            return Ok(linked.map(|step| self.checkpoint(step)));
        }
        let complete = steps.iter().rev().copied();
        let complete = complete.filter(|&step| is_complete(&self.checkpoint(step), step));
        match complete.into_iter().next() {
            Some(step) if !self.is_abandoned(step) => {
                self.point(LATEST, step)?;
                Ok(Some(self.checkpoint(step)))
            }
            _ => Err(TrainError::Unclear {
                path: self.path.join(CHECKPOINTS),
            }),
        }
    }

    /// Whether the rows of the run end long before `step`, because it went back from there.
    fn is_abandoned(&self, step: u64) -> bool {
        let logged = tables::last_two_logged(&self.path);
        logged.is_some_and(|[before, last]| {
            step.saturating_sub(last) > last.saturating_sub(before).saturating_add(1)
        })
    }

    /// Makes links again of what a copy that followed links has made of them.
    fn settle_copies(&self) -> Result<(), TrainError> {
        for name in [LATEST, BEST] {
            let copy = self.link(name);
            if !copy.is_dir() || copy.is_symlink() {
                continue;
            }
            let state = TrainingState::open(&copy.join(TrainingState::FILE))?;
            let step = state
                .step
                .ok_or_else(|| TrainError::Unclear { path: copy.clone() })?;
            match is_complete(&self.checkpoint(step), step) {
                true => remove_folder(&copy)?,
                false => {
                    let target = self.checkpoint(step);
                    if target.exists() {
                        remove_folder(&target)?;
                    }
                    fs::rename(&copy, &target).map_err(cannot("rename", &copy))?;
                }
            }
            self.point(name, step)?;
        }
        Ok(())
    }
}

/// Whether a folder is the whole checkpoint of `step`.
fn is_complete(folder: &Path, step: u64) -> bool {
    let state = TrainingState::open(&folder.join(TrainingState::FILE));
    let of_step = state.is_ok_and(|state| state.step == Some(step));
    of_step && (step == 0 || folder.join(Moments::FILE).is_file())
}
