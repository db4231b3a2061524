//! How many directions features use: quality signals that need no labels.

mod lidar;

use serde::Serialize;

use crate::{
    features::Features,
    linalg::{eigenvalues, gram},
};

pub use lidar::lidar;

/// Added to each normalised singular value (Garrido et al. 2023, equation 1).
const EPSILON: f64 = 1e-7;

/// What is subtracted from features before their singular values are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centering {
    /// Nothing, as RankMe is defined. A large mean feature then counts as one direction that
    /// dwarfs the others.
    Raw,
    /// The mean feature: what remains is what tells images apart.
    Mean,
}

/// How features fill their space.
///
/// RankMe compares encoders trained alike on the same images; it needs at least as many images
/// as the features are wide (its paper uses 25,600). It is blind to scale: features that are
/// constant up to rounding can have a high centred rank, so read it beside `feature_std`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RankReport {
    /// RankMe of the features, from 1 to `min(images, dim)`.
    pub rankme: f64,
    /// RankMe of the features less their mean.
    pub rankme_centered: f64,
    /// See [`feature_std`].
    pub feature_std: f64,
}

/// All signals of a set of features.
///
/// Each of the two ranks takes about `images * dim^2 + 2 * dim^3` operations on the host if there
/// are more images than values.
///
/// ```
/// use ijepa_eval::{Features, rank_report};
///
/// let corners = vec![1.0, 0.0, -1.0, 0.0, 0.0, 1.0, 0.0, -1.0];
/// let report = rank_report(&Features::new(2, corners, vec![None; 4])?);
/// assert!((report.rankme - 2.0).abs() < 1e-5);
/// # Ok::<(), ijepa_eval::FeaturesError>(())
/// ```
pub fn rank_report(features: &Features) -> RankReport {
    RankReport {
        rankme: rankme(features, Centering::Raw),
        rankme_centered: rankme(features, Centering::Mean),
        feature_std: feature_std(features),
    }
}

/// RankMe (Garrido et al. 2023): [`effective_rank`] of the [`singular_values`].
pub fn rankme(features: &Features, centering: Centering) -> f64 {
    effective_rank(&singular_values(features, centering))
}

/// The exponential of the entropy of singular values,
/// `exp(-sum p ln p)` with `p = s / sum(s) + 1e-7`.
///
/// `n` equal values give `n`, a single one gives 1, as do values that are all zero.
pub fn effective_rank(singular_values: &[f64]) -> f64 {
    rank_of(singular_values, EPSILON)
}

/// The exponential of the entropy of `values`, which are not negative, each share `epsilon` larger.
fn rank_of(values: &[f64], epsilon: f64) -> f64 {
    let sum: f64 = values.iter().sum();
    let share = |&value: &f64| if sum > 0.0 { value / sum } else { 0.0 };
    let entropy = |share: f64| -(share + epsilon) * (share + epsilon).ln();
    values.iter().map(share).map(entropy).sum::<f64>().exp()
}

/// Singular values of the matrix `[images, dim]`, `min(images, dim)` of them, the largest first.
///
/// They are the square roots of the eigenvalues of the smaller Gram matrix, in f64: values below
/// about 1e-8 of the largest are noise, as they are in f32 features anyway.
pub fn singular_values(features: &Features, centering: Centering) -> Vec<f64> {
    let mean = match centering {
        Centering::Raw => vec![0.0; features.dim()],
        Centering::Mean => features.mean(),
    };
    let (images, dim) = (features.images(), features.dim());
    let value = |image: usize, column: usize| {
        f64::from(features.values()[image * dim + column]) - mean[column]
    };
    let gram = match images < dim {
        true => gram(images, dim, value),
        false => gram(dim, images, |column, image| value(image, column)),
    };
    // Rounding can leave an eigenvalue of zero slightly negative.
    eigenvalues(&gram)
        .into_iter()
        .map(|value| value.max(0.0).sqrt())
        .collect()
}

/// Standard deviation over the images (divided by their number), mean over the columns; 0 if
/// all images have the same feature.
pub fn feature_std(features: &Features) -> f64 {
    let (images, dim) = (features.images(), features.dim());
    // Two passes: the difference of large sums would lose a small spread.
    let mean = features.mean();
    let mut squares = vec![0.0; dim];
    for row in features.values().chunks_exact(dim) {
        for (column, &value) in row.iter().enumerate() {
            squares[column] += (f64::from(value) - mean[column]).powi(2);
        }
    }
    let deviations = squares.iter().map(|sum| (sum / images as f64).sqrt());
    deviations.sum::<f64>() / dim as f64
}
