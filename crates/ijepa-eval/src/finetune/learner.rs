//! One step of fine-tuning: loss, backward, update.

use burn::{
    optim::GradientsParams,
    tensor::{Device, Tensor, activation::log_softmax},
};
use ijepa_model::{Classifier, StochasticDepth, kernels::on_workers};
use ijepa_train::{AdamW, SumOfGradients, Update, run::Gradients};

use super::layer_scale;

/// Everything that fine-tuning changes.
#[derive(Debug)]
pub(crate) struct Learner {
    pub(crate) classifier: Classifier,
    pub(crate) optimizer: AdamW,
    pub(crate) layer_decay: f64,
    pub(crate) device: Device,
}

/// The images of one forward pass on the device.
#[derive(Debug)]
pub(crate) struct Pass {
    /// `[batch, channels, height, width]`, normalised, erased and mixed.
    pub(crate) images: Tensor<4>,
    /// `[batch, classes]`, smoothed and mixed.
    pub(crate) targets: Tensor<2>,
    /// Random numbers for drop path, if there is any.
    pub(crate) depth: Option<StochasticDepth>,
}

impl Learner {
    /// Adds the gradients of passes of equal size to `sum`.
    pub(crate) fn gradients(
        &mut self,
        passes: impl Iterator<Item = Pass>,
        mut sum: SumOfGradients,
    ) -> Gradients<()> {
        let device = self.device.clone();
        let mut losses = Vec::new();
        for mut pass in passes {
            on_workers(&device, || {
                let logits = self
                    .classifier
                    .forward_training(pass.images, pass.depth.as_mut());
                let loss = soft_cross_entropy(logits, pass.targets);
                losses.push(loss.clone().inner());
                let gradients = GradientsParams::from_grads(loss.backward(), &self.classifier);
                sum.add(&self.classifier, gradients);
            });
        }
        let seen = ();
        Gradients { sum, losses, seen }
    }

    /// Updates what is trainable by the mean over `passes` passes; its global norm before clipping.
    pub(crate) fn apply(&mut self, sum: SumOfGradients, passes: usize, with: Update) -> Tensor<1> {
        let device = self.device.clone();
        let (depth, decay) = (self.classifier.encoder.blocks.len(), self.layer_decay);
        let scale_of = |name: &str| layer_scale(name, depth, decay);
        on_workers(&device, || {
            let gradients = sum.over(&self.classifier, passes);
            let classifier = &mut self.classifier;
            self.optimizer.update(classifier, gradients, with, scale_of)
        })
    }
}

/// Cross-entropy with a distribution as target, mean over the batch:
/// `-sum(targets * log_softmax(logits))`.
///
/// With smoothed one-hot targets it is cross-entropy with label smoothing.
///
/// # Shapes
///
/// - `logits`, `targets`: `[batch, classes]`
/// - output: `[1]`
pub fn soft_cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let [batch, _] = logits.dims();
    let log_likelihood = (targets * log_softmax(logits, 1)).sum();
    log_likelihood.div_scalar(batch as f64).neg()
}
