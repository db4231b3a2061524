//! Signals that need no labels: is the run learning or collapsing?

use burn::tensor::Tensor;
use ijepa_masking::MaskGroup;
use ijepa_model::Loss;

use crate::run::Columns;

/// Feature spread below which a run is called collapsed.
const COLLAPSED_STD: f64 = 0.05;
/// Cosine between images above which their features are called the same.
const COLLAPSED_COSINE: f64 = 0.995;

/// What the features of a group look like: those of the target encoder, or of the context encoder
/// where pixels are predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Monitors {
    /// Standard deviation over images and patches, mean over the width; 1 spread out, 0 constant.
    pub feature_std: f64,
    /// Mean cosine between patches of one block.
    pub patch_cosine: f64,
    /// Mean cosine between the mean features of different images.
    pub image_cosine: f64,
    /// Loss of the last group of the step over that of predicting, for every position, the mean
    /// target there.
    pub loss_ratio: f64,
}

impl Monitors {
    /// Measures a step by the targets and features of its last group, whose masks are `masks` and
    /// whose loss is `value`.
    pub(crate) fn measure(
        last: &[Tensor<3>; 2],
        masks: &MaskGroup,
        loss: Loss,
        value: f64,
    ) -> Self {
        let [targets, features] = last.clone();
        let baseline = scalar(loss.forward(position_means(&targets, masks), targets));
        let [rows, kept, dim] = features.dims();
        let tokens = features.clone().reshape([rows * kept, dim]);
        let centered = tokens.clone() - tokens.mean_dim(0);
        let variance: Tensor<1> = centered.square().mean_dim(0).squeeze_dim(0);
        let batch = masks.targets[0].images();
        let by_image: Tensor<2> = features
            .clone()
            .reshape([rows / batch, batch, kept, dim])
            .mean_dim(2)
            .mean_dim(0)
            .reshape([batch, dim]);
        Self {
            feature_std: scalar(variance.sqrt().mean()),
            patch_cosine: mean_cosine(features),
            image_cosine: mean_cosine(by_image.unsqueeze_dim(0)),
            loss_ratio: value / baseline.max(f64::MIN_POSITIVE),
        }
    }

    /// The monitors by the columns of `monitors.csv`.
    pub(crate) fn columns(&self) -> Columns {
        Columns::of([
            ("feature_std", self.feature_std),
            ("patch_cosine", self.patch_cosine),
            ("image_cosine", self.image_cosine),
            ("loss_ratio", self.loss_ratio),
        ])
    }

    /// The monitors of a row of `monitors.csv`, whose value in a column `cell` gives, if it has
    /// all.
    pub fn read(cell: impl Fn(&str) -> Option<f64>) -> Option<Self> {
        Some(Self {
            feature_std: cell("feature_std")?,
            patch_cosine: cell("patch_cosine")?,
            image_cosine: cell("image_cosine")?,
            loss_ratio: cell("loss_ratio")?,
        })
    }

    /// Why the run looks collapsed, in a plain sentence.
    pub fn collapse(&self) -> Option<String> {
        if self.feature_std < COLLAPSED_STD {
            Some(format!(
                "features hardly differ between patches and images (std {:.3}, 1 is spread out)",
                self.feature_std
            ))
        } else if self.image_cosine > COLLAPSED_COSINE {
            Some(format!(
                "all images have nearly the same features (mean cosine {:.4})",
                self.image_cosine
            ))
        } else {
            None
        }
    }
}

pub(crate) fn scalar(value: Tensor<1>) -> f64 {
    value.into_scalar::<f32>().into()
}

/// Mean cosine between different vectors of one row, `[rows, vectors, dim]`.
fn mean_cosine(x: Tensor<3>) -> f64 {
    let [rows, vectors, _] = x.dims();
    if vectors < 2 {
        return 0.0;
    }
    let norm = x.clone().square().sum_dim(2).sqrt().clamp_min(1e-12);
    // The squared norm of the sum of unit vectors is the sum of all their cosines.
    let total = scalar((x / norm).sum_dim(1).square().sum()) / rows as f64;
    let pairs = (vectors * (vectors - 1)) as f64;
    (total - vectors as f64) / pairs
}

/// For every token, the mean of all tokens at its position.
fn position_means(targets: &Tensor<3>, masks: &MaskGroup) -> Tensor<3> {
    let [rows, kept, dim] = targets.dims();
    let contexts = masks.contexts.len();
    let positions: Vec<i32> = masks
        .targets
        .iter()
        .flat_map(|mask| std::iter::repeat_n(mask, contexts))
        .flat_map(|mask| mask.as_slice().iter().map(|&patch| patch as i32))
        .collect();
    let patches = masks.grid.num_patches();
    let mut counts = vec![0.0f32; patches];
    for &position in &positions {
        counts[position as usize] += 1.0;
    }
    let device = targets.device();
    let inverse: Vec<f32> = counts.iter().map(|count| 1.0 / count.max(1.0)).collect();
    let inverse = Tensor::<1>::from_floats(inverse.as_slice(), &device).reshape([patches, 1]);
    let positions = Tensor::<1, burn::tensor::Int>::from_ints(positions.as_slice(), &device);
    let sums = Tensor::<2>::zeros([patches, dim], &device).select_assign(
        0,
        positions.clone(),
        targets.clone().reshape([rows * kept, dim]),
        burn::tensor::IndexingUpdateOp::Add,
    );
    (sums * inverse)
        .select(0, positions)
        .reshape([rows, kept, dim])
}

#[cfg(test)]
mod tests {
    use ijepa_masking::{PatchGrid, PatchIndices};
    use ijepa_testkit::device;

    use super::*;

    /// Four images with one target block of two patches on a 2x2 grid.
    fn masks() -> MaskGroup {
        MaskGroup {
            grid: PatchGrid::new(2, 2).unwrap(),
            contexts: vec![PatchIndices::new(1, vec![3; 4])],
            targets: vec![PatchIndices::new(2, vec![0, 1, 0, 1, 1, 2, 1, 2])],
            relaxations: 0,
        }
    }

    fn tokens(value: impl Fn(usize, usize, usize) -> f32) -> Tensor<3> {
        let values: Vec<f32> = (0..4 * 2 * 8)
            .map(|i| value(i / 16, i / 8 % 2, i % 8))
            .collect();
        Tensor::<1>::from_floats(values.as_slice(), &device()).reshape([4, 2, 8])
    }

    fn measure(value: impl Fn(usize, usize, usize) -> f32) -> Monitors {
        let targets = tokens(value);
        measure_both(targets.clone(), targets)
    }

    fn measure_both(targets: Tensor<3>, features: Tensor<3>) -> Monitors {
        Monitors::measure(&[targets, features], &masks(), Loss::Mse, 1.0)
    }

    #[test]
    fn constant_features_are_called_collapsed() {
        let monitors = measure(|_, _, dim| if dim < 4 { 1.0 } else { -1.0 });
        assert!(monitors.feature_std < 1e-3 && monitors.image_cosine > 0.999);
        assert!(
            monitors
                .collapse()
                .unwrap()
                .starts_with("features hardly differ")
        );
    }

    #[test]
    fn features_are_judged_where_targets_are_pixels() {
        let pixels = tokens(|image, patch, dim| if dim == 2 * image + patch { 2.6 } else { -0.37 });
        let monitors = measure_both(pixels.clone(), Tensor::ones([4, 2, 8], &device()));
        assert!(monitors.collapse().is_some(), "{monitors:?}");
        let loss_ratio = measure_both(pixels.clone(), pixels).loss_ratio;
        assert_eq!(monitors.loss_ratio, loss_ratio);
    }

    #[test]
    fn position_means_predict_features_that_depend_on_the_position_only() {
        let monitors = measure(|image, patch, dim| {
            let position = patch + usize::from(image > 1);
            if dim == position { 2.6 } else { -0.37 }
        });
        // Each position has its own mean, so predicting it leaves no loss.
        assert!(monitors.loss_ratio > 1e6, "{monitors:?}");
        let spread =
            measure(|image, patch, dim| if dim == 2 * image + patch { 2.6 } else { -0.37 });
        assert!(spread.collapse().is_none(), "{spread:?}");
        assert!(
            spread.loss_ratio < 10.0 && spread.image_cosine < 0.0,
            "{spread:?}"
        );
    }
}
