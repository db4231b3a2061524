//! Pretraining as a task of the loop.

use std::{ops::Range, path::Path, sync::Arc};

use burn::tensor::{Device, Tensor};
use ijepa_data::{Batch, Loader, LoaderConfig, Source};
use ijepa_masking::{MaskGroup, MaskRng};
use ijepa_model::{
    CheckpointError, GroupSeed, IJepa, Normalization, VisionTransformerPredictor,
    checkpoint::{Snapshot, TrainingState},
};

use crate::{
    adamw::{AdamW, AdamWConfig},
    error::TrainError,
    finite::first_not_finite,
    gradients::SumOfGradients,
    monitor::{Monitors, scalar},
    plan::PretrainPlan,
    recipe::{OnCollapse, Recipe},
    run::{
        self, Columns, Folder, Gradients, Measured, Observer, Rhythm, Task, TrainOptions,
        TrainSummary, described_decoding,
    },
    step::{GroupBatch, Learner, StepSettings},
};

mod start;
mod views;

use start::started;

/// Pretrains an encoder in `folder`, watched and measured by `observers`.
///
/// # Errors
///
/// Any [`TrainError`]; checkpoints already written stay valid.
pub fn pretrain(
    plan: &PretrainPlan,
    source: Arc<dyn Source>,
    folder: &Folder,
    device: &Device,
    options: &TrainOptions,
    observers: &mut [&mut dyn Observer<Learner>],
) -> Result<(TrainSummary, Learner), TrainError> {
    let start = |from: Option<&Path>| -> Result<_, TrainError> {
        let (learner, state) = started(plan, folder, from, device)?;
        let task = Pretraining {
            plan,
            source,
            device: device.clone().autodiff(),
            learner,
        };
        Ok((task, state))
    };
    let (summary, task) = run::train(folder, options, observers, start)?;
    Ok((summary, task.learner))
}

const SOME_GROUP: &str = "a step has at least one group";

struct Pretraining<'a> {
    plan: &'a PretrainPlan,
    source: Arc<dyn Source>,
    /// With gradients.
    device: Device,
    learner: Learner,
}

/// What a step leaves on the device.
struct Seen {
    /// Targets and features of the last group.
    last: [Tensor<3>; 2],
    /// Its loss.
    loss: Tensor<1>,
    masks: MaskGroup,
    /// Context and target length, mean over the groups.
    patches: [f64; 2],
}

impl Task for Pretraining<'_> {
    type Settings = Recipe;
    type Network = IJepa<VisionTransformerPredictor>;
    type Learner = Learner;
    type Seen = Seen;

    const LEARNED: &'static [&'static str] = &["run.batch_size", "run.precision", "run.seed"];
    const BEST_BY: &'static [&'static str] = &["knn", "rankme"];

    fn settings(&self) -> &Recipe {
        &self.plan.recipe
    }

    fn own_parts(&self) -> &[&'static str] {
        &self.plan.own_parts
    }

    fn rhythm(&self) -> Rhythm {
        let recipe = &self.plan.recipe;
        let run = &recipe.run;
        Rhythm {
            total_steps: self.plan.total_steps,
            steps_per_epoch: self.plan.steps_per_epoch,
            batch_size: run.batch_size as u64,
            pass_size: recipe.images_per_pass() as u64,
            summation: run.reduce.summation(&self.device),
            keeping: run.keeping,
            eval_every_epochs: run.eval_every_epochs as u64,
            stop_if_collapsed: run.on_collapse == OnCollapse::Stop,
            on_nan: run.on_nan,
            seed: run.seed,
            lr: self.plan.peak_lr(),
        }
    }

    fn loader(
        &self,
        step: u64,
        places: Range<usize>,
        options: &TrainOptions,
    ) -> Result<Loader, TrainError> {
        let (recipe, transform) = (&self.plan.recipe, Arc::clone(&self.plan.transform));
        let config = LoaderConfig {
            places: Some(places),
            start_step: step,
            workers: options.workers,
            ..recipe.loader(transform, options.reading)
        };
        Ok(Loader::new(Arc::clone(&self.source), config)?)
    }

    fn gradients(
        &mut self,
        batch: &Batch,
        sum: SumOfGradients,
    ) -> Result<Gradients<Seen>, TrainError> {
        self.learner.objective = self.plan.objective_at(batch.step);
        let plan = self.plan;
        if let Some(views) = &plan.views {
            return Ok(self.view_gradients(views, batch, sum));
        }
        let mut masks = self.masks(batch);
        let per_pass = self.plan.recipe.groups_per_pass();
        let groups = self.groups(batch, &masks);
        let Gradients { sum, losses, seen } = self.learner.gradients(groups, per_pass, sum);
        let patches = |kept: fn(&MaskGroup) -> usize| {
            let kept = masks.iter().map(|group| kept(group) as f64);
            kept.sum::<f64>() / masks.len() as f64
        };
        let seen = Seen {
            last: seen,
            loss: losses.last().expect(SOME_GROUP).clone(),
            patches: [
                patches(|group| group.contexts[0].kept()),
                patches(|group| group.targets[0].kept()),
            ],
            masks: masks.pop().expect(SOME_GROUP),
        };
        Ok(Gradients { sum, losses, seen })
    }

    fn apply(&mut self, step: u64, sum: SumOfGradients, groups: usize) -> Tensor<1> {
        let settings = self.step_settings(step);
        self.learner.apply(sum, groups, settings)
    }

    fn measure(&self, step: u64, seen: &Seen, _: f64) -> Measured {
        let settings = self.step_settings(step);
        let objective = self.learner.objective.loss;
        let loss = scalar(seen.loss.clone());
        let monitors = Monitors::measure(&seen.last, &seen.masks, objective, loss);
        let [context, target] = seen.patches;
        Measured {
            settings: Columns::of([
                ("lr", settings.lr),
                ("wd", settings.weight_decay),
                ("ema", settings.ema),
                ("context_patches", context),
                ("target_patches", target),
            ]),
            signals: Columns::of([("feature_std", monitors.feature_std)]),
            collapse: monitors.collapse(),
            monitors: monitors.columns(),
        }
    }

    fn network(&self) -> &Self::Network {
        &self.learner.model
    }

    fn learner(&self) -> &Learner {
        &self.learner
    }

    fn first_not_finite(&self) -> Option<String> {
        let Learner {
            model,
            target,
            optimizer,
            ..
        } = &self.learner;
        let averaged = || first_not_finite(target.encoder(), None);
        first_not_finite(model, Some(optimizer)).or_else(averaged)
    }

    fn optimizer(&self) -> &AdamW {
        &self.learner.optimizer
    }

    fn snapshot(&self, state: TrainingState) -> Result<Snapshot, CheckpointError> {
        let normalization = self.plan.recipe.data.normalization();
        let other = normalization != Normalization::IMAGENET;
        let (adam, pytorchs) = (self.plan.recipe.optimizer.adam, AdamWConfig::default());
        let state = TrainingState {
            betas: Some(adam.betas).filter(|betas| *betas != pytorchs.betas),
            eps: Some(adam.eps).filter(|eps| *eps != pytorchs.eps),
            normalization: other.then_some(normalization),
            decoding: described_decoding(self.plan.recipe.data.decoding),
            ..state
        };
        self.learner.snapshot(state)
    }
}

impl Pretraining<'_> {
    /// The numbers of the groups of a batch, or of the part of it that this process has.
    fn numbers(&self, batch: &Batch) -> Range<u64> {
        let group_size = self.plan.recipe.mask_group_size();
        let [first, groups] = [batch.first, batch.indices.len()].map(|images| images / group_size);
        first as u64..(first + groups) as u64
    }

    /// The masks of every group of a batch.
    fn masks(&self, batch: &Batch) -> Vec<MaskGroup> {
        let recipe = &self.plan.recipe;
        let (seed, group_size) = (recipe.run.seed, recipe.mask_group_size());
        let masks = self.numbers(batch).map(|group| {
            let rng = &mut MaskRng::for_group(seed, batch.step, group);
            self.plan.sampler.sample(group_size, rng)
        });
        masks.collect()
    }

    fn step_settings(&self, step: u64) -> StepSettings {
        let PretrainPlan {
            schedules, recipe, ..
        } = self.plan;
        StepSettings {
            lr: self.plan.learning_rate(step),
            weight_decay: schedules.weight_decay(step),
            // LeJEPA has no moving average: what is evaluated is the encoder itself.
            ema: match self.plan.views {
                Some(_) => 0.0,
                None => schedules.ema(step),
            },
            clip_grad: recipe.optimizer.clip_grad,
            groups_per_pass: recipe.groups_per_pass(),
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
        let group_bytes = batch.images.len() / batch.indices.len() * group_size;
        let (seed, step, device) = (self.plan.recipe.run.seed, batch.step, self.device.clone());
        let normalization = self.plan.recipe.data.normalization();
        let noise = self.plan.recipe.model.position_noise;
        let noise = (noise, self.plan.model.encoder.embed_dim);
        let chunks = batch.images.chunks_exact(group_bytes);
        chunks
            .zip(masks)
            .zip(self.numbers(batch))
            .map(move |((bytes, masks), group)| {
                let size = [group_size, height, width];
                let images = normalization.loaded_images(bytes, size, &device);
                GroupBatch::new(images, masks, noise, GroupSeed { seed, step, group })
            })
    }
}
