//! The class of every pixel.

mod confusion;
mod report;

use burn::tensor::{Device, Tensor, TensorData, activation::log_softmax};
use ijepa_data::{Mask, Source};

pub use report::{DenseHeadReport, DenseReport};

use super::{DenseConfig, DenseError, DenseSet, check_labels, run, task::Task};
use crate::progress::Progress;
use confusion::Confusion;

/// Checks the masks of both sets before anything is computed, and reads each for it.
///
/// # Errors
///
/// [`DenseError::NoMask`] with the first image without, [`DenseError::NoClass`],
/// [`DenseError::UnknownClass`] or [`DenseError::Data`].
pub fn check_masks(train: &dyn Source, test: &dyn Source) -> Result<(), DenseError> {
    check_labels::<Mask>(train, test)
}

/// Trains a linear layer on the patches of images and tests it on those of others.
///
/// The logits of a patch grid are interpolated bilinearly to the size of a mask (corners not
/// aligned, as PyTorch's `align_corners=False`), and the loss is the cross-entropy of all pixels of
/// a batch that have a class. `progress` is told after each step.
///
/// # Errors
///
/// A [`DenseError`] if the configuration is out of range, the features are no patches, masks are
/// missing or damaged, or all heads diverge.
pub fn dense(
    train: DenseSet<'_>,
    test: DenseSet<'_>,
    config: &DenseConfig,
    device: &Device,
    progress: impl FnMut(Progress) + Send,
) -> Result<DenseReport, DenseError> {
    let found = run::<Segmentation>(train, test, config, device, progress)?;
    Ok(DenseReport::new(found))
}

/// Segmentation into classes 0 to `last`.
#[derive(Debug)]
pub(super) struct Segmentation {
    last: u8,
}

impl Task for Segmentation {
    type Labels = Mask;
    /// 1 for the class of every pixel and 0 for all others, `[batch, classes, height, width]`;
    /// pixels that are ignored have none. Also the number of those that are not.
    type Targets = (Tensor<4>, usize);
    type Scores = Confusion;

    fn of(_: &[Mask], last: u8) -> Option<Self> {
        Some(Self { last })
    }

    fn channels(&self) -> usize {
        usize::from(self.last) + 1
    }

    fn targets(&self, masks: &[&Mask], device: &Device) -> Self::Targets {
        let classes = self.channels();
        let [height, width] = masks[0].size();
        let area = height * width;
        let mut values = vec![0.0_f32; masks.len() * classes * area];
        let mut pixels = 0;
        for (mask, values) in masks.iter().zip(values.chunks_exact_mut(classes * area)) {
            let known = mask.classes().iter().enumerate();
            for (at, &class) in known.filter(|(_, class)| **class != Mask::IGNORED) {
                values[usize::from(class) * area + at] = 1.0;
                pixels += 1;
            }
        }
        let data = TensorData::new(values, [masks.len(), classes, height, width]);
        (Tensor::from_data(data, device), pixels)
    }

    /// Mean cross-entropy of the pixels that have a class.
    fn loss(&self, logits: Tensor<4>, (targets, pixels): &Self::Targets) -> Tensor<1> {
        let sum = (log_softmax(logits, 1) * targets.clone()).sum();
        sum / -((*pixels).max(1) as f64)
    }

    fn scores(&self) -> Confusion {
        Confusion::new(self.channels())
    }

    fn count(&self, table: &mut Confusion, mask: &Mask, logits: Tensor<4>) {
        // Logits of a diverged head name no class.
        let unknown = logits.clone().is_finite().all_dim(1).bool_not();
        let classes = logits.argmax(1);
        let classes = classes.mask_fill(unknown, self.channels() as i64);
        let classes = classes.into_data();
        let classes = classes.iter::<i64>().map(|class| class as usize);
        table.count(mask.classes(), &classes.collect::<Vec<usize>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::golden;

    #[test]
    fn interpolation_loss_and_gradients_are_pytorchs() {
        let golden = golden::golden("dense");
        let last = golden.shape("bias")[0] as u8 - 1;
        golden::check(
            &golden,
            &Segmentation { last },
            ["mask", "logits"],
            |name| golden.i64s(name),
            |size, map| Mask::new(size, map.iter().map(|&class| class as u8).collect()),
        );
    }
}
