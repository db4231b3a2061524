//! What a run trains.

use std::ops::Range;

use burn::{module::Module, tensor::Tensor};
use ijepa_data::{Batch, Loader};
use ijepa_model::{
    CheckpointError,
    checkpoint::{Snapshot, TrainingState},
};

use super::{options::TrainOptions, row::Columns};
use crate::{
    AdamW, TrainError,
    gradients::{SumOfGradients, Summation},
    recipe::{Keeping, OnNan, Settings},
};

/// What a run trains: pretraining, fine-tuning and decoder training are tasks.
///
/// Everything random in a task is a function of its seed, the step and the place in the batch, so
/// that a run which goes on from a checkpoint is the run that was never stopped.
pub trait Task {
    /// Its settings.
    type Settings: Settings;
    /// What has gradients.
    type Network: Module + Sync;
    /// What observers measure.
    type Learner;
    /// What a step leaves on the device to be measured, beside its losses.
    type Seen;

    /// The keys of `[run]` that change what is learned; the others change what is kept of it.
    const LEARNED: &'static [&'static str];
    /// Scores that choose the best checkpoint: the first of them that was measured.
    const BEST_BY: &'static [&'static str];

    /// The settings, every key explicit.
    fn settings(&self) -> &Self::Settings;

    /// Parts that the program made itself and no settings say, by name: checkpoints say them, and
    /// a program without them does not go on with the run.
    fn own_parts(&self) -> &[&'static str] {
        &[]
    }

    /// How long the run is, and what happens when.
    fn rhythm(&self) -> Rhythm;

    /// These places of the batches of the run from `step` on, made by the threads and in the way of
    /// `options`.
    ///
    /// # Errors
    ///
    /// A [`TrainError`] if the data cannot fill them.
    fn loader(
        &self,
        step: u64,
        places: Range<usize>,
        options: &TrainOptions,
    ) -> Result<Loader, TrainError>;

    /// The first half of a step: adds the gradients of all groups of a batch, or of the whole
    /// passes of it that this process has, to `sum`. Nothing is changed.
    ///
    /// # Errors
    ///
    /// A [`TrainError`] if the batch cannot be used.
    fn gradients(
        &mut self,
        batch: &Batch,
        sum: SumOfGradients,
    ) -> Result<Gradients<Self::Seen>, TrainError>;

    /// The second half: updates all weights by the mean over `groups` groups of which `sum` is the
    /// sum. Returns the norm of that mean, `[1]`.
    fn apply(&mut self, step: u64, sum: SumOfGradients, groups: usize) -> Tensor<1>;

    /// What a step saw, whose loss was `loss`.
    fn measure(&self, step: u64, seen: &Self::Seen, loss: f64) -> Measured;

    /// What has gradients.
    fn network(&self) -> &Self::Network;

    /// What is trained.
    fn learner(&self) -> &Self::Learner;

    /// The first tensor of a checkpoint with a value that is not finite.
    fn first_not_finite(&self) -> Option<String>;

    /// What keeps the moments of the network's gradients.
    fn optimizer(&self) -> &AdamW;

    /// A checkpoint of what is trained, with `state`. Of an optimizer that ranks share, rank 0
    /// takes it while the others give it theirs by [`AdamW::named_moments`].
    ///
    /// # Errors
    ///
    /// A [`CheckpointError`] if it cannot be had.
    fn snapshot(&self, state: TrainingState) -> Result<Snapshot, CheckpointError>;
}

/// How long a run is, and what happens when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rhythm {
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Images of a step.
    pub batch_size: u64,
    /// Images of a backward pass, the last of a step excepted; ranks share whole passes.
    pub pass_size: u64,
    /// Order in which the gradients of passes are added up.
    pub summation: Summation,
    /// Rows and checkpoints.
    pub keeping: Keeping,
    /// Epochs between two evaluations.
    pub eval_every_epochs: u64,
    /// Whether a collapse ends the run.
    pub stop_if_collapsed: bool,
    /// What a gradient that is not finite does.
    pub on_nan: OnNan,
    /// Seed of the run.
    pub seed: u64,
    /// Peak learning rate, if the settings say it.
    pub lr: Option<f64>,
}

impl Rhythm {
    /// Backward passes of a step.
    pub(super) fn passes(&self) -> usize {
        self.batch_size.div_ceil(self.pass_size) as usize
    }

    /// The images of these passes.
    pub(super) fn places(&self, passes: &Range<usize>) -> Range<usize> {
        let place = |pass: usize| (pass as u64 * self.pass_size).min(self.batch_size) as usize;
        place(passes.start)..place(passes.end)
    }
}

/// The gradients of groups that count the same: mask groups, micro-batches.
#[derive(Debug)]
pub struct Gradients<S> {
    /// Their sum.
    pub sum: SumOfGradients,
    /// The loss of each group, `[1]`.
    pub losses: Vec<Tensor<1>>,
    /// What else there is to measure.
    pub seen: S,
}

/// What a step measured, by the columns of its tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Of `metrics.csv` after `loss`: what the step was told.
    pub settings: Columns,
    /// Of `metrics.csv` after `grad_norm`: what it showed.
    pub signals: Columns,
    /// Of `monitors.csv`; a task without monitors has no such table.
    pub monitors: Columns,
    /// Why the run looks collapsed, if it does.
    pub collapse: Option<String>,
}
