//! The loop.

mod begin;
mod save;
mod step;

use std::{collections::HashSet, ops::Range, path::Path, sync::Arc, thread::scope};

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use ijepa_data::{Fingerprint, Loader, Skipped};
use ijepa_model::checkpoint::TrainingState;

use super::{
    agreement::agreed,
    clock::Clock,
    folder::Folder,
    losses::Losses,
    observer::{Observer, Position},
    options::{TrainOptions, TrainSummary},
    row::{Columns, PROCESSES, Row},
    span::{Next, Reason, Span},
    tables::Tables,
    task::{Measured, Rhythm, Task},
    writer::Writer,
};
use crate::{device::is_cpu, error::TrainError, gradients::Summation, ranks::Ranks};

/// Carries out a run in `folder`, together with the ranks of the folder: each computes its share of
/// every step, and rank 0 does everything else. `start` makes the task of a checkpoint, with the
/// state that it was saved with, or else of nothing.
///
/// # Errors
///
/// Any [`TrainError`], and whatever `start` returns; checkpoints already written stay valid.
pub fn train<T: Task, E: From<TrainError>>(
    folder: &Folder,
    options: &TrainOptions,
    observers: &mut [&mut dyn Observer<T::Learner>],
    start: impl FnOnce(Option<&Path>) -> Result<(T, TrainingState), E>,
) -> Result<(TrainSummary, T), E> {
    let from = folder.start_from::<T::Settings>(&options.resume)?;
    let (task, state) = start(from.as_deref())?;
    let from = from.as_deref();
    let run = scope(move |scope| {
        Run::begin(task, from, state, folder, options, observers, scope)?.go_on()
    });
    Ok(run?)
}

/// Where the task computes.
fn device<T: Task>(task: &T) -> Device {
    task.network().devices().swap_remove(0).inner()
}

/// Has ranks get ready to add up gradients on their GPUs, where their order is free; a warning if
/// that will be slower than it could be.
fn prepared<T: Task>(task: &T, ranks: &dyn Ranks) -> Option<String> {
    let device = device(task);
    let running = task.rhythm().summation == Summation::Running;
    let on_gpus = ranks.size() > 1 && running && !is_cpu(&device);
    on_gpus.then(|| ranks.prepare(&device)).flatten()
}

/// A run as far as it is.
struct Run<'s, 'e, 'o, T: Task> {
    task: T,
    rhythm: Rhythm,
    ranks: Arc<dyn Ranks>,
    /// The passes of each step that are this rank's.
    passes: Range<usize>,
    folder: &'s Folder,
    writer: Writer<'s, 'e>,
    observers: &'s mut [&'o mut dyn Observer<T::Learner>],
    span: Span,
    loader: Loader,
    data: Fingerprint,
    /// Of rank 0.
    tables: Option<Tables>,
    clock: Clock,
    losses: Losses,
    /// Completed steps, and the images that they have seen.
    step: u64,
    images: u64,
    saved: Option<u64>,
    evaluated: Option<u64>,
    /// Images that the last evaluation could not read.
    unread: Vec<Skipped>,
    /// Completed steps when this process began.
    began: u64,
    /// What the last step saw, until it is measured or the next begins.
    seen: Option<(T::Seen, Tensor<1>)>,
    /// Loss and gradient norm of the last step, until they are logged or the next begins.
    unlogged: Option<[f64; 2]>,
    measured: Option<Measured>,
    /// Whether it did when it was last logged.
    looks_collapsed: bool,
    logged: Option<Row>,
    /// Loss of the checkpoint that the run goes on from.
    resumed_loss: Option<f64>,
    /// Whether gradients are looked at before they are used: on a CPU, where that costs next to
    /// nothing, and where steps may be left out.
    watches: bool,
    /// Steps left out since the last that was made.
    left_out: u32,
}

impl<'s, 'e, 'o, T: Task> Run<'s, 'e, 'o, T> {
    /// Says and writes down a warning about the next step.
    fn warn(&mut self, warning: &str) -> Result<(), TrainError> {
        self.observers
            .iter_mut()
            .for_each(|o| o.on_warning(warning));
        match &mut self.tables {
            Some(tables) => Ok(tables.warned(self.step, warning)?),
            None => Ok(()),
        }
    }

    /// Whether this is rank 0, which does what is done once.
    fn leads(&self) -> bool {
        self.ranks.rank() == 0
    }

    /// Carries it out.
    fn go_on(mut self) -> Result<(TrainSummary, T), TrainError> {
        match self.make_steps() {
            Ok(reason) => self.end(reason),
            Err(error) => {
                self.finish_writing();
                Err(error)
            }
        }
    }

    /// Makes steps until there is a reason to stop.
    fn make_steps(&mut self) -> Result<Reason, TrainError> {
        let reason = loop {
            self.save_if_due()?;
            self.evaluate_if_due()?;
            match agreed(self.ranks.as_ref(), self.wish()) {
                Next::Step => self.train_step()?,
                Next::Save => self.save_now()?,
                Next::Stop(reason) => break reason,
            }
        };
        self.save_now()?;
        Ok(reason)
    }

    /// What this rank would do next.
    fn wish(&self) -> Next {
        match self.collapsed() {
            Err(_) => Next::Stop(Reason::Collapsed),
            Ok(()) => self.span.decide(self.step),
        }
    }

    fn position(&self) -> Position {
        Position {
            step: self.step,
            images: self.images,
            epochs: self.step / self.rhythm.steps_per_epoch,
        }
    }

    /// Writes down the step just made and tells the observers.
    fn log(&mut self) -> Result<(), TrainError> {
        self.measure()?;
        let Some([loss, grad_norm]) = self.unlogged.take() else {
            return Ok(());
        };
        let measured = self.measured.as_ref().expect("it was measured");
        let step = self.step - 1;
        let row = |columns| Row {
            epoch: Some(step / self.rhythm.steps_per_epoch),
            step,
            columns,
        };
        // Hundredths are enough of what no two runs have in common.
        let rounded = |(name, value): (_, f64)| (name, (100.0 * value).round() / 100.0);
        let [times @ .., communication] = self.clock.lap().map(rounded);
        let processes = self.ranks.size();
        let of_several = [communication, (PROCESSES, processes as f64)];
        let of_several = of_several.into_iter().filter(|_| processes > 1);
        let columns = Columns::of([("images", self.images as f64), ("loss", loss)])
            .or(measured.settings.clone())
            .or(Columns::of(times))
            .or(Columns::of([("grad_norm", grad_norm)]))
            .or(measured.signals.clone())
            .or(Columns::of([("loss_mean", self.losses.end_row())]))
            .or(Columns::of(of_several));
        let logged = row(columns);
        if let Some(tables) = &mut self.tables {
            tables.log(&logged, &row(measured.monitors.clone()))?;
        }
        for observer in self.observers.iter_mut() {
            observer.on_log(&logged, measured);
        }
        self.logged = Some(logged);
        self.warn_of_collapse()
    }

    /// Says once that the run looks collapsed, and again if it does after it did not.
    fn warn_of_collapse(&mut self) -> Result<(), TrainError> {
        let collapse = self.measured.as_ref().and_then(|it| it.collapse.clone());
        let did = std::mem::replace(&mut self.looks_collapsed, collapse.is_some());
        match collapse.filter(|_| !did) {
            Some(reason) => self.warn(&format!("this run looks collapsed: {reason}")),
            None => Ok(()),
        }
    }

    /// Reads loss and gradient norm of the last step and what it saw, unless that was done; the
    /// only place that waits for the device.
    fn measure(&mut self) -> Result<(), TrainError> {
        if let Some(ago) = self.losses.settle() {
            return Err(self.diverged(ago, "the loss"));
        }
        let Some((seen, grad_norm)) = self.seen.take() else {
            return Ok(());
        };
        let loss = self.losses.last.unwrap_or(f64::NAN);
        let grad_norm = f64::from(grad_norm.into_scalar::<f32>());
        if !grad_norm.is_finite() {
            return Err(self.diverged(1, "the gradient norm"));
        }
        self.measured = Some(self.task.measure(self.step - 1, &seen, loss));
        self.unlogged = Some([loss, grad_norm]);
        Ok(())
    }

    /// The error of a run in which `found` is not finite, of the step `ago` steps ago; the first
    /// tensor of which that is true by now says more.
    fn diverged(&self, ago: u64, found: &str) -> TrainError {
        TrainError::Diverged {
            step: self.step.saturating_sub(ago),
            tensor: self
                .task
                .first_not_finite()
                .unwrap_or_else(|| found.to_owned()),
        }
    }

    /// An error if the last measured step was collapsed and the settings say to stop then.
    fn collapsed(&self) -> Result<(), TrainError> {
        let collapse = self.measured.as_ref().and_then(|it| it.collapse.clone());
        match collapse.filter(|_| self.rhythm.stop_if_collapsed) {
            Some(reason) => Err(TrainError::Collapsed {
                step: self.step.saturating_sub(1),
                reason,
            }),
            None => Ok(()),
        }
    }

    /// The result of the run, with scores of where it ended unless it was told to stop.
    fn end(mut self, reason: Reason) -> Result<(TrainSummary, T), TrainError> {
        let elapsed = self.span.elapsed();
        // What was saved is on the disk, however the run ends.
        let saved = self.writer.finish();
        // Wherever a run ends, its tables say so; if it goes on, they forget that row.
        self.log()?;
        saved?;
        self.collapsed()?;
        if reason == Reason::Collapsed {
            // Rank 0, which measures, says of what.
            return Err(TrainError::OtherRank { rank: 0 });
        }
        if reason != Reason::Asked && self.leads() {
            self.evaluate()?;
        }
        self.writer.finish()?;
        let interrupted = agreed(self.ranks.as_ref(), self.wish()) == Next::Stop(Reason::Asked);
        let measured = self.measured.unwrap_or_default();
        let known = self.tables.as_ref().and_then(Tables::known_collapse);
        let collapse = measured
            .collapse
            .or(known.filter(|_| self.step == self.began));
        let earlier = self.tables.as_ref().map(|it| it.earlier.clone());
        let earlier = earlier.unwrap_or_default();
        let logged = self.logged.or(earlier.last);
        let trained = earlier.elapsed + self.clock.spent();
        let device_time = earlier.device_time + self.clock.spent() * self.ranks.size() as u32;
        let made = self.step - self.began;
        let speed = match (made, self.clock.overall()) {
            (0, _) => Some(self.images as f64 / trained.as_secs_f64()),
            // Of a single step nothing but its row says how fast it was.
            (_, 0.0) => logged.as_ref().and_then(|row| row.get("images_per_s")),
            (_, speed) => Some(speed),
        };
        let known = |loss: Option<f64>| loss.or(self.resumed_loss).unwrap_or(f64::NAN);
        let mut skipped = self.loader.skipped().to_vec();
        let mut listed: HashSet<String> = skipped.iter().map(|it| it.path.clone()).collect();
        let unread = self.unread.into_iter();
        skipped.extend(unread.filter(|image| listed.insert(image.path.clone())));
        let summary = TrainSummary {
            steps: self.step,
            steps_made: made,
            images: self.images,
            loss_first: known(earlier.loss_first.or(self.losses.first)),
            loss_last: known(self.losses.last),
            images_per_s: speed.filter(|speed| speed.is_finite()).unwrap_or(0.0),
            elapsed,
            trained,
            device_time,
            logged,
            signals: measured.signals,
            evaluations: self.tables.map_or_else(Vec::new, |it| it.evaluations),
            collapse,
            skipped,
            interrupted,
        };
        Ok((summary, self.task))
    }
}
