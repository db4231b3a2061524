//! Where the features of each step come from.

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_data::{Loader, Skipped, epoch_order};
use ijepa_model::{Normalization, Pooling, VisionTransformer};

use super::ProbeError;
use crate::features::Features;

/// Features of one step, `[batch, dim]`, and their classes.
pub(super) type Batch = (Tensor<2>, Vec<u32>);

/// Batches of features in a fixed order.
pub(super) trait Batches: Send {
    /// Images of every step.
    fn batch_size(&self) -> usize;

    /// Steps of every epoch, at least 1.
    fn steps_per_epoch(&self) -> usize;

    /// The features of `step` of `epoch`; steps are asked for in order.
    fn batch(&mut self, epoch: usize, step: usize) -> Result<Batch, ProbeError>;

    /// The images found unreadable so far, whose places others took.
    fn skipped(&self) -> &[Skipped] {
        &[]
    }
}

/// Features that were extracted once, shuffled anew every epoch.
pub(super) struct Frozen<'a> {
    pub(super) features: &'a Features,
    pub(super) labels: &'a [u32],
    pub(super) batch_size: usize,
    pub(super) seed: u64,
    pub(super) order: Vec<u32>,
    pub(super) device: Device,
}

impl Batches for Frozen<'_> {
    fn batch_size(&self) -> usize {
        self.batch_size
    }

    fn steps_per_epoch(&self) -> usize {
        self.labels.len() / self.batch_size
    }

    fn batch(&mut self, epoch: usize, step: usize) -> Result<Batch, ProbeError> {
        if step == 0 {
            self.order = epoch_order(self.seed, epoch as u64, self.labels.len());
        }
        let images = &self.order[step * self.batch_size..][..self.batch_size];
        let mut values = Vec::with_capacity(images.len() * self.features.dim());
        for &image in images {
            values.extend_from_slice(self.features.row(image as usize));
        }
        let labels = images.iter().map(|&image| self.labels[image as usize]);
        let shape = [images.len(), self.features.dim()];
        let rows = Tensor::from_data(TensorData::new(values, shape), &self.device);
        Ok((rows, labels.collect()))
    }
}

/// Features of images that are augmented anew every epoch.
///
/// The loader gives parts of a batch, so that its pixels are never held at once. Its epochs may
/// be a few images longer than ours; a batch then holds images of two of them.
pub(super) struct Live<'a> {
    /// Without autodiff.
    pub(super) encoder: VisionTransformer,
    pub(super) pooling: Pooling,
    pub(super) normalization: Normalization,
    pub(super) loader: Loader,
    pub(super) labels: &'a [u32],
    /// Images of a part, and parts of a batch.
    pub(super) part: usize,
    pub(super) parts: usize,
    pub(super) device: Device,
}

impl Batches for Live<'_> {
    fn batch_size(&self) -> usize {
        self.part * self.parts
    }

    fn steps_per_epoch(&self) -> usize {
        (self.labels.len() / self.batch_size()).max(1)
    }

    fn batch(&mut self, _: usize, _: usize) -> Result<Batch, ProbeError> {
        let [height, width] = self.encoder.config().image_size;
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..self.parts {
            let part = self.loader.next_batch()?;
            let size = [self.part, height, width];
            let images = self
                .normalization
                .loaded_images(&part.images, size, &self.device);
            features.push(self.encoder.forward_pooled(images, self.pooling));
            labels.extend(
                part.indices
                    .iter()
                    .map(|&index| self.labels[index as usize]),
            );
            self.loader.recycle(part);
        }
        Ok((Tensor::cat(features, 0), labels))
    }

    fn skipped(&self) -> &[Skipped] {
        self.loader.skipped()
    }
}
