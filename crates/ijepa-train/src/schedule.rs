//! Learning rate, weight decay and target momentum as pure functions of the step.
//!
//! A [`Schedules`] has no state, so a resumed run needs no replay. The rules are those of the
//! reference code, which differ in a detail: learning rate and weight decay advance before the
//! first update, so step 0 uses their second value, while the momentum starts with its first.

use std::f64::consts::PI;

use crate::recipe::{DecaySchedule, Recipe};

/// Images that learning rates are for where a recipe says `lr_is_base`.
const BASE_BATCH: f64 = 256.0;

/// What the learning rates of a recipe are multiplied by: `batch_size / 256` if they are for 256
/// images (linear scaling, Goyal et al. 2017), else 1.
pub fn lr_scale(lr_is_base: bool, batch_size: usize) -> f64 {
    match lr_is_base {
        true => batch_size as f64 / BASE_BATCH,
        false => 1.0,
    }
}

/// What the schedules depend on.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleConfig {
    /// Optimizer steps in an epoch, at least 1.
    pub steps_per_epoch: usize,
    /// Epochs of the run, at least 1.
    pub epochs: usize,
    /// Length of the linear warm-up in epochs.
    pub warmup_epochs: f64,
    /// Length of the schedules over the length of the run; above 1 the run ends before they do.
    pub ipe_scale: f64,
    /// Learning rate at the start of the warm-up.
    pub start_lr: f64,
    /// Peak learning rate.
    pub lr: f64,
    /// Learning rate at the end.
    pub final_lr: f64,
    /// Weight decay at the start.
    pub weight_decay: f64,
    /// Weight decay at the end; unused by a constant schedule.
    pub final_weight_decay: f64,
    /// Course of the weight decay.
    pub decay_schedule: DecaySchedule,
    /// Target momentum of the first step.
    pub ema_start: f64,
    /// Target momentum at the end of the linear ramp.
    pub ema_end: f64,
    /// Share of the schedules after which the terms beside the prediction are 0; 0 keeps them.
    pub anneal: f64,
}

impl ScheduleConfig {
    /// The schedules of a recipe whose steps per epoch are known.
    pub fn new(recipe: &Recipe, steps_per_epoch: usize) -> Self {
        let (optimizer, ema) = (&recipe.optimizer, &recipe.ema);
        let scale = lr_scale(optimizer.lr_is_base, recipe.run.batch_size);
        Self {
            steps_per_epoch,
            epochs: optimizer.epochs,
            warmup_epochs: optimizer.warmup_epochs,
            ipe_scale: optimizer.ipe_scale,
            start_lr: optimizer.start_lr * scale,
            lr: optimizer.lr * scale,
            final_lr: optimizer.final_lr * scale,
            weight_decay: optimizer.weight_decay,
            final_weight_decay: optimizer.final_weight_decay,
            decay_schedule: optimizer.weight_decay_schedule,
            ema_start: ema.start,
            ema_end: ema.end,
            anneal: recipe.objective.anneal,
        }
    }
}

/// The three schedules of a run; built by [`Schedules::new`].
///
/// Steps count from 0. All values are finite up to the last step of the run and meaningless
/// beyond it, as in the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedules {
    config: ScheduleConfig,
    /// Whole numbers, kept as the floats they are computed with.
    warmup_steps: f64,
    schedule_steps: f64,
}

impl Schedules {
    /// The schedules of `config`.
    ///
    /// # Panics
    ///
    /// Panics if the run has no step or `ipe_scale` is less than 1.
    pub fn new(config: ScheduleConfig) -> Self {
        assert!(
            config.steps_per_epoch > 0 && config.epochs > 0,
            "a run has at least one step"
        );
        assert!(
            config.ipe_scale >= 1.0,
            "schedules last at least as long as the run"
        );
        let steps_per_epoch = config.steps_per_epoch as f64;
        Self {
            warmup_steps: (config.warmup_epochs * steps_per_epoch).trunc(),
            schedule_steps: (config.ipe_scale * config.epochs as f64 * steps_per_epoch).trunc(),
            config,
        }
    }

    /// Learning rate at the end of the warm-up.
    pub fn peak_lr(&self) -> f64 {
        self.config.lr
    }

    /// Optimizer steps before the learning rate reaches its peak.
    pub fn warmup_steps(&self) -> u64 {
        self.warmup_steps as u64
    }

    /// Learning rate of the update at `step`.
    ///
    /// A line from `start_lr` to `lr` over the warm-up, then half a cosine to `final_lr`:
    /// with `t = step + 1`, warm-up `W` and length `T`, the cosine is at `(t - W) / (T - W)`.
    pub fn lr(&self, step: u64) -> f64 {
        let config = &self.config;
        let step = step as f64 + 1.0;
        if step < self.warmup_steps {
            let progress = step / self.warmup_steps.max(1.0);
            return config.start_lr + progress * (config.lr - config.start_lr);
        }
        let length = (self.schedule_steps - self.warmup_steps).max(1.0);
        let progress = (step - self.warmup_steps) / length;
        half_cosine(config.lr, config.final_lr, progress).max(config.final_lr)
    }

    /// Weight decay of the update at `step`, for parameters of more than one dimension.
    ///
    /// At `(step + 1) / T` between `weight_decay` and `final_weight_decay`, never beyond the
    /// latter. The reference has the cosine; the paper (appendix A.1) says linear.
    pub fn weight_decay(&self, step: u64) -> f64 {
        let config = &self.config;
        let (start, end) = (config.weight_decay, config.final_weight_decay);
        let progress = (step as f64 + 1.0) / self.schedule_steps;
        let value = match config.decay_schedule {
            DecaySchedule::Constant => return start,
            DecaySchedule::Cosine => half_cosine(start, end, progress),
            DecaySchedule::Linear => start + progress * (end - start),
        };
        if end <= start {
            value.max(end)
        } else {
            value.min(end)
        }
    }

    /// Momentum `m` of the target update after `step`: `target = m * target + (1 - m) * context`.
    ///
    /// `ema_start + step * (ema_end - ema_start) / T` with `T` not rounded, so a run stops one step
    /// short of `ema_end`.
    pub fn ema(&self, step: u64) -> f64 {
        let config = &self.config;
        let length = config.steps_per_epoch as f64 * config.epochs as f64 * config.ipe_scale;
        config.ema_start + step as f64 * (config.ema_end - config.ema_start) / length
    }

    /// What the weights of the objective's terms beside the prediction are multiplied by at `step`:
    /// half a cosine from 1 at step 0 to 0 after the share `anneal` of the schedules, then 0;
    /// always 1 if `anneal` is 0.
    pub fn terms(&self, step: u64) -> f64 {
        let length = self.config.anneal * self.schedule_steps;
        if length <= 0.0 {
            return 1.0;
        }
        half_cosine(1.0, 0.0, (step as f64 / length).min(1.0))
    }
}

/// A linear warm-up from 0 and half a cosine to `min_lr`, as MAE fine-tunes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmupCosine {
    /// Peak learning rate.
    pub lr: f64,
    /// Learning rate at the end.
    pub min_lr: f64,
    /// Epochs before the peak.
    pub warmup_epochs: f64,
    /// Epochs of the run.
    pub epochs: f64,
}

impl WarmupCosine {
    /// Learning rate of an update at `epoch`, the share of the current epoch that is over included.
    ///
    /// With warm-up `W` and length `E`: `lr e / W` before `W`, then the cosine at
    /// `(e - W) / (E - W)`.
    pub fn at(&self, epoch: f64) -> f64 {
        if epoch < self.warmup_epochs {
            return self.lr * epoch / self.warmup_epochs;
        }
        let length = self.epochs - self.warmup_epochs;
        half_cosine(self.lr, self.min_lr, (epoch - self.warmup_epochs) / length)
    }
}

/// From `start` at progress 0 to `end` at progress 1.
pub fn half_cosine(start: f64, end: f64, progress: f64) -> f64 {
    end + (start - end) * 0.5 * (1.0 + (PI * progress).cos())
}
