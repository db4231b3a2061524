//! The training loop.

use std::{sync::Arc, time::Instant};

use burn::tensor::{Device, Tensor};
use ijepa_data::{Batch, Loader, LoaderConfig, Source};
use ijepa_masking::{MaskGroup, MaskRng};
use ijepa_model::{MaskTensors, Normalization, StochasticDepth, checkpoint::TrainingState};

use crate::{
    clock::Clock,
    error::TrainError,
    finite::first_not_finite,
    hook::{EpochScores, Hook, HookError},
    metrics::MetricsRow,
    monitor::Monitors,
    options::{TrainOptions, TrainSummary},
    plan::PretrainPlan,
    recipe::OnCollapse,
    resume,
    run_dir::RunDir,
    run_span::RunSpan,
    step::{GroupBatch, Learner, StepOutput, StepSettings},
};

/// Pretrains an encoder: the loop around [`Learner::step`].
///
/// # Errors
///
/// Any [`TrainError`]; checkpoints already written stay valid.
pub fn pretrain(
    plan: &PretrainPlan,
    source: Arc<dyn Source>,
    run: &mut RunDir,
    device: &Device,
    options: &TrainOptions,
    hooks: &mut [&mut dyn Hook],
) -> Result<(TrainSummary, Learner), TrainError> {
    let mut trainer = Trainer::start(plan, source, run, device, options, hooks)?;
    let mut span = RunSpan::begin(options, plan.total_steps);
    while span.goes_on(trainer.step) {
        let last = span.ends_with(trainer.step + 1);
        trainer.train_step(last, hooks)?;
    }
    trainer.save_if_needed()?;
    trainer.finish(&span, hooks)
}

struct Trainer<'a> {
    plan: &'a PretrainPlan,
    run: &'a mut RunDir,
    device: Device,
    loader: Loader,
    learner: Learner,
    step: u64,
    saved_step: Option<u64>,
    clock: Clock,
    /// The first and the last that were measured.
    losses: Option<[f64; 2]>,
    /// Of the last step, if it was not measured.
    pending_loss: Option<Tensor<1>>,
    /// What the checkpoint says that the run goes on from.
    resumed_loss: Option<f64>,
    monitors: Option<Monitors>,
    /// What hooks measured, and after how many steps.
    scores: Option<(u64, EpochScores)>,
}

impl<'a> Trainer<'a> {
    fn start(
        plan: &'a PretrainPlan,
        source: Arc<dyn Source>,
        run: &'a mut RunDir,
        device: &Device,
        options: &TrainOptions,
        hooks: &mut [&mut dyn Hook],
    ) -> Result<Self, TrainError> {
        let checkpoint = run.start_from(&options.resume)?;
        let (learner, step) = match &checkpoint {
            Some(checkpoint) => {
                let learner = resume::learner(plan, checkpoint, device)?;
                let from = resume::resumption(plan, checkpoint)?;
                for hook in hooks.iter_mut() {
                    hook.on_resume(&from).map_err(TrainError::Hook)?;
                }
                (learner, from.step)
            }
            None => (resume::fresh(plan, device), 0),
        };
        let loader = Loader::new(source, loader_config(plan, options, step))?;
        run.begin(&plan.recipe.to_toml(), &options.environment, step)?;
        Ok(Self {
            plan,
            run,
            device: device.clone().autodiff(),
            loader,
            learner,
            step,
            saved_step: checkpoint.as_ref().map(|_| step),
            clock: Clock::start(),
            losses: None,
            pending_loss: None,
            resumed_loss: checkpoint.and_then(|checkpoint| checkpoint.state.loss),
            monitors: None,
            scores: None,
        })
    }

    /// Loads a batch, trains on it, logs, evaluates and saves as the recipe says; the last step
    /// of a process is measured even if it is not logged.
    fn train_step(&mut self, last: bool, hooks: &mut [&mut dyn Hook]) -> Result<(), TrainError> {
        let waiting = Instant::now();
        let batch = self.loader.next_batch()?;
        self.clock.waited(waiting.elapsed());

        let masks = self.masks();
        let settings = self.settings();
        let groups = self.groups(&batch, &masks);
        let output = self.learner.step(groups, settings);
        self.clock.stepped(self.plan.recipe.run.batch_size);

        let every = self.plan.recipe.run.log_every_steps as u64;
        let logged = self.step.is_multiple_of(every) || self.step + 1 == self.plan.total_steps;
        if logged {
            self.log(&output, &masks, settings, hooks)?;
        } else if last {
            self.measure(&output, &masks)?;
        }
        self.step += 1;
        if logged || last {
            self.pending_loss = None;
            self.stop_if_collapsed()?;
        } else {
            self.pending_loss = Some(output.loss);
        }
        if let Err(error) = self.end_epoch(hooks) {
            // The epoch's steps were fine.
            self.save_if_needed()?;
            return Err(error);
        }
        let every = self.plan.recipe.run.checkpoint_every_steps as u64;
        let every = if every == 0 {
            self.plan.steps_per_epoch
        } else {
            every
        };
        if self.step.is_multiple_of(every) || self.step == self.plan.total_steps {
            self.save_if_needed()?;
        }
        Ok(())
    }

    /// The masks of every group of this step.
    fn masks(&self) -> Vec<MaskGroup> {
        let (seed, group_size) = (
            self.plan.recipe.run.seed,
            self.plan.recipe.mask_group_size(),
        );
        let groups = self.plan.recipe.run.batch_size / group_size;
        (0..groups as u64)
            .map(|group| {
                let rng = &mut MaskRng::for_group(seed, self.step, group);
                self.plan.sampler.sample(group_size, rng)
            })
            .collect()
    }

    fn settings(&self) -> StepSettings {
        let schedules = &self.plan.schedules;
        StepSettings {
            lr: schedules.lr(self.step),
            weight_decay: schedules.weight_decay(self.step),
            ema: schedules.ema(self.step),
            clip_grad: self.plan.recipe.optimizer.clip_grad,
            groups_per_pass: (self.plan.recipe.run.micro_batch
                / self.plan.recipe.mask_group_size())
            .max(1),
        }
    }

    /// Moves the groups to the device one by one, when the step asks for them.
    fn groups<'b>(
        &self,
        batch: &'b Batch,
        masks: &'b [MaskGroup],
    ) -> impl Iterator<Item = GroupBatch> + use<'b> {
        let [height, width] = self.plan.model.encoder.image_size;
        let group_size = self.plan.recipe.mask_group_size();
        let drops = self.plan.model.encoder.drop_path > 0.0;
        let (seed, step, device) = (self.plan.recipe.run.seed, self.step, self.device.clone());
        let chunks = batch.images.chunks_exact(group_size * height * width * 3);
        chunks
            .zip(masks)
            .enumerate()
            .map(move |(group, (bytes, masks))| GroupBatch {
                images: Normalization::IMAGENET.images(bytes, [group_size, height, width], &device),
                masks: MaskTensors::new(masks, &device),
                depth: drops.then(|| StochasticDepth::for_group(seed, step, group as u64)),
            })
    }

    /// Writes down what the step measured and tells the hooks.
    fn log(
        &mut self,
        output: &StepOutput,
        masks: &[MaskGroup],
        settings: StepSettings,
        hooks: &mut [&mut dyn Hook],
    ) -> Result<(), TrainError> {
        let ([loss, grad_norm], monitors) = self.measure(output, masks)?;
        let row = self.row(loss, grad_norm, monitors.feature_std, masks, settings);
        self.run.log(&row, &monitors)?;
        for hook in hooks.iter_mut() {
            hook.on_log(&row, &monitors).map_err(TrainError::Hook)?;
        }
        Ok(())
    }

    /// Reads loss, gradient norm and monitors; the only place that waits for the device.
    fn measure(
        &mut self,
        output: &StepOutput,
        masks: &[MaskGroup],
    ) -> Result<([f64; 2], Monitors), TrainError> {
        let (loss, grad_norm) = (scalar(&output.loss), scalar(&output.grad_norm));
        if !loss.is_finite() || !grad_norm.is_finite() {
            let what = if loss.is_finite() {
                "the gradient norm"
            } else {
                "the loss"
            };
            let tensor = first_not_finite(&self.learner.model).unwrap_or_else(|| what.to_owned());
            let step = self.step;
            return Err(TrainError::Diverged { step, tensor });
        }
        let last = masks.last().expect("a step has at least one group");
        let monitors = Monitors::measure(output, last, self.learner.objective.loss, loss);
        self.saw(loss);
        self.monitors = Some(monitors);
        Ok(([loss, grad_norm], monitors))
    }

    fn saw(&mut self, loss: f64) {
        self.losses = Some([self.losses.map_or(loss, |[first, _]| first), loss]);
    }

    /// Saves and ends the run if the step just logged was collapsed and the recipe says so.
    fn stop_if_collapsed(&mut self) -> Result<(), TrainError> {
        let collapse = self.monitors.and_then(|monitors| monitors.collapse());
        match collapse {
            Some(reason) if self.plan.recipe.run.on_collapse == OnCollapse::Stop => {
                self.save_if_needed()?;
                Err(TrainError::Collapsed {
                    step: self.step - 1,
                    reason,
                })
            }
            _ => Ok(()),
        }
    }

    fn row(
        &mut self,
        loss: f64,
        grad_norm: f64,
        feature_std: f64,
        masks: &[MaskGroup],
        settings: StepSettings,
    ) -> MetricsRow {
        let groups = masks.len() as f64;
        let patches = |kept: fn(&MaskGroup) -> usize| {
            masks.iter().map(|group| kept(group) as f64).sum::<f64>() / groups
        };
        MetricsRow {
            epoch: self.step / self.plan.steps_per_epoch,
            step: self.step,
            images: (self.step + 1) * self.plan.recipe.run.batch_size as u64,
            loss,
            lr: settings.lr,
            weight_decay: settings.weight_decay,
            ema: settings.ema,
            context_patches: patches(|group| group.contexts[0].kept()),
            target_patches: patches(|group| group.targets[0].kept()),
            times: self.clock.lap(),
            grad_norm,
            feature_std,
        }
    }

    fn end_epoch(&mut self, hooks: &mut [&mut dyn Hook]) -> Result<(), TrainError> {
        let every = self.plan.recipe.run.eval_every_epochs as u64;
        let every = every.saturating_mul(self.plan.steps_per_epoch);
        if hooks.is_empty() || !self.step.is_multiple_of(every) {
            return Ok(());
        }
        let epoch = self.step / self.plan.steps_per_epoch - 1;
        let learner = &self.learner;
        let scores = all_scores(hooks, |hook| hook.on_epoch(epoch, learner))?;
        self.scores = Some((self.step, scores));
        if self.run.log_epoch(epoch, self.step, &scores)? {
            self.save_if_needed()?;
            let keep_last = self.plan.recipe.run.keep_last;
            self.run.mark_best(self.step, keep_last)?;
        }
        Ok(())
    }

    fn save_if_needed(&mut self) -> Result<(), TrainError> {
        if self.saved_step == Some(self.step) {
            return Ok(());
        }
        if let Some(tensor) = first_not_finite(&self.learner.model) {
            let step = self.step.saturating_sub(1);
            return Err(TrainError::Diverged { step, tensor });
        }
        let recipe = &self.plan.recipe;
        let state = TrainingState {
            step: Some(self.step),
            epoch: self.step / self.plan.steps_per_epoch,
            seed: Some(recipe.run.seed),
            recipe: Some(recipe.to_toml()),
            loss: self.losses.map(|[_, last]| last),
            lr: Some(recipe.optimizer.lr),
            batch_size: Some(recipe.run.batch_size as u64),
            loader: Some(serde_json::json!({ "next_step": self.loader.next_step() })),
            ..TrainingState::default()
        };
        self.run
            .save(&self.learner, &state, self.step, recipe.run.keep_last)?;
        self.saved_step = Some(self.step);
        Ok(())
    }

    /// The result of the run, with scores of where it ended unless it was told to stop.
    fn finish(
        mut self,
        span: &RunSpan,
        hooks: &mut [&mut dyn Hook],
    ) -> Result<(TrainSummary, Learner), TrainError> {
        let elapsed = span.elapsed();
        let images = self.step * self.plan.recipe.run.batch_size as u64;
        let scores = match self.scores {
            Some((step, scores)) if step == self.step || span.interrupted() => scores,
            None if span.interrupted() => EpochScores::default(),
            _ => all_scores(hooks, |hook| hook.on_end(images, &self.learner))?,
        };
        if let Some(loss) = self.pending_loss.take() {
            self.saw(scalar(&loss));
        }
        let untouched = self.resumed_loss.unwrap_or(f64::NAN);
        let [loss_first, loss_last] = self.losses.unwrap_or([untouched; 2]);
        let summary = TrainSummary {
            steps: self.step,
            images,
            loss_first,
            loss_last,
            images_per_s: self.clock.overall(),
            elapsed,
            feature_std: self
                .monitors
                .map_or(f64::NAN, |monitors| monitors.feature_std),
            scores,
            collapse: self.monitors.and_then(|monitors| monitors.collapse()),
            skipped: self.loader.skipped().to_vec(),
            interrupted: span.interrupted(),
        };
        Ok((summary, self.learner))
    }
}

/// What all hooks measure; the first that has a score gives it.
fn all_scores(
    hooks: &mut [&mut dyn Hook],
    measure: impl Fn(&mut dyn Hook) -> Result<EpochScores, HookError>,
) -> Result<EpochScores, TrainError> {
    let mut scores = EpochScores::default();
    for hook in hooks.iter_mut() {
        scores = scores.or(measure(*hook).map_err(TrainError::Hook)?);
    }
    Ok(scores)
}

fn scalar(value: &Tensor<1>) -> f64 {
    f64::from(value.clone().into_scalar::<f32>())
}

fn loader_config(plan: &PretrainPlan, options: &TrainOptions, step: u64) -> LoaderConfig {
    LoaderConfig {
        batch_size: plan.recipe.run.batch_size,
        seed: plan.recipe.run.seed,
        start_step: step,
        workers: options.workers,
        augment: plan.augment.clone(),
        max_bad_fraction: plan.recipe.data.max_bad_fraction,
    }
}
