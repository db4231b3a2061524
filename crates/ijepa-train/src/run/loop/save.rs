//! What is saved and measured between the steps of the loop.

use ijepa_model::checkpoint::TrainingState;

use super::Run;
use crate::{
    error::TrainError,
    ranks::told,
    recipe::Settings,
    run::{
        differences::LoaderState,
        row::{Columns, Row},
        span::{Next, Reason},
        task::Task,
    },
};

impl<T: Task> Run<'_, '_, '_, T> {
    /// What ends a run without a fault of the weights leaves a checkpoint of them, if it can.
    pub(super) fn or_save<R>(&mut self, result: Result<R, TrainError>) -> Result<R, TrainError> {
        if result.is_err()
            && let Err(other) = self.save().and_then(|()| self.writer.finish())
        {
            let warning = format!("step {} could not be saved: {other}", self.step);
            // It matters less than what ends the run.
            drop(self.warn(&warning));
        }
        result
    }

    /// As [`or_save`](Self::or_save), of files of the run: the weights have no fault then. Where
    /// saving takes all ranks there is nobody to do it with.
    pub(super) fn or_save_files<R>(
        &mut self,
        result: Result<R, TrainError>,
    ) -> Result<R, TrainError> {
        let of_files = matches!(&result, Err(TrainError::Io(_) | TrainError::Checkpoint(_)));
        match of_files && !self.task.optimizer().is_shared() {
            true => self.or_save(result),
            false => result,
        }
    }

    /// As [`or_save_files`](Self::or_save_files), of a checkpoint in the background.
    fn or_save_again(&mut self, written: Result<(), TrainError>) -> Result<(), TrainError> {
        if written.is_err() {
            // What was to be saved is not.
            self.saved = None;
        }
        self.or_save_files(written)
    }

    /// Waits for the checkpoint in the background of a run that ends with an error, and says if it
    /// could not be written.
    pub(super) fn finish_writing(&mut self) {
        if let Err(other) = self.writer.finish() {
            // It matters less than what ends the run.
            drop(self.warn(&format!("a checkpoint could not be written: {other}")));
        }
    }

    pub(super) fn save_if_due(&mut self) -> Result<(), TrainError> {
        let written = self.writer.check();
        self.or_save_again(written)?;
        let every = self.rhythm.keeping.every_steps(self.rhythm.steps_per_epoch);
        // What begins from another run's checkpoint has none of its own to go on from.
        let has_none = self.step == self.began && self.saved.is_none();
        let due = has_none || self.step.is_multiple_of(every);
        match (due && self.step > 0) || self.step == self.rhythm.total_steps {
            true => self.save_now(),
            false => Ok(()),
        }
    }

    /// As [`save`](Self::save), also if the checkpoint before could not be written.
    pub(super) fn save_now(&mut self) -> Result<(), TrainError> {
        let saved = self.save();
        self.or_save_files(saved)
    }

    /// Has rank 0 begin to write a checkpoint, unless there is one of this step or it would not be
    /// finite. Ranks that share moments call it together.
    fn save(&mut self) -> Result<(), TrainError> {
        self.span.saved(self.step);
        let (leads, shared) = (self.leads(), self.task.optimizer().is_shared());
        if self.saved == Some(self.step) || !(leads || shared) {
            return Ok(());
        }
        let ready = self.ready_to_save();
        // Whoever waits for the moments of others must not wait in vain.
        let all = if shared {
            told(self.ranks.as_ref(), &ready.is_ok())
        } else {
            Vec::new()
        };
        let failed = all.iter().position(|ready| !ready);
        ready.and_then(|()| failed.map_or(Ok(()), |rank| Err(TrainError::OtherRank { rank })))?;
        if !leads {
            self.saved = Some(self.step);
            drop(self.task.optimizer().named_moments(self.task.network()));
            return Ok(());
        }
        let state = TrainingState {
            step: Some(self.step),
            epoch: self.position().epochs,
            images: Some(self.images),
            seed: Some(self.rhythm.seed),
            recipe: Some(self.task.settings().to_toml()),
            own_parts: self
                .task
                .own_parts()
                .iter()
                .map(|&part| part.into())
                .collect(),
            loss: self.losses.last.or(self.resumed_loss),
            losses: self.losses.read.clone(),
            lr: self.rhythm.lr,
            batch_size: Some(self.rhythm.batch_size),
            loader: Some(LoaderState::json(self.step, &self.data)),
            ..TrainingState::default()
        };
        if let Some(tables) = self.tables.as_mut().filter(|_| self.step > self.began) {
            tables.forget_end()?;
        }
        let snapshot = self.task.snapshot(state)?;
        self.folder.ensure_room(self.step, snapshot.bytes())?;
        let (folder, step, keep_last) = (self.folder, self.step, self.rhythm.keeping.keep_last);
        self.writer.start(move |pace| {
            folder.save(step, keep_last, |folder| {
                snapshot.write_paced(folder, |bytes| pace.wait(bytes))
            })
        })?;
        self.saved = Some(step);
        Ok(())
    }

    /// Waits for the checkpoint before, since there is never more than one in memory, and makes
    /// sure that the weights are finite.
    fn ready_to_save(&mut self) -> Result<(), TrainError> {
        self.measure()?;
        self.clock.stop();
        let step = self.step.saturating_sub(1);
        match self.task.first_not_finite() {
            Some(tensor) => Err(TrainError::Diverged { step, tensor }),
            None => self.writer.finish(),
        }
    }

    pub(super) fn evaluate_if_due(&mut self) -> Result<(), TrainError> {
        let every = self.rhythm.eval_every_epochs;
        let every = every.saturating_mul(self.rhythm.steps_per_epoch);
        if !self.step.is_multiple_of(every) {
            return Ok(());
        }
        if self.task.optimizer().is_shared() && self.step > 0 {
            // Rank 0, which evaluates, cannot save alone.
            self.save_now()?;
        }
        match self.wish() {
            Next::Stop(Reason::Asked | Reason::Collapsed) => Ok(()),
            _ if self.leads() => self.evaluate(),
            _ => Ok(()),
        }
    }

    /// Has the observers measure what is trained, unless they have at this step, and keeps it if
    /// it is the best so far.
    pub(super) fn evaluate(&mut self) -> Result<(), TrainError> {
        if self.evaluated.replace(self.step) == Some(self.step) {
            return Ok(());
        }
        self.measure()?;
        self.clock.stop();
        // An epoch is saved before it is evaluated.
        let written = self.writer.finish();
        self.or_save_again(written)?;
        let (at, learner) = (self.position(), self.task.learner());
        let mut observers = self.observers.iter_mut();
        let scores = observers.try_fold(Columns::default(), |scores, observer| {
            let found = observer.measure(&at, learner, self.span.stop());
            Ok(scores.or(found.map_err(TrainError::Evaluation)?))
        });
        self.unread = self.observers.iter().flat_map(|it| it.skipped()).collect();
        if let Some(tables) = &mut self.tables {
            let listed = tables.skipped(&self.unread).map_err(TrainError::from);
            self.or_save_files(listed)?;
        }
        let scores = match self.task.optimizer().is_shared() {
            true => scores,
            false => self.or_save(scores),
        }?;
        if scores.is_empty() {
            return Ok(());
        }
        let whole = self.step.is_multiple_of(self.rhythm.steps_per_epoch);
        let row = Row {
            epoch: at.epochs.checked_sub(1).filter(|_| whole),
            step: self.step,
            columns: scores,
        };
        for observer in self.observers.iter_mut() {
            observer.on_scores(&row);
        }
        let Some(tables) = &mut self.tables else {
            return Ok(());
        };
        let written = tables.evaluated(row).map_err(TrainError::from);
        let is_best = tables.best(T::BEST_BY) == Some(self.step);
        self.or_save_files(written)?;
        if is_best {
            self.save_now()?;
            let written = self.writer.finish();
            self.or_save_again(written)?;
            self.folder
                .mark_best(self.step, self.rhythm.keeping.keep_last)?;
        }
        Ok(())
    }
}
