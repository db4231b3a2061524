//! The figures of a run, for tables and for programs.

use serde::Serialize;
use serde_json::Value;

use crate::number::median;
use crate::run::{RunKind, RunRecord};
use crate::verdict::Judgement;

/// Final figures of a run; what was not measured is `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSummary {
    /// The run directory.
    pub run: String,
    /// State and reason.
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Completed steps.
    pub steps: u64,
    /// Steps of the schedule.
    pub total_steps: Option<u64>,
    /// Images seen.
    pub images: Option<u64>,
    /// Loss of the first logged step.
    pub loss_first: Option<f64>,
    /// Loss of the last logged step.
    pub loss_last: Option<f64>,
    /// Median speed.
    pub images_per_s: Option<f64>,
    /// Hours of computing.
    pub device_hours: Option<f64>,
    /// Floating-point operations by formula, see [`ijepa_train::flops`].
    pub flop: Option<f64>,
    /// Standard deviation of target features at the last logged step.
    pub feature_std: Option<f64>,
    /// Last RankMe.
    pub rankme: Option<f64>,
    /// Last RankMe of centred features.
    pub rankme_centered: Option<f64>,
    /// Last top-1 accuracy of nearest neighbours, percent.
    pub knn: Option<f64>,
    /// Best of them.
    pub knn_best: Option<f64>,
    /// Last top-1 accuracy of a linear probe, percent.
    pub probe: Option<f64>,
    /// Last top-1 accuracy of a fine-tuned classifier, percent.
    pub top1: Option<f64>,
    /// What the run trains.
    pub kind: RunKind,
    /// Last LiDAR.
    pub lidar: Option<f64>,
    /// What it ran on.
    pub device: Option<String>,
    /// Results of other commands found in the directory, by command.
    pub results: serde_json::Map<String, Value>,
}

impl RunRecord {
    /// Final figures.
    pub fn summary(&self) -> RunSummary {
        let (metrics, epochs) = (&self.metrics, &self.epochs);
        let results = self.results.iter();
        RunSummary {
            run: self.path().display().to_string(),
            judgement: self.judgement(),
            steps: self.steps(),
            total_steps: self.total_steps(),
            images: metrics.last("images").map(|images| images as u64),
            loss_first: metrics.first("loss"),
            loss_last: metrics.last("loss"),
            images_per_s: median(metrics.column("images_per_s").into_iter().flatten()),
            device_hours: self.hours().into_iter().flatten().next_back(),
            flop: self.flop().into_iter().flatten().next_back(),
            feature_std: metrics.last("feature_std"),
            rankme: epochs.last("rankme"),
            rankme_centered: epochs.last("rankme_centered"),
            knn: epochs.last("knn"),
            knn_best: self.compared().largest("knn"),
            probe: epochs.last("probe"),
            top1: epochs.last("top1"),
            kind: self.kind(),
            lidar: epochs.last("lidar"),
            device: self.environment["device"].as_str().map(str::to_owned),
            results: results
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        }
    }
}
