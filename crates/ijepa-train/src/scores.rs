//! What is measured of an encoder while it is pretrained.

use crate::run::Columns;

/// Scores of an encoder, each of which may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EpochScores {
    /// Effective rank of target features (Garrido et al. 2023).
    pub rankme: Option<f64>,
    /// Top-1 accuracy of nearest neighbours, percent.
    pub knn: Option<f64>,
    /// Top-1 accuracy of a linear probe, percent.
    pub probe: Option<f64>,
    /// Effective rank of target features less their mean.
    pub rankme_centered: Option<f64>,
    /// Standard deviation of pooled target features over images, mean over the width.
    pub feature_std: Option<f64>,
    /// Mean squared distance of the unit features of two masked views of an image.
    pub alignment: Option<f64>,
    /// Logarithm of the mean Gaussian potential of unit features (Wang and Isola 2020).
    pub uniformity: Option<f64>,
    /// Effective rank of what tells images apart from views (Thilak et al. 2024).
    pub lidar: Option<f64>,
}

impl EpochScores {
    /// The scores of a row of `epochs.csv`, whose value in a column `cell` gives.
    pub fn read(cell: impl Fn(&str) -> Option<f64>) -> Self {
        Self {
            rankme: cell("rankme"),
            knn: cell("knn"),
            probe: cell("probe"),
            rankme_centered: cell("rankme_centered"),
            feature_std: cell("feature_std"),
            alignment: cell("alignment"),
            uniformity: cell("uniformity"),
            lidar: cell("lidar"),
        }
    }
}

impl From<EpochScores> for Columns {
    /// All columns of `epochs.csv`, in its order.
    fn from(scores: EpochScores) -> Self {
        Self::from_iter([
            ("rankme", scores.rankme),
            ("knn", scores.knn),
            ("probe", scores.probe),
            ("rankme_centered", scores.rankme_centered),
            ("feature_std", scores.feature_std),
            ("alignment", scores.alignment),
            ("uniformity", scores.uniformity),
            ("lidar", scores.lidar),
        ])
    }
}
