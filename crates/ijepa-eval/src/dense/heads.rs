//! Linear layers on patches, side by side.

use burn::{
    nn::Linear,
    tensor::{Device, Tensor},
};
use ijepa_model::{Initialization, Initializer};

use super::{DenseConfig, Upsample, task::Task};
use crate::side_by_side::SideBySide;

/// Heads on patches that differ in learning rate and weight decay.
#[derive(Debug)]
pub(super) struct PatchHeads(SideBySide<Linear>);

impl PatchHeads {
    /// Initial heads for patches `dim` wide with `channels` outputs.
    pub(super) fn new(config: &DenseConfig, [dim, channels]: [usize; 2], device: &Device) -> Self {
        let init = Initialization {
            seed: config.seed,
            ..Initialization::default()
        };
        let trained = device.clone().autodiff();
        let mut init = Initializer::new(init, &trained);
        let rates = config.heads();
        let rates = rates.iter().map(|head| (head.lr, head.weight_decay));
        let head = || init.linear(dim, channels);
        Self(SideBySide::new(rates.collect(), head, device))
    }

    /// One step on `tokens`, `[batch, patches, dim]`; all labels have the size that `upsample`
    /// gives.
    pub(super) fn step<T: Task>(
        &mut self,
        task: &T,
        tokens: Tensor<3>,
        labels: &[&T::Labels],
        upsample: &Upsample,
        factor: f64,
    ) {
        let tokens = Tensor::from_inner(tokens);
        let targets = task.targets(labels, &tokens.device());
        self.0.step(factor, |head| {
            task.loss(upsample.forward(head.forward(tokens.clone())), &targets)
        });
    }

    /// As [`SideBySide::take_losses`].
    pub(super) fn take_losses(&mut self) -> Vec<f32> {
        self.0.take_losses()
    }

    /// What each head says of the image of `tokens`, `[1, patches, dim]`:
    /// `[1, channels, height, width]`.
    pub(super) fn outputs(
        &self,
        tokens: Tensor<3>,
        upsample: &Upsample,
    ) -> impl Iterator<Item = Tensor<4>> {
        let heads = self.0.tested();
        heads.map(move |head| upsample.forward(head.forward(tokens.clone())))
    }
}
