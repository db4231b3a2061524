//! From the bytes of a batch to what a forward pass takes.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_data::{Batch, Image, Mixing, Purpose, RandomErasing, sample_rng};
use ijepa_model::{Normalization, StochasticDepth};

use super::{FinetunePlan, learner::Pass};

/// What a batch becomes; everything random is a function of (seed, step, place in the batch).
#[derive(Debug)]
pub(crate) struct Batches<'a> {
    pub(crate) plan: &'a FinetunePlan,
    pub(crate) normalization: Normalization,
    pub(crate) classes: usize,
    /// With gradients.
    pub(crate) device: Device,
}

impl Batches<'_> {
    /// The passes `own` of a batch, moved to the device one by one.
    ///
    /// # Shapes
    ///
    /// - `labels`: `[batch]`
    pub(crate) fn passes<'b>(
        &'b self,
        batch: &'b Batch,
        labels: &'b [u32],
        own: Range<usize>,
    ) -> impl Iterator<Item = Pass> {
        let recipe = &self.plan.recipe;
        let (size, seed) = (self.plan.image_size, recipe.run.seed);
        let rng = &mut sample_rng(seed, Purpose::Mixing, 0, batch.step);
        let mixing = recipe.data.mixing().sample(size, rng);
        own.map(move |pass| {
            let rows = rows_of_pass(pass, self.plan.pass_size(), labels.len());
            let own: Vec<u32> = rows.iter().map(|&row| labels[row]).collect();
            let smoothing = recipe.optimizer.label_smoothing;
            let targets = mixing.targets(&own, self.classes, smoothing);
            let targets = TensorData::new(targets, [rows.len(), self.classes]);
            let drops = recipe.model.drop_path > 0.0;
            let places = rows.iter().map(|&row| row as u64);
            Pass {
                images: mix_images(self.images(batch, &rows), mixing),
                targets: Tensor::from_data(targets, &self.device),
                depth: drops.then(|| StochasticDepth::for_samples(seed, batch.step, places)),
            }
        })
    }

    /// Normalised images of some rows of the batch, with noise where they are erased.
    fn images(&self, batch: &Batch, rows: &[usize]) -> Tensor<4> {
        let [height, width] = self.plan.image_size;
        let image_bytes = batch.images.len() / batch.indices.len();
        let bytes = |row: usize| &batch.images[row * image_bytes..][..image_bytes];
        let erasing = self.plan.recipe.data.random_erasing();
        if erasing.probability == 0.0 {
            let pixels: Vec<u8> = rows.iter().flat_map(|&row| bytes(row)).copied().collect();
            let shape = [rows.len(), height, width];
            return self
                .normalization
                .loaded_images(&pixels, shape, &self.device);
        }
        let channels = self.normalization.channels();
        let mut values = Vec::with_capacity(rows.len() * channels * height * width);
        for &row in rows {
            values.extend(self.erased(bytes(row), erasing, batch.step, row));
        }
        let data = TensorData::new(values, [rows.len(), channels, height, width]);
        Tensor::from_data(data, &self.device)
    }

    fn erased(&self, bytes: &[u8], erasing: RandomErasing, step: u64, row: usize) -> Vec<f32> {
        let size = self.plan.image_size;
        let image = Image::from_bytes(size, bytes)
            .expect("the loader gives every image the size asked for");
        let Normalization { mean, std } = self.normalization;
        let mut values = image.to_chw_f32(&mean, &std);
        let rng = &mut sample_rng(
            self.plan.recipe.run.seed,
            Purpose::Erasing,
            step,
            row as u64,
        );
        erasing.apply(&mut values, size, rng);
        values
    }
}

/// The rows of pass `pass`: as many from the front of the batch as, mirrored, from its back, so
/// that the partner of every row is in the same pass, in reverse.
fn rows_of_pass(pass: usize, pass_size: usize, batch: usize) -> Vec<usize> {
    if pass_size == batch {
        return (0..batch).collect();
    }
    let half = pass_size / 2;
    let front = pass * half..(pass + 1) * half;
    let back = batch - (pass + 1) * half..batch - pass * half;
    front.chain(back).collect()
}

/// Each image mixed with its partner, that of the batch in reverse.
///
/// # Shapes
///
/// - `images` and output: `[batch, channels, height, width]`
pub fn mix_images(images: Tensor<4>, mixing: Mixing) -> Tensor<4> {
    match mixing {
        Mixing::None => images,
        Mixing::Mixup { lam } => {
            images.clone().mul_scalar(lam) + images.flip([0]).mul_scalar(1.0 - lam)
        }
        Mixing::CutMix { rect, .. } => {
            let [batch, channels, ..] = images.dims();
            let region = [
                0..batch,
                0..channels,
                rect.top..rect.top + rect.height,
                rect.left..rect.left + rect.width,
            ];
            let partners = images.clone().slice(region.clone()).flip([0]);
            images.slice_assign(region, partners)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_share_a_pass_and_every_row_is_in_one() {
        for (pass_size, batch) in [(2, 12), (4, 12), (6, 12), (12, 12), (5, 5)] {
            let mut seen = Vec::new();
            for pass in 0..batch / pass_size {
                let rows = rows_of_pass(pass, pass_size, batch);
                let partners: Vec<usize> = rows.iter().map(|row| batch - 1 - row).rev().collect();
                assert_eq!(rows, partners);
                seen.extend(rows);
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..batch).collect::<Vec<_>>());
        }
    }
}
