//! How far every pixel is.

mod report;
mod scores;

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_data::{Depth, Source};

pub use report::{DepthHeadReport, DepthReport};
pub use scores::DepthScores;

use super::{DenseConfig, DenseError, DenseSet, check_labels, run, task::Task};
use crate::progress::Progress;
use scores::DepthErrors;

/// Checks the depths of both sets before anything is computed, and reads each for it.
///
/// # Errors
///
/// [`DenseError::NoDepth`] with the first image without, [`DenseError::NoKnownDepth`] or
/// [`DenseError::Data`].
pub fn check_depths(train: &dyn Source, test: &dyn Source) -> Result<(), DenseError> {
    check_labels::<Depth>(train, test)
}

/// Trains a linear layer from patches of images to depths and tests it on those of others.
///
/// The one number of a patch is interpolated bilinearly to the pixels (corners not aligned, as
/// PyTorch's `align_corners=False`). Depths less their mean over the known training pixels, in
/// their standard deviations, are what it learns, and the loss is the mean squared error of all
/// known pixels of a batch. `progress` is told after each step.
///
/// # Errors
///
/// A [`DenseError`] if the configuration is out of range, the features are no patches, depths are
/// missing, damaged or all unknown, or all heads diverge.
pub fn depth(
    train: DenseSet<'_>,
    test: DenseSet<'_>,
    config: &DenseConfig,
    device: &Device,
    progress: impl FnMut(Progress) + Send,
) -> Result<DepthReport, DenseError> {
    let found = run::<Depths>(train, test, config, device, progress)?;
    Ok(DepthReport::new(found))
}

/// Regression of depths, in standard deviations from their mean.
#[derive(Debug)]
pub(super) struct Depths {
    /// Metres.
    mean: f64,
    /// Metres, above 0.
    std: f64,
    /// What saying the mean everywhere makes of the test images.
    floor: DepthErrors,
}

impl Depths {
    fn new(mean: f64, std: f64) -> Self {
        Self {
            mean,
            std,
            floor: DepthErrors::default(),
        }
    }
}

/// Depths of a batch, each `[batch, 1, height, width]`.
#[derive(Debug)]
pub(super) struct DepthTargets {
    /// In standard deviations from the mean; of an unknown pixel any number.
    depths: Tensor<4>,
    /// 1 where a depth is known, else 0.
    known: Tensor<4>,
    /// Known ones.
    pixels: usize,
}

impl Task for Depths {
    type Labels = Depth;
    type Targets = DepthTargets;
    type Scores = DepthErrors;

    fn of(depths: &[Depth], _: u8) -> Option<Self> {
        let known = || depths.iter().flat_map(Depth::known).map(f64::from);
        let mean_of = |values: &mut dyn Iterator<Item = f64>| {
            let (sum, count) = values.fold((0.0, 0_u64), |(sum, n), it| (sum + it, n + 1));
            (count > 0).then(|| sum / count as f64)
        };
        let mean = mean_of(&mut known())?;
        let variance = mean_of(&mut known().map(|it| (it - mean).powi(2)))?;
        // Depths that are all the same need no scale.
        let std = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        Some(Self::new(mean, std))
    }

    fn channels(&self) -> usize {
        1
    }

    fn targets(&self, depths: &[&Depth], device: &Device) -> DepthTargets {
        let [height, width] = depths[0].size();
        let metres = || depths.iter().flat_map(|depth| depth.metres());
        let tensor = |values: Vec<f32>| {
            let data = TensorData::new(values, [depths.len(), 1, height, width]);
            Tensor::from_data(data, device)
        };
        let standard = |&it: &f32| ((f64::from(it) - self.mean) / self.std) as f32;
        let known = |&it: &f32| if it == Depth::UNKNOWN { 0.0 } else { 1.0 };
        DepthTargets {
            depths: tensor(metres().map(standard).collect()),
            known: tensor(metres().map(known).collect()),
            pixels: depths.iter().map(|depth| depth.known().count()).sum(),
        }
    }

    /// Mean squared error of the known pixels.
    fn loss(&self, outputs: Tensor<4>, targets: &DepthTargets) -> Tensor<1> {
        let error = (outputs - targets.depths.clone()) * targets.known.clone();
        error.square().sum() / targets.pixels.max(1) as f64
    }

    fn look(&mut self, depth: &Depth) {
        let everywhere = std::iter::repeat(self.mean);
        self.floor.count(depth.metres(), everywhere);
    }

    fn scores(&self) -> DepthErrors {
        DepthErrors::default()
    }

    fn count(&self, errors: &mut DepthErrors, depth: &Depth, outputs: Tensor<4>) {
        let outputs = outputs.into_data();
        let metres = outputs.iter::<f64>().map(|it| it * self.std + self.mean);
        errors.count(depth.metres(), metres);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dense::golden;

    #[test]
    fn interpolation_loss_and_gradients_are_pytorchs() {
        let golden = golden::golden("depth");
        let [mean, std] = ["mean", "std"].map(|key| golden.json[key].as_f64().unwrap());
        golden::check(
            &golden,
            &Depths::new(mean, std),
            ["depth", "outputs"],
            |name| golden.f32s(name),
            |size, map| Depth::new(size, map.to_vec()),
        );
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_known_pixels() {
        let depth = |metres: [f32; 3]| Depth::new([1, 3], metres.to_vec());
        let task = Depths::of(&[depth([1.0, 0.0, 2.0]), depth([0.0, 0.0, 6.0])], 0).unwrap();
        assert_eq!((task.mean, task.std), (3.0, (14.0_f64 / 3.0).sqrt()));
        let same = Depths::of(&[depth([2.0, 2.0, 0.0])], 0).unwrap();
        assert_eq!((same.mean, same.std), (2.0, 1.0));
        assert!(Depths::of(&[depth([0.0; 3])], 0).is_none());
    }
}
