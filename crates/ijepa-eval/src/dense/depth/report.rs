//! What depth heads achieved.

use serde::Serialize;

use super::{DepthScores, Depths};
use crate::{
    dense::{DenseHead, Found},
    probe::{first_best, of_finite},
};

/// One head and what it achieved on the test images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DepthHeadReport {
    /// Which head.
    #[serde(flatten)]
    pub head: DenseHead,
    /// Its scores.
    #[serde(flatten)]
    pub scores: DepthScores,
    /// Mean training loss in the last epoch; none if the head diverged.
    pub loss: Option<f64>,
}

/// All heads and the best of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DepthReport {
    /// Images that were learned from.
    pub train_images: usize,
    /// Images that were judged.
    pub test_images: usize,
    /// Mean depth of the known training pixels, in metres.
    pub mean: f64,
    /// Their standard deviation, in metres; 1 if they are all the same.
    pub std: f64,
    /// Images of a step.
    pub batch_size: usize,
    /// Those of the best head.
    #[serde(flatten)]
    pub scores: DepthScores,
    /// Those of saying `mean` of every pixel.
    pub floor: DepthScores,
    /// The head with the smallest `rmse` of those that did not diverge; the first of several.
    pub best: DenseHead,
    /// Every head.
    pub heads: Vec<DepthHeadReport>,
}

impl DepthReport {
    pub(super) fn new(found: Found<Depths>) -> Self {
        let report = |(head, errors, loss): (_, super::DepthErrors, _)| DepthHeadReport {
            head,
            scores: errors.scores(),
            loss,
        };
        let heads: Vec<DepthHeadReport> = found.heads.into_iter().map(report).collect();
        let best = first_best(&heads, |head| of_finite(head.loss, -head.scores.rmse));
        Self {
            train_images: found.images[0],
            test_images: found.images[1],
            mean: found.task.mean,
            std: found.task.std,
            batch_size: found.batch_size,
            scores: best.scores,
            floor: found.task.floor.scores(),
            best: best.head,
            heads,
        }
    }
}
