//! The directory of a run: what it holds, who may write it, what survives a kill.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use ijepa_model::{Checkpoint, checkpoint::TrainingState};

use crate::{
    best::Best,
    error::TrainError,
    hook::EpochScores,
    metrics::{HEADER, MetricsRow},
    monitor::Monitors,
    options::Resume,
    run_folder::{METRICS, RunFolder, io},
    step::Learner,
    tensorboard::EventFile,
};

const MONITORS: &str = "monitors.csv";
const EPOCHS: &str = "epochs.csv";

const MONITORS_HEADER: &str = "epoch,step,feature_std,patch_cosine,image_cosine,loss_ratio";
/// Columns are only ever added at the end: a resumed run may have an older header.
const EPOCHS_HEADER: &str = "epoch,step,rankme,knn,probe,rankme_centered,feature_std,alignment,\
uniformity,lidar";

/// A run directory that this process alone may write.
#[derive(Debug)]
pub struct RunDir {
    folder: RunFolder,
    tables: Option<Tables>,
}

#[derive(Debug)]
struct Tables {
    metrics: File,
    monitors: File,
    epochs: File,
    events: EventFile,
    best: Best,
}

impl RunDir {
    /// Takes hold of `path`, which is created if need be.
    ///
    /// # Errors
    ///
    /// [`TrainError::InUse`] if another process holds it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, TrainError> {
        Ok(Self {
            folder: RunFolder::open(path)?,
            tables: None,
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Opens the checkpoint that a run begins from, if it begins from one.
    ///
    /// # Errors
    ///
    /// [`TrainError::Exists`] if it holds a run that was not to be resumed,
    /// [`TrainError::Checkpoint`] if the checkpoint cannot be read.
    pub fn start_from(&self, resume: &Resume) -> Result<Option<Checkpoint>, TrainError> {
        let path = self.folder.start_from(resume)?;
        Ok(path.map(Checkpoint::open).transpose()?)
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
        self.folder.write("recipe.toml", recipe)?;
        self.folder
            .write("environment.json", &format!("{environment:#}\n"))?;
        self.tables = Some(Tables {
            metrics: self.folder.table(METRICS, HEADER, step)?,
            monitors: self.folder.table(MONITORS, MONITORS_HEADER, step)?,
            epochs: self.folder.table(EPOCHS, EPOCHS_HEADER, step + 1)?,
            events: EventFile::create(self.path(), step).map_err(io("write", self.path()))?,
            best: self.best_before()?,
        });
        Ok(())
    }

    /// The best epoch in the table as it was cut, to which `best` then points if its checkpoint
    /// is still there.
    fn best_before(&self) -> Result<Best, TrainError> {
        let best =
            Best::of_table(&fs::read_to_string(self.path().join(EPOCHS)).unwrap_or_default());
        self.folder.point_best(best.step)?;
        Ok(best)
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
        let path = self.path().join(METRICS);
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
        let path = self.path().join(EPOCHS);
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
        self.folder.mark_best(step, keep_last)
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
        let create = |target: &Path| learner.save(target, state);
        self.folder.save(step, keep_last, create)
    }
}
