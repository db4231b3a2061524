//! The directory of a run: what it holds, who may write it, what survives a kill.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use ijepa_model::{Checkpoint, checkpoint::TrainingState};

use crate::{
    error::TrainError,
    hook::EpochScores,
    metrics::{HEADER, MetricsRow, rows_before},
    monitor::Monitors,
    step::Learner,
    tensorboard::EventFile,
};

const METRICS: &str = "metrics.csv";
const MONITORS: &str = "monitors.csv";
const EPOCHS: &str = "epochs.csv";
const CHECKPOINTS: &str = "checkpoints";
const LATEST: &str = "latest";
const LOCK: &str = "lock";

const MONITORS_HEADER: &str = "epoch,step,feature_std,patch_cosine,image_cosine,loss_ratio";
const EPOCHS_HEADER: &str = "epoch,step,rankme,knn,probe";

/// A run directory that this process alone may write.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    tables: Option<Tables>,
    /// Held until the process ends, however it ends.
    _lock: File,
}

#[derive(Debug)]
struct Tables {
    metrics: File,
    monitors: File,
    epochs: File,
    events: EventFile,
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
    move |source| TrainError::Io {
        action,
        path: path.into(),
        source,
    }
}

impl RunDir {
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
                remove_unfinished(&checkpoints)?;
                Ok(Self {
                    path,
                    tables: None,
                    _lock: lock,
                })
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
    pub fn latest(&self) -> Option<PathBuf> {
        let latest = self.path.join(CHECKPOINTS).join(LATEST);
        latest.is_dir().then_some(latest)
    }

    /// Whether it holds a run already.
    pub fn is_used(&self) -> bool {
        self.latest().is_some() || self.path.join(METRICS).exists()
    }

    /// Writes what describes the run and opens its tables, cut back to before `step`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if a file cannot be written.
    pub fn begin(
        &mut self,
        recipe: &str,
        environment: &serde_json::Value,
        step: u64,
    ) -> Result<(), TrainError> {
        self.write("recipe.toml", recipe)?;
        self.write("environment.json", &format!("{environment:#}\n"))?;
        self.tables = Some(Tables {
            metrics: self.table(METRICS, HEADER, step)?,
            monitors: self.table(MONITORS, MONITORS_HEADER, step)?,
            epochs: self.table(EPOCHS, EPOCHS_HEADER, step + 1)?,
            events: EventFile::create(&self.path, step).map_err(io("write", &self.path))?,
        });
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), TrainError> {
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

    fn table(&self, name: &str, header: &str, step: u64) -> Result<File, TrainError> {
        let path = self.path.join(name);
        let kept = match fs::read_to_string(&path) {
            Ok(text) => rows_before(&text, step),
            Err(_) => String::new(),
        };
        let text = if kept.is_empty() {
            format!("{header}\n")
        } else {
            kept
        };
        self.write(name, &text)?;
        OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(io("open", &path))
    }

    fn tables(&mut self) -> &mut Tables {
        self.tables.as_mut().expect("a run begins before it logs")
    }

    /// Appends a logged step.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if a file cannot be written.
    ///
    /// # Panics
    ///
    /// Panics before [`begin`](Self::begin).
    pub fn log(&mut self, row: &MetricsRow, monitors: &Monitors) -> Result<(), TrainError> {
        let path = self.path.join(METRICS);
        let tables = self.tables();
        let Monitors {
            feature_std,
            patch_cosine,
            image_cosine,
            loss_ratio,
        } = *monitors;
        let line = format!(
            "{},{},{feature_std},{patch_cosine},{image_cosine},{loss_ratio}",
            row.epoch, row.step
        );
        let events = row.scalars().into_iter().chain([
            ("monitors/patch_cosine", patch_cosine),
            ("monitors/image_cosine", image_cosine),
            ("monitors/loss_ratio", loss_ratio),
        ]);
        writeln!(tables.metrics, "{}", row.to_csv())
            .and_then(|()| writeln!(tables.monitors, "{line}"))
            .and_then(|()| tables.events.scalars(row.step, events))
            .map_err(io("write", &path))
    }

    /// Appends the scores of an epoch that ended before `step`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if a file cannot be written.
    ///
    /// # Panics
    ///
    /// Panics before [`begin`](Self::begin).
    pub fn log_epoch(
        &mut self,
        epoch: u64,
        step: u64,
        scores: &EpochScores,
    ) -> Result<(), TrainError> {
        let path = self.path.join(EPOCHS);
        let columns = [scores.rankme, scores.knn, scores.probe];
        let cells = columns.map(|score| score.map_or(String::new(), |score| score.to_string()));
        let names = ["eval/rankme", "eval/knn", "eval/probe"];
        let events = names
            .into_iter()
            .zip(columns)
            .filter_map(|(name, s)| Some((name, s?)));
        let tables = self.tables();
        writeln!(tables.epochs, "{epoch},{step},{}", cells.join(","))
            .and_then(|()| tables.events.scalars(step, events))
            .map_err(io("write", &path))
    }

    /// Writes the checkpoint of `step` completed steps and keeps the newest `keep_last`.
    ///
    /// # Errors
    ///
    /// [`TrainError::Checkpoint`] or [`TrainError::Io`] if it cannot be written; earlier
    /// checkpoints are left alone then.
    pub fn save(
        &self,
        learner: &Learner,
        state: &TrainingState,
        step: u64,
        keep_last: usize,
    ) -> Result<(), TrainError> {
        let folder = self.path.join(CHECKPOINTS);
        let name = format!("step-{step}");
        let target = folder.join(&name);
        if target.exists() {
            // A resumed run may reach a step again that was saved but not yet linked.
            fs::remove_dir_all(&target).map_err(io("replace", &target))?;
        }
        learner.save(&target, state)?;
        link_latest(&folder, &name)?;
        self.remove_old(&folder, keep_last)
    }

    fn remove_old(&self, folder: &Path, keep_last: usize) -> Result<(), TrainError> {
        let mut steps: Vec<(u64, PathBuf)> = fs::read_dir(folder)
            .map_err(io("list", folder))?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let step = path
                    .file_name()?
                    .to_str()?
                    .strip_prefix("step-")?
                    .parse()
                    .ok()?;
                Some((step, path))
            })
            .collect();
        steps.sort_unstable();
        let surplus = steps.len().saturating_sub(keep_last);
        for (_, path) in &steps[..surplus] {
            fs::remove_dir_all(path).map_err(io("remove", path))?;
        }
        Ok(())
    }

    /// Opens the newest checkpoint.
    ///
    /// # Errors
    ///
    /// [`TrainError::Checkpoint`] if it cannot be read.
    pub fn open_latest(&self) -> Result<Option<Checkpoint>, TrainError> {
        Ok(self.latest().map(Checkpoint::open).transpose()?)
    }
}

/// Removes the checkpoints that killed processes were writing; the lock says that nobody is.
fn remove_unfinished(folder: &Path) -> Result<(), TrainError> {
    for entry in fs::read_dir(folder).map_err(io("list", folder))? {
        let path = entry.map_err(io("list", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(".step-") && name.ends_with(".tmp") {
            fs::remove_dir_all(&path).map_err(io("remove", &path))?;
        }
    }
    Ok(())
}

/// Points `latest` at `name` in one step.
fn link_latest(folder: &Path, name: &str) -> Result<(), TrainError> {
    let link = folder.join(LATEST);
    let unfinished = folder.join(".latest.tmp");
    let _ = fs::remove_file(&unfinished);
    std::os::unix::fs::symlink(name, &unfinished)
        .and_then(|()| fs::rename(&unfinished, &link))
        .map_err(io("link", &link))
}
