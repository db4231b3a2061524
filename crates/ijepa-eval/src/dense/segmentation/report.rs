//! What segmentation heads achieved.

use serde::Serialize;

use super::{Segmentation, confusion::Confusion};
use crate::{
    dense::{DenseHead, Found, task::Task},
    probe::{first_best, of_finite},
};

/// One head and what it achieved on the test images, in percent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DenseHeadReport {
    /// Which head.
    #[serde(flatten)]
    pub head: DenseHead,
    /// Mean over the classes of `iou`.
    pub miou: f64,
    /// Pixels whose class is right, of those that have one.
    pub pixel_accuracy: f64,
    /// Intersection over union of each class; none of a class that neither a mask nor the head
    /// shows.
    pub iou: Vec<Option<f64>>,
    /// Mean training loss in the last epoch; none if the head diverged.
    pub loss: Option<f64>,
}

impl DenseHeadReport {
    fn new(head: DenseHead, table: &Confusion, loss: Option<f64>) -> Self {
        Self {
            head,
            miou: table.miou(),
            pixel_accuracy: table.pixel_accuracy(),
            iou: table.iou(),
            loss,
        }
    }
}

/// All heads and the best of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DenseReport {
    /// Images that were learned from.
    pub train_images: usize,
    /// Images that were segmented.
    pub test_images: usize,
    /// Classes, the background among them.
    pub classes: usize,
    /// Images of a step.
    pub batch_size: usize,
    /// That of the best head.
    pub miou: f64,
    /// That of the best head.
    pub pixel_accuracy: f64,
    /// The head with the highest mean intersection over union of those that did not diverge; the
    /// first of several.
    pub best: DenseHead,
    /// Every head.
    pub heads: Vec<DenseHeadReport>,
}

impl DenseReport {
    pub(super) fn new(found: Found<Segmentation>) -> Self {
        let heads = found.heads.iter();
        let heads = heads.map(|(head, table, loss)| DenseHeadReport::new(*head, table, *loss));
        let heads: Vec<DenseHeadReport> = heads.collect();
        let best = first_best(&heads, |head| of_finite(head.loss, head.miou));
        Self {
            train_images: found.images[0],
            test_images: found.images[1],
            classes: found.task.channels(),
            batch_size: found.batch_size,
            miou: best.miou,
            pixel_accuracy: best.pixel_accuracy,
            best: best.head,
            heads,
        }
    }
}
