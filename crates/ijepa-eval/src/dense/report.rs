//! What segmentation heads achieved.

use serde::Serialize;

use super::confusion::Confusion;
use crate::probe::first_best;

/// What tells one head from the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DenseHead {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

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
    pub(super) fn new((lr, weight_decay): (f64, f64), table: &Confusion, loss: f32) -> Self {
        Self {
            head: DenseHead { lr, weight_decay },
            miou: table.miou(),
            pixel_accuracy: table.pixel_accuracy(),
            iou: table.iou(),
            loss: loss.is_finite().then_some(f64::from(loss)),
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
    /// The head with the highest mean intersection over union; the first of several.
    pub best: DenseHead,
    /// Every head.
    pub heads: Vec<DenseHeadReport>,
}

impl DenseReport {
    /// The report on `heads`, at least one; `images` are those of training and test.
    pub(super) fn new(
        heads: Vec<DenseHeadReport>,
        images: [usize; 2],
        classes: usize,
        batch_size: usize,
    ) -> Self {
        let best = first_best(&heads, |head| head.miou);
        Self {
            train_images: images[0],
            test_images: images[1],
            classes,
            batch_size,
            miou: best.miou,
            pixel_accuracy: best.pixel_accuracy,
            best: best.head,
            heads,
        }
    }
}
