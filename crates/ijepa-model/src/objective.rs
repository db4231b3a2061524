//! What the predictor is trained to do.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::regularize::{self, Sketch};

/// Epsilon of the target norm (PyTorch's default, which the reference uses).
const TARGET_NORM_EPSILON: f64 = 1e-5;
/// Epsilon of the variance of a patch (He et al. 2022, the authors' code).
const PIXEL_NORM_EPSILON: f64 = 1e-6;

/// What a predictor predicts of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Its features in the target encoder: I-JEPA.
    #[default]
    Features,
    /// Its pixels: the paper's table 7, and masked autoencoders (He et al. 2022).
    Pixels,
}

/// Distance between predictions and targets, features or pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Mean over all elements of `0.5 d^2` where `|d| < 1`, else `|d| - 0.5`: the reference code.
    #[default]
    SmoothL1,
    /// Squared distance summed over the features and patches of a block, averaged over blocks and
    /// images: the paper's text (§3, "Loss").
    L2,
    /// Mean over all elements of `d^2`.
    Mse,
    /// Mean over all elements of `|d|`.
    L1,
}

impl Loss {
    /// The loss, a single value.
    ///
    /// # Shapes
    ///
    /// - `predicted`, `target`: `[rows, kept, outputs]`, f32
    /// - output: `[1]`
    pub fn forward(self, predicted: Tensor<3>, target: Tensor<3>) -> Tensor<1> {
        let rows = predicted.dims()[0];
        let difference = predicted - target;
        match self {
            Self::SmoothL1 => {
                // With c = min(|d|, 1) both branches are c * (|d| - c / 2).
                let distance = difference.abs();
                let clamped = distance.clone().clamp_max(1.0);
                (clamped.clone() * (distance - clamped.mul_scalar(0.5))).mean()
            }
            Self::L2 => difference.square().sum().div_scalar(rows as f64),
            Self::Mse => difference.square().mean(),
            Self::L1 => difference.abs().mean(),
        }
    }
}

/// Where the target encoder's image is masked (paper table 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetMasking {
    /// The target encoder sees the whole image and its output is masked.
    #[default]
    Output,
    /// The target encoder sees one target block at a time.
    Input,
}

/// Loss and targets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objective {
    /// What is predicted.
    pub target: Target,
    /// Distance to the targets.
    pub loss: Loss,
    /// Whether target features are layer-normed, without scale and shift, over their width.
    pub target_norm: bool,
    /// Where target features are masked.
    pub target_masking: TargetMasking,
    /// Whether the pixels of each patch are standardised by their own mean and variance (He et al.
    /// 2022, §4.1).
    pub norm_pixels: bool,
    /// Blocks of the target encoder, counted from the last, whose mean is predicted, at least 1
    /// (data2vec, Baevski et al. 2022, §3.3). Of several, the tokens after each are layer-normed
    /// without scale and shift, and the final norm is not used.
    pub target_blocks: usize,
    /// Weight of the variance term on the context features, see
    /// [`variance_and_covariance`](regularize::variance_and_covariance).
    pub variance: f64,
    /// Weight of the covariance term on the context features.
    pub covariance: f64,
    /// Weight of [`sigreg`](regularize::sigreg) on the context features.
    pub sigreg: f64,
    /// Momentum of the running mean of the targets, where the predictor has one: after each step
    /// `mean <- momentum * mean + (1 - momentum) * mean of the batch`, patch by patch; it begins at 0
    /// (the centre of DINO, Caron et al. 2021, equation 4, at every patch).
    pub center_momentum: f64,
}

impl Default for Objective {
    /// The reference code's objective.
    fn default() -> Self {
        Self {
            target: Target::Features,
            loss: Loss::SmoothL1,
            target_norm: true,
            target_masking: TargetMasking::Output,
            norm_pixels: true,
            target_blocks: 1,
            variance: 0.0,
            covariance: 0.0,
            sigreg: 0.0,
            center_momentum: 0.9,
        }
    }
}

/// The mean of more blocks is predicted than the encoder has, or of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the predictor predicts the mean of {blocks} blocks, the encoder has {depth}")]
pub struct TargetBlocksError {
    /// Blocks whose mean is predicted.
    pub blocks: usize,
    /// Blocks of the encoder.
    pub depth: usize,
}

impl Objective {
    /// Checks that an encoder of `depth` blocks has those whose mean is predicted.
    ///
    /// # Errors
    ///
    /// [`TargetBlocksError`] if it has fewer, or none is predicted.
    pub fn check_blocks(&self, depth: usize) -> Result<(), TargetBlocksError> {
        let blocks = self.target_blocks;
        match (1..=depth).contains(&blocks) {
            true => Ok(()),
            false => Err(TargetBlocksError { blocks, depth }),
        }
    }

    /// The same objective with the terms beside the prediction multiplied by `factor`.
    pub fn with_terms_scaled(self, factor: f64) -> Self {
        Self {
            variance: factor * self.variance,
            covariance: factor * self.covariance,
            sigreg: factor * self.sigreg,
            ..self
        }
    }

    /// The weighted terms beside the prediction; `None` if all weights are 0.
    ///
    /// # Shapes
    ///
    /// - `context`: `[rows, kept, embed_dim]`, f32
    /// - output: `[1]`
    ///
    /// # Panics
    ///
    /// Panics if `sigreg` has a weight and there is no `sketch`.
    pub fn terms(&self, context: &Tensor<3>, sketch: Option<&Sketch>) -> Option<Tensor<1>> {
        let mut terms = Vec::new();
        if self.variance > 0.0 || self.covariance > 0.0 {
            let [variance, covariance] = regularize::variance_and_covariance(context.clone());
            terms.extend([(self.variance, variance), (self.covariance, covariance)]);
        }
        if self.sigreg > 0.0 {
            let sketch = sketch.expect("SIGReg looks along the directions of a sketch");
            let directions = sketch.directions(context.dims()[2], &context.device());
            terms.push((self.sigreg, regularize::sigreg(context.clone(), directions)));
        }
        let weighted = terms.into_iter().filter(|(weight, _)| *weight > 0.0);
        weighted
            .map(|(weight, term)| term.mul_scalar(weight))
            .reduce(|sum, term| sum + term)
    }
}

/// Layer norm over the width, without scale and shift.
pub(crate) fn normalize_features(x: Tensor<3>) -> Tensor<3> {
    let centered = x.clone() - x.mean_dim(2);
    let variance = centered.clone().square().mean_dim(2);
    centered / variance.add_scalar(TARGET_NORM_EPSILON).sqrt()
}

/// Every patch less its mean and over its standard deviation, the unbiased one.
///
/// # Shapes
///
/// - `patches`: `[rows, kept, pixels]`, all colours of a patch together
pub(crate) fn normalize_pixels(patches: Tensor<3>) -> Tensor<3> {
    let others = patches.dims()[2].saturating_sub(1).max(1);
    let centered = patches.clone() - patches.mean_dim(2);
    let variance = centered.clone().square().sum_dim(2) / others as f64;
    centered / variance.add_scalar(PIXEL_NORM_EPSILON).sqrt()
}
