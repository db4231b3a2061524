//! One step of training: loss, backward, update, average.

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{Device, Tensor},
};
use ijepa_data::{Purpose, sample_rng, unit};
use ijepa_model::{average, kernels::on_workers};
use ijepa_train::{AdamW, SumOfGradients, Update, run::Gradients};

use super::{
    Diffusion, Unet,
    diffusion::{images_of, noise, per_image},
    recipe::{DecoderRecipe, OptimizerSettings},
    views::to_signed,
};

/// Everything that training changes.
#[derive(Debug)]
pub(crate) struct Learner {
    /// With gradients.
    pub(crate) unet: Unet,
    /// Without.
    pub(crate) average: Unet,
    pub(crate) optimizer: AdamW,
}

/// The images of one step on the device, noised.
#[derive(Debug)]
pub(crate) struct NoisyBatch {
    images: Tensor<4>,
    velocity: Tensor<4>,
    steps: Vec<f64>,
    conditions: Tensor<2>,
}

impl NoisyBatch {
    /// Noises the images of step `step`; everything random is a function of seed, step and place.
    ///
    /// # Shapes
    ///
    /// - `pixels`: `[batch, side, side, 3]`
    /// - `conditions`: `[batch, condition_dim]`, standardised
    pub(crate) fn new(
        pixels: &[u8],
        conditions: Tensor<2>,
        recipe: &DecoderRecipe,
        diffusion: &Diffusion,
        step: u64,
        device: &Device,
    ) -> Self {
        let (batch, side) = (conditions.dims()[0], recipe.decoder.size);
        let (mut steps, mut kept) = (Vec::new(), Vec::new());
        let mut values = Vec::with_capacity(pixels.len());
        for place in 0..batch as u64 {
            let rng = &mut sample_rng(recipe.run.seed, Purpose::DiffusionTraining, step, place);
            steps.push((unit(rng) * diffusion.steps() as f64) as usize);
            let told = unit(rng) >= recipe.decoder.condition_dropout;
            kept.push(if told { 1.0 } else { 0.0 });
            values.extend(noise(rng, side));
        }
        let noise = images_of(&values, side, device);
        let kept: Tensor<2> = per_image(kept, device).reshape([batch, 1]);
        let images = to_signed(pixels, side, device);
        Self {
            images: diffusion.noised(images.clone(), noise.clone(), &steps),
            velocity: diffusion.velocity(images, noise, &steps),
            steps: steps.iter().map(|&step| step as f64).collect(),
            conditions: conditions * kept,
        }
    }

    /// Mean squared error of the velocity that `unet` finds, `[1]`.
    pub(crate) fn loss(self, unet: &Unet) -> Tensor<1> {
        let predicted = unet.forward(self.images, &self.steps, self.conditions);
        (predicted - self.velocity).square().mean()
    }

    fn with_gradients(self) -> Self {
        Self {
            images: Tensor::from_inner(self.images),
            velocity: Tensor::from_inner(self.velocity),
            conditions: Tensor::from_inner(self.conditions),
            ..self
        }
    }
}

impl Learner {
    /// A learner that has seen no gradient.
    pub(crate) fn new(unet: Unet, optimizer: AdamW) -> Self {
        Self {
            average: unet.valid(),
            unet,
            optimizer,
        }
    }

    /// Adds the gradients of one batch to `sum`.
    pub(crate) fn gradients(
        &mut self,
        batch: NoisyBatch,
        mut sum: SumOfGradients,
    ) -> Gradients<()> {
        let device = batch.images.device();
        on_workers(&device, || {
            let loss = batch.with_gradients().loss(&self.unet);
            let gradients = GradientsParams::from_grads(loss.backward(), &self.unet);
            sum.add(&self.unet, gradients);
            let (losses, seen) = (vec![loss.inner()], ());
            Gradients { sum, losses, seen }
        })
    }

    /// Updates weights and average by the mean over `batches` batches; the norm of the mean.
    pub(crate) fn apply(
        &mut self,
        sum: SumOfGradients,
        batches: usize,
        settings: &OptimizerSettings,
        device: &Device,
    ) -> Tensor<1> {
        on_workers(device, || {
            let gradients = sum.over(&self.unet, batches);
            let with = Update {
                lr: settings.lr,
                weight_decay: settings.weight_decay,
                clip_grad: 0.0,
            };
            let unet = &mut self.unet;
            let norm = self.optimizer.update(unet, gradients, with, |_| 1.0);
            average(&mut self.average, &self.unet, settings.ema, 0);
            norm
        })
    }
}
