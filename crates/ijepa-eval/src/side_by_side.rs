//! Modules that learn by AdamW side by side.

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{Device, Tensor},
};
use ijepa_train::{AdamW, AdamWConfig};

/// Heads that see the same batches and do not influence each other, each with its learning rate
/// and weight decay.
#[derive(Debug)]
pub(crate) struct SideBySide<M> {
    heads: Vec<(M, AdamW)>,
    /// Learning rates and weight decays.
    rates: Vec<(f64, f64)>,
    /// Sum of the losses of the steps since they were last asked for, `[1]` for each head.
    losses: Vec<Tensor<1>>,
    steps: usize,
}

impl<M: Module> SideBySide<M> {
    /// One new head for each pair of `rates`.
    pub(crate) fn new(
        rates: Vec<(f64, f64)>,
        mut head: impl FnMut() -> M,
        device: &Device,
    ) -> Self {
        let heads = rates
            .iter()
            .map(|_| (head(), AdamW::new(AdamWConfig::default())));
        Self {
            heads: heads.collect(),
            losses: vec![Tensor::zeros([1], device); rates.len()],
            steps: 0,
            rates,
        }
    }

    /// One step of every head down its `loss`; `factor` is that of the learning rates.
    pub(crate) fn step(&mut self, factor: f64, loss: impl Fn(&M) -> Tensor<1>) {
        let settings = self.rates.iter().zip(&mut self.losses);
        for ((head, optimizer), (&(lr, decay), sum)) in self.heads.iter_mut().zip(settings) {
            let loss = loss(head);
            *sum = sum.clone() + loss.clone().inner();
            let gradients = GradientsParams::from_grads(loss.backward(), head);
            optimizer.step(head, gradients, lr * factor, decay);
        }
        self.steps += 1;
    }

    /// Mean loss of each head since this was last asked.
    pub(crate) fn take_losses(&mut self) -> Vec<f32> {
        let steps = std::mem::take(&mut self.steps).max(1) as f32;
        let take = |sum: &mut Tensor<1>| {
            let zero = sum.zeros_like();
            std::mem::replace(sum, zero).into_scalar::<f32>() / steps
        };
        self.losses.iter_mut().map(take).collect()
    }

    /// A head as it learns.
    #[cfg(test)]
    pub(crate) fn head_mut(&mut self, number: usize) -> &mut M {
        &mut self.heads[number].0
    }

    /// The heads without gradients.
    pub(crate) fn tested(&self) -> impl Iterator<Item = M> {
        self.heads.iter().map(|(head, _)| head.valid())
    }
}
