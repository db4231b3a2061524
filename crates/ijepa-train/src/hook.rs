//! Where evaluation plugs into training.

use crate::{metrics::MetricsRow, monitor::Monitors, step::Learner};

/// A failure of a hook.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// Watches a run; every method does nothing unless it is implemented.
pub trait Hook {
    /// Before the first step of a run that goes on from a checkpoint.
    ///
    /// # Errors
    ///
    /// Stops the run.
    fn on_resume(&mut self, from: &Resumption) -> Result<(), HookError> {
        let _ = from;
        Ok(())
    }

    /// After a logged step.
    ///
    /// # Errors
    ///
    /// Stops the run.
    fn on_log(&mut self, row: &MetricsRow, monitors: &Monitors) -> Result<(), HookError> {
        let _ = (row, monitors);
        Ok(())
    }

    /// After an epoch that the recipe evaluates; what is returned goes into `epochs.csv`.
    ///
    /// # Errors
    ///
    /// Stops the run.
    fn on_epoch(&mut self, epoch: u64, learner: &Learner) -> Result<EpochScores, HookError> {
        let _ = (epoch, learner);
        Ok(EpochScores::default())
    }

    /// Where a run ends that was not told to stop, unless [`on_epoch`](Self::on_epoch) has just
    /// been called; what is returned goes into its summary. The run has seen `images` images in
    /// all: after a few steps nobody wants to wait for more than these.
    ///
    /// # Errors
    ///
    /// Takes the place of the summary; the run is saved.
    fn on_end(&mut self, images: u64, learner: &Learner) -> Result<EpochScores, HookError> {
        let _ = (images, learner);
        Ok(EpochScores::default())
    }
}

/// Where a run goes on, and what it does differently from there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resumption {
    /// Completed steps.
    pub step: u64,
    /// Keys that change what is learned and differ from the checkpoint's recipe, each with its
    /// value there and now.
    pub changed: Vec<(String, String, String)>,
}

/// What hooks measured after an epoch.
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
    /// These scores, filled up with those of `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            rankme: self.rankme.or(other.rankme),
            knn: self.knn.or(other.knn),
            probe: self.probe.or(other.probe),
            rankme_centered: self.rankme_centered.or(other.rankme_centered),
            feature_std: self.feature_std.or(other.feature_std),
            alignment: self.alignment.or(other.alignment),
            uniformity: self.uniformity.or(other.uniformity),
            lidar: self.lidar.or(other.lidar),
        }
    }

    /// Names and values in the order of `epochs.csv`.
    pub(crate) fn columns(&self) -> [(&'static str, Option<f64>); 8] {
        [
            ("rankme", self.rankme),
            ("knn", self.knn),
            ("probe", self.probe),
            ("rankme_centered", self.rankme_centered),
            ("feature_std", self.feature_std),
            ("alignment", self.alignment),
            ("uniformity", self.uniformity),
            ("lidar", self.lidar),
        ]
    }
}
