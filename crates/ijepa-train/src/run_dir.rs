//! The directory of a run: what it holds, who may write it, what survives a kill.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use ijepa_model::{Checkpoint, checkpoint::TrainingState};

use crate::{
    best::Best,
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
const BEST: &str = "best";
const LOCK: &str = "lock";

const MONITORS_HEADER: &str = "epoch,step,feature_std,patch_cosine,image_cosine,loss_ratio";
/// Columns are only ever added at the end: a resumed run may have an older header.
const EPOCHS_HEADER: &str = "epoch,step,rankme,knn,probe,rankme_centered,feature_std,alignment,\
uniformity,lidar";

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
    best: Best,
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
            best: self.best_before()?,
        });
        Ok(())
    }

    /// The best epoch in the table as it was cut, to which `best` then points if its checkpoint
    /// is still there.
    fn best_before(&self) -> Result<Best, TrainError> {
        let best = Best::of_table(&fs::read_to_string(self.path.join(EPOCHS)).unwrap_or_default());
        let folder = self.path.join(CHECKPOINTS);
        let name = best.step.map(|step| format!("step-{step}"));
        match name.filter(|name| folder.join(name).is_dir()) {
            Some(name) => link(&folder, BEST, &name)?,
            None => {
                let _ = fs::remove_file(folder.join(BEST));
            }
        }
        Ok(best)
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
        let rows = kept.split_once('\n').map_or("", |(_, rows)| rows);
        let text = format!("{header}\n{rows}");
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

    /// Appends the scores of an epoch that ended before `step`, and says whether they are the best
    /// so far: by kNN if any epoch has it, else by effective rank.
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
    ) -> Result<bool, TrainError> {
        let path = self.path.join(EPOCHS);
        let columns = scores.columns();
        let cells = columns.map(|(_, score)| score.map_or(String::new(), |s| s.to_string()));
        let events = columns.map(|(name, score)| Some((format!("eval/{name}"), score?)));
        let events = events.iter().flatten();
        let events = events.map(|(name, score)| (name.as_str(), *score));
        let tables = self.tables();
        writeln!(tables.epochs, "{epoch},{step},{}", cells.join(","))
            .and_then(|()| tables.events.scalars(step, events))
            .map_err(io("write", &path))?;
        Ok(tables.best.take_in(step, scores))
    }

    /// Points `best` at the checkpoint of `step`, which outlives `keep_last` from now on.
    ///
    /// # Errors
    ///
    /// [`TrainError::Io`] if the link cannot be written.
    pub fn mark_best(&self, step: u64, keep_last: usize) -> Result<(), TrainError> {
        let folder = self.path.join(CHECKPOINTS);
        link(&folder, BEST, &format!("step-{step}"))?;
        self.remove_old(&folder, keep_last)
    }

    /// Writes the checkpoint of `step` completed steps and keeps the newest `keep_last`
    /// and the best.
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
        link(&folder, LATEST, &name)?;
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
        let best = fs::read_link(folder.join(BEST)).map(|name| folder.join(name));
        let surplus = steps.len().saturating_sub(keep_last);
        for (_, path) in &steps[..surplus] {
            if best.as_ref().ok() != Some(path) {
                fs::remove_dir_all(path).map_err(io("remove", path))?;
            }
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

/// Points `link` at `name` in one step.
fn link(folder: &Path, link: &str, name: &str) -> Result<(), TrainError> {
    let unfinished = folder.join(format!(".{link}.tmp"));
    let link = folder.join(link);
    let _ = fs::remove_file(&unfinished);
    std::os::unix::fs::symlink(name, &unfinished)
        .and_then(|()| fs::rename(&unfinished, &link))
        .map_err(io("link", &link))
}
