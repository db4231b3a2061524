//! One optimization step: targets, prediction, loss, backward, update, moving average.

use burn::{
    optim::GradientsParams,
    tensor::{Device, Tensor},
};
use ijepa_masking::MaskGroup;
use ijepa_model::{
    Checkpoint, CheckpointError, Compute, EmaTarget, GroupSeed, IJepa, IJepaConfig, IJepaOutput,
    Initialization, MaskTensors, Objective, Predictor, Target, VisionTransformerPredictor,
    checkpoint::{EncoderRole, Parts, Snapshot, TrainingState, named_tensors, native_files},
    kernels::{TensorList, lerp, on_workers},
};

use crate::{
    adamw::{AdamW, AdamWConfig, Update},
    gradients::SumOfGradients,
    run::Gradients,
};

mod views;

pub use views::ViewBatch;

/// Everything that training changes, and the objective it follows.
///
/// Any [`Predictor`] is trained; [`pretrain`](crate::pretrain()), checkpoints and with them
/// [`snapshot`](Self::snapshot) know that of the paper only.
#[derive(Debug)]
pub struct Learner<P: Predictor = VisionTransformerPredictor> {
    /// Context encoder and predictor.
    pub model: IJepa<P>,
    /// Target encoder.
    pub target: EmaTarget,
    /// AdamW with its moments.
    pub optimizer: AdamW,
    /// What is minimised.
    pub objective: Objective,
}

/// One mask group on the device.
#[derive(Debug)]
pub struct GroupBatch {
    /// Normalised images, `[batch, in_chans, height, width]`.
    pub images: Tensor<4>,
    /// Masks of these images.
    pub masks: MaskTensors,
    /// Seed of what is random in it, such as drop path; without, nothing is.
    pub seed: Option<GroupSeed>,
}

impl GroupBatch {
    /// A group with its masks on the device of its `images`; `noise` is the variance of positions
    /// and the width of the encoder, see [`MaskTensors::with_position_noise`].
    pub fn new(
        images: Tensor<4>,
        masks: &MaskGroup,
        (variance, embed_dim): (f64, usize),
        seed: GroupSeed,
    ) -> Self {
        let device = images.device();
        let masks = MaskTensors::new(masks, &device);
        Self {
            masks: masks.with_position_noise(variance, embed_dim, seed, &device),
            images,
            seed: Some(seed),
        }
    }
}

/// What a group adds to a step.
struct GroupOutput {
    /// What is minimised.
    loss: Tensor<1>,
    /// What is logged.
    distance: Tensor<1>,
    target_mean: Option<Tensor<3>>,
    /// Targets and features.
    seen: [Tensor<3>; 2],
}

/// What one step is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepSettings {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay of parameters of more than one dimension.
    pub weight_decay: f64,
    /// Momentum of the target encoder.
    pub ema: f64,
    /// Largest global norm of the gradient; 0 leaves it alone.
    pub clip_grad: f64,
    /// Mask groups that share one backward pass, at least 1; more need more memory.
    pub groups_per_pass: usize,
}

/// What a step measured, left on the device so that nothing waits for it.
#[derive(Debug)]
pub struct StepOutput {
    /// Mean distance between prediction and targets of the groups, `[1]`; terms of the objective
    /// beside it are not in it.
    pub loss: Tensor<1>,
    /// Global norm of the gradient before clipping, `[1]`.
    pub grad_norm: Tensor<1>,
    /// Targets of the last group, `[targets * contexts * batch, kept, outputs]`.
    pub targets: Tensor<3>,
    /// Features of the last group: its targets, or where these are pixels the context features,
    /// `[contexts * batch, kept, embed_dim]`.
    pub features: Tensor<3>,
}

impl Learner {
    /// A run that has not begun; the target encoder is a copy of the context encoder.
    ///
    /// # Panics
    ///
    /// Panics if `config` is invalid or predicts something else than `objective` asks for.
    pub fn new(
        config: &IJepaConfig,
        init: Initialization,
        compute: Compute,
        objective: Objective,
        optimizer: AdamWConfig,
        device: &Device,
    ) -> Self {
        let model = config
            .init(init, &device.clone().autodiff())
            .with_compute(compute);
        Self::of_model(model, objective, optimizer)
    }

    /// Continues from a checkpoint of any kind that has all networks.
    ///
    /// # Errors
    ///
    /// Any [`CheckpointError`]; a checkpoint without optimizer state starts with fresh moments.
    ///
    /// # Panics
    ///
    /// Panics if its predictor predicts something else than `objective` asks for.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        compute: Compute,
        objective: Objective,
        optimizer: AdamWConfig,
        device: &Device,
    ) -> Result<Self, CheckpointError> {
        let device = device.clone().autodiff();
        let model = checkpoint.networks(&device)?;
        let target = checkpoint
            .encoder(EncoderRole::Target, &device)?
            .with_compute(compute);
        let mut learner = Self {
            target: EmaTarget::new(&target),
            ..Self::of_model(model.with_compute(compute), objective, optimizer)
        };
        if let Some(moments) = &checkpoint.moments {
            let Self {
                model, optimizer, ..
            } = &mut learner;
            optimizer.restore(model, moments, &checkpoint.path)?;
        }
        Ok(learner)
    }

    /// A checkpoint, with `state`, as it is now.
    ///
    /// # Errors
    ///
    /// A [`CheckpointError`] if it cannot be had.
    pub fn snapshot(&self, state: TrainingState) -> Result<Snapshot, CheckpointError> {
        let state = TrainingState {
            model: Some(self.model.config()),
            ..state
        };
        let files = native_files(self.model.encoder.config(), self.parts());
        Snapshot::take(files, state)
    }
}

impl<P: Predictor> Learner<P> {
    /// A run that has not begun, of networks on an autodiff device; the target encoder is a copy
    /// of the context encoder.
    ///
    /// # Panics
    ///
    /// Panics if the predictor predicts something else than `objective` asks for.
    pub fn of_model(model: IJepa<P>, objective: Objective, optimizer: AdamWConfig) -> Self {
        model.assert_predicts(objective.target);
        Self {
            target: EmaTarget::new(&model.encoder),
            model,
            optimizer: AdamW::new(optimizer),
            objective,
        }
    }

    /// One step on a batch of whole mask groups, each of which counts the same.
    ///
    /// # Panics
    ///
    /// As [`gradients`](Self::gradients).
    pub fn step(
        &mut self,
        groups: impl IntoIterator<Item = GroupBatch>,
        settings: StepSettings,
    ) -> StepOutput {
        let sum = SumOfGradients::default();
        let Gradients { sum, losses, seen } = self.gradients(groups, settings.groups_per_pass, sum);
        let grad_norm = self.apply(sum, losses.len(), settings);
        let [targets, features] = seen;
        StepOutput {
            loss: Tensor::cat(losses, 0).mean(),
            grad_norm,
            targets,
            features,
        }
    }

    /// Adds the gradients of some mask groups to `sum`, which is returned with targets and features
    /// of the last of them (see [`StepOutput`]).
    ///
    /// `groups_per_pass` groups share a backward pass, so memory is that of one pass. Within a
    /// pass gradients are added as the backward pass goes; passes are what `sum` counts.
    ///
    /// # Panics
    ///
    /// Panics if there is no group or `groups_per_pass` is 0.
    pub fn gradients(
        &mut self,
        groups: impl IntoIterator<Item = GroupBatch>,
        groups_per_pass: usize,
        sum: SumOfGradients,
    ) -> Gradients<[Tensor<3>; 2]> {
        let (model, target, objective) = (&self.model, &self.target, &self.objective);
        let output = |group| output_of_group(model, target, objective, group);
        self.added_up(groups, groups_per_pass, sum, output)
    }

    /// Adds the gradients of the groups, each of which `output` computes, to `sum`.
    fn added_up<G: Send>(
        &self,
        groups: impl IntoIterator<Item = G>,
        groups_per_pass: usize,
        mut sum: SumOfGradients,
        output: impl Fn(G) -> GroupOutput + Sync,
    ) -> Gradients<[Tensor<3>; 2]> {
        let device = self.target.encoder().norm.gamma.device();
        let model = &self.model;
        let mut losses = Vec::new();
        let mut last = None;
        let mut groups = groups.into_iter().peekable();
        while groups.peek().is_some() {
            let mut pass: Option<Tensor<1>> = None;
            let mut target_means: Option<Tensor<3>> = None;
            for group in groups.by_ref().take(groups_per_pass) {
                let output = on_workers(&device, || output(group));
                pass = Some(match pass {
                    Some(pass) => pass + output.loss,
                    None => output.loss,
                });
                target_means = match (target_means, output.target_mean) {
                    (Some(sum), Some(mean)) => Some(sum + mean),
                    (sum, mean) => sum.or(mean),
                };
                losses.push(output.distance);
                last = Some(output.seen);
            }
            let loss = pass.expect("a pass has at least one group");
            on_workers(&device, || {
                let mut gradients = GradientsParams::from_grads(loss.backward(), model);
                if let (Some(mean), Some(seen)) = (model.predictor.target_mean(), target_means) {
                    gradients.register(mean.id, seen);
                }
                sum.add(model, gradients);
            });
        }
        let seen = last.expect("at least one group");
        Gradients { sum, losses, seen }
    }

    /// Updates all weights by the mean over `groups` groups of which `sum` is the sum, and the
    /// target encoder. Returns the global norm of the mean before clipping, `[1]`.
    ///
    /// # Panics
    ///
    /// Panics if `sum` is of no group.
    pub fn apply(
        &mut self,
        sum: SumOfGradients,
        groups: usize,
        settings: StepSettings,
    ) -> Tensor<1> {
        let device = self.target.encoder().norm.gamma.device();
        let norm = on_workers(&device, || self.update(sum, groups, settings));
        self.optimizer.exchange(&mut self.model);
        on_workers(&device, || {
            self.target.update(&self.model.encoder, settings.ema);
        });
        norm
    }

    /// Updates the weights with gradients; their global norm before clipping.
    fn update(&mut self, sum: SumOfGradients, groups: usize, settings: StepSettings) -> Tensor<1> {
        let mut gradients = sum.over(&self.model, groups);
        self.move_target_mean(&mut gradients);
        let with = Update {
            lr: settings.lr,
            weight_decay: settings.weight_decay,
            clip_grad: settings.clip_grad,
        };
        let model = &mut self.model;
        self.optimizer.update(model, gradients, with, |_| 1.0)
    }

    /// Moves the running mean of the targets, if there is one. The mean of the batch stands in the
    /// place of its gradient, so that it is added up over passes and ranks as gradients are.
    fn move_target_mean(&mut self, gradients: &mut GradientsParams) {
        let Some(mean) = self.model.predictor.target_mean() else {
            return;
        };
        let seen = gradients.remove::<3>(mean.id);
        let seen = seen.expect("every pass leaves the mean of its targets");
        let share = 1.0 - self.objective.center_momentum;
        let [mean, seen] = [mean.val().without_autodiff(), seen].map(TensorList::of);
        let moved = lerp(mean, seen, share).take();
        let moved = moved.expect("one tensor was moved");
        self.model.predictor.set_target_mean(moved);
    }

    /// All tensors as they go into a checkpoint.
    pub fn parts(&self) -> Parts {
        Parts {
            encoder: named_tensors(&self.model.encoder),
            target_encoder: named_tensors(self.target.encoder()),
            predictor: named_tensors(&self.model.predictor),
            moments: self.optimizer.named_moments(&self.model),
            moment_step: self.optimizer.steps(),
        }
    }
}

fn output_of_group<P: Predictor>(
    model: &IJepa<P>,
    target: &EmaTarget,
    objective: &Objective,
    group: GroupBatch,
) -> GroupOutput {
    let GroupBatch {
        images,
        masks,
        seed,
    } = group;
    let IJepaOutput {
        loss,
        distance,
        targets,
        context,
        target_mean,
    } = model.forward(images, &masks, target, objective, seed);
    let features = match objective.target {
        Target::Features => targets.clone(),
        Target::Pixels => context.inner(),
    };
    GroupOutput {
        loss,
        distance,
        target_mean,
        seen: [targets, features],
    }
}
