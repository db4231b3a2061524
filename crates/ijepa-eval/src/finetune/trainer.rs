//! The loop of fine-tuning.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Tensor};
use ijepa_data::{Loader, Skipped};
use ijepa_model::Classifier;
use ijepa_train::{
    Clock, RunFolder, RunSpan, StepRow, TrainError, TrainOptions, first_not_finite,
    recipe::Settings,
};

use super::{
    EpochAccuracy, FinetuneData, FinetuneError, FinetunePlan,
    batch::Batches,
    checkpoint,
    evaluate::evaluate,
    learner::{Learner, StepOutput, StepSettings},
    log::Tables,
};
use crate::{accuracy::Accuracy, features::ExtractConfig};

/// What a run says while it lasts.
#[derive(Debug, Clone, PartialEq)]
pub enum FinetuneEvent {
    /// It goes on from a checkpoint.
    Resumed {
        /// Completed steps.
        step: u64,
        /// Keys that change what is learned: name, value of the checkpoint, value now.
        changed: Vec<(String, String, String)>,
    },
    /// A step was logged.
    Step(StepRow),
    /// The test images were classified.
    Evaluated(EpochAccuracy),
}

/// What a finished or stopped run reports.
#[derive(Debug, Clone)]
pub struct FinetuneSummary {
    /// Completed steps, those before a resumption included.
    pub steps: u64,
    /// Completed epochs.
    pub epochs: u64,
    /// Accuracy of the last weights; `None` if the run was interrupted.
    pub accuracy: Option<Accuracy>,
    /// The epoch with the best top-1 accuracy, the first of equals.
    pub best: Option<EpochAccuracy>,
    /// Loss of the last logged step of this process.
    pub loss: Option<f64>,
    /// Training images per second of this process, without the first step.
    pub images_per_s: f64,
    /// Time of this process.
    pub elapsed: Duration,
    /// Images that could not be read, training images first.
    pub skipped: Vec<Skipped>,
    /// Whether the run was told to stop before its end.
    pub interrupted: bool,
}

/// Trains a classifier, as [`FinetunePlan::classifier`] begins it, on labels and judges it after
/// each epoch.
///
/// Everything random is a function of the seed, the step and the place in the batch, so a run
/// that is resumed, in passes of any size and with any number of workers, sees the same numbers.
///
/// # Errors
///
/// Any [`FinetuneError`]; checkpoints already written stay valid.
pub fn finetune(
    plan: &FinetunePlan,
    fresh: Classifier,
    data: &FinetuneData,
    run: &RunFolder,
    device: &Device,
    options: &TrainOptions,
    mut tell: impl FnMut(FinetuneEvent),
) -> Result<(FinetuneSummary, Classifier), FinetuneError> {
    let mut trainer = Trainer::start(plan, fresh, data, run, device, options, &mut tell)?;
    let mut span = RunSpan::begin(options, plan.total_steps);
    while span.goes_on(trainer.step) {
        trainer.train_step(&mut tell)?;
    }
    trainer.save_if_needed()?;
    trainer.finish(&span)
}

struct Trainer<'a> {
    plan: &'a FinetunePlan,
    data: &'a FinetuneData,
    run: &'a RunFolder,
    device: Device,
    workers: usize,
    batches: Batches<'a>,
    loader: Loader,
    learner: Learner,
    tables: Tables,
    step: u64,
    saved_step: Option<u64>,
    clock: Clock,
    loss: Option<f64>,
    skipped: Vec<Skipped>,
}

impl<'a> Trainer<'a> {
    fn start(
        plan: &'a FinetunePlan,
        fresh: Classifier,
        data: &'a FinetuneData,
        run: &'a RunFolder,
        device: &Device,
        options: &TrainOptions,
        tell: &mut impl FnMut(FinetuneEvent),
    ) -> Result<Self, FinetuneError> {
        let normalization = fresh.normalization();
        let from = run.start_from(&options.resume)?;
        let (learner, step) = match &from {
            Some(path) => {
                let (learner, step, changed) = checkpoint::open(path, plan, data, &fresh, device)?;
                tell(FinetuneEvent::Resumed { step, changed });
                (learner, step)
            }
            None => (checkpoint::learner(plan, fresh, device), 0),
        };
        let loader = plan.loader(options.workers, step)?;
        let loader = Loader::new(data.train().clone(), loader)?;
        run.write("finetune.toml", &plan.recipe.to_toml())?;
        run.write("environment.json", &format!("{:#}\n", options.environment))?;
        Ok(Self {
            plan,
            data,
            run,
            device: device.clone(),
            workers: options.workers,
            batches: Batches {
                plan,
                normalization,
                classes: data.classes().len(),
                device: device.clone().autodiff(),
            },
            loader,
            learner,
            tables: Tables::open(run, step)?,
            step,
            saved_step: from.map(|_| step),
            clock: Clock::start(),
            loss: None,
            skipped: Vec::new(),
        })
    }

    /// Loads a batch, trains on it, logs, evaluates and saves as the recipe says.
    fn train_step(&mut self, tell: &mut impl FnMut(FinetuneEvent)) -> Result<(), FinetuneError> {
        let waiting = Instant::now();
        let batch = self.loader.next_batch()?;
        self.clock.waited(waiting.elapsed());

        let indices = batch.indices.iter();
        let labels: Vec<u32> = indices.map(|&index| self.data.label(index)).collect();
        let optimizer = &self.plan.recipe.optimizer;
        let settings = StepSettings {
            lr: self.plan.lr(self.step),
            weight_decay: optimizer.weight_decay,
            clip_grad: optimizer.clip_grad,
        };
        let passes = self.batches.passes(&batch, &labels);
        let output = self.learner.step(passes, settings);
        let run = &self.plan.recipe.run;
        self.clock.stepped(run.batch_size);

        let last = self.step + 1 == self.plan.total_steps;
        if last || self.step.is_multiple_of(run.log_every_steps as u64) {
            tell(FinetuneEvent::Step(self.log(&output, settings.lr)?));
        }
        self.step += 1;
        match self.end_epoch() {
            Ok(found) => found
                .into_iter()
                .for_each(|found| tell(FinetuneEvent::Evaluated(found))),
            Err(error) => {
                // The epoch's steps were fine.
                self.save_if_needed()?;
                return Err(error);
            }
        }
        let every = match run.checkpoint_every_steps as u64 {
            0 => self.plan.steps_per_epoch,
            every => every,
        };
        if last || self.step.is_multiple_of(every) {
            self.save_if_needed()?;
        }
        Ok(())
    }

    /// Reads what the step measured; the only place that waits for the device.
    fn log(&mut self, output: &StepOutput, lr: f64) -> Result<StepRow, FinetuneError> {
        let scalar = |value: &Tensor<1>| f64::from(value.clone().into_scalar::<f32>());
        let (loss, grad_norm) = (scalar(&output.loss), scalar(&output.grad_norm));
        if !loss.is_finite() || !grad_norm.is_finite() {
            let what = || "the loss or its gradient".to_owned();
            let tensor = first_not_finite(&self.learner.classifier).unwrap_or_else(what);
            return Err(diverged(self.step, tensor));
        }
        let row = StepRow {
            epoch: self.step / self.plan.steps_per_epoch,
            step: self.step,
            images: (self.step + 1) * self.plan.recipe.run.batch_size as u64,
            loss,
            lr,
            times: self.clock.lap(),
            grad_norm,
        };
        self.loss = Some(loss);
        self.tables.steps.log(&row)?;
        Ok(row)
    }

    /// Classifies the test images if an epoch has ended that is to be evaluated.
    fn end_epoch(&mut self) -> Result<Option<EpochAccuracy>, FinetuneError> {
        let epoch = self.step / self.plan.steps_per_epoch;
        let every = self.plan.recipe.run.eval_every_epochs as u64;
        let ended = self.step.is_multiple_of(self.plan.steps_per_epoch);
        let due = epoch.is_multiple_of(every) || self.step == self.plan.total_steps;
        if !ended || !due {
            return Ok(None);
        }
        let found = EpochAccuracy {
            epoch,
            step: self.step,
            accuracy: self.evaluate()?,
        };
        self.tables.log_epoch(found)?;
        Ok(Some(found))
    }

    fn evaluate(&mut self) -> Result<Accuracy, FinetuneError> {
        let config = ExtractConfig {
            preprocess: self.plan.preprocess(),
            batch_size: self.plan.eval_batch(),
            workers: self.workers,
            ..ExtractConfig::default()
        };
        let (classifier, test) = (&self.learner.classifier, self.data.test());
        let (accuracy, skipped) = evaluate(classifier, test.as_ref(), &config, &self.device)?;
        self.skipped = skipped;
        Ok(accuracy)
    }

    fn save_if_needed(&mut self) -> Result<(), FinetuneError> {
        if self.saved_step != Some(self.step) {
            if let Some(tensor) = first_not_finite(&self.learner.classifier) {
                return Err(diverged(self.step.saturating_sub(1), tensor));
            }
            let keep = self.plan.recipe.run.keep_last;
            self.run.save(self.step, keep, |path| {
                checkpoint::save(path, &self.learner, self.plan, self.step)
            })?;
            self.saved_step = Some(self.step);
        }
        Ok(())
    }

    fn finish(mut self, span: &RunSpan) -> Result<(FinetuneSummary, Classifier), FinetuneError> {
        let elapsed = span.elapsed();
        let last = self.tables.accuracies.last();
        let accuracy = match last {
            Some(last) if last.step == self.step => Some(last.accuracy),
            _ if span.interrupted() => None,
            _ => Some(self.evaluate()?),
        };
        let best = self.tables.accuracies.iter().copied();
        let best = best.reduce(
            |best, found| match found.accuracy.top1 > best.accuracy.top1 {
                true => found,
                false => best,
            },
        );
        let summary = FinetuneSummary {
            steps: self.step,
            epochs: self.step / self.plan.steps_per_epoch,
            accuracy,
            best,
            loss: self.loss,
            images_per_s: self.clock.overall(),
            elapsed,
            skipped: [self.loader.skipped(), &self.skipped].concat(),
            interrupted: span.interrupted(),
        };
        Ok((summary, self.learner.classifier))
    }
}

fn diverged(step: u64, tensor: String) -> FinetuneError {
    TrainError::Diverged { step, tensor }.into()
}
