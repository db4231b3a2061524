//! What heads achieved.

use ijepa_data::Skipped;
use serde::Serialize;

use super::{HeadNorm, Pool};

/// What tells one head from the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeadChoice {
    /// The features that it sees.
    pub pool: Pool,
    /// What happens to them first.
    pub batch_norm: HeadNorm,
    /// Learning rate for batches of 256, of an attentive head for its own batch; none of a head that
    /// was solved instead of trained.
    pub lr: Option<f64>,
    /// Weight decay; of logistic regression the L2 penalty.
    pub weight_decay: f64,
}

/// One head and its accuracy in percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeadReport {
    /// Which head.
    #[serde(flatten)]
    pub head: HeadChoice,
    /// Test images whose first class is right.
    pub top1: f64,
    /// Test images for which one of the first five classes is right.
    pub top5: f64,
    /// Mean training loss in the last epoch; none if the head diverged.
    pub loss: Option<f64>,
}

/// All heads and the best of them, as the paper reports it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProbeReport {
    /// Images that were learned from.
    pub train_images: usize,
    /// Images that were classified.
    pub test_images: usize,
    /// Classes.
    pub classes: usize,
    /// Images of a step; the number of training images where there are no steps.
    pub batch_size: usize,
    /// Top-1 accuracy of the best head, percent.
    pub top1: f64,
    /// Top-5 accuracy of that head, percent.
    pub top5: f64,
    /// The head with the highest top-1 accuracy of those that did not diverge; the first of several.
    pub best: HeadChoice,
    /// Every head.
    pub heads: Vec<HeadReport>,
    /// Training images that augmented probes found unreadable; others took their places.
    #[serde(skip)]
    pub skipped: Vec<Skipped>,
}

impl ProbeReport {
    /// The report on `heads`, at least one; `images` are those of training and test.
    pub(crate) fn new(
        heads: Vec<HeadReport>,
        images: [usize; 2],
        classes: usize,
        batch_size: usize,
    ) -> Self {
        let best = first_best(&heads, |head| of_finite(head.loss, head.top1));
        Self {
            train_images: images[0],
            test_images: images[1],
            classes,
            batch_size,
            top1: best.top1,
            top5: best.top5,
            best: best.head,
            heads,
            skipped: Vec::new(),
        }
    }
}

/// The one with the highest score of at least one; the first of several.
pub(crate) fn first_best<T>(all: &[T], score: impl Fn(&T) -> f64) -> &T {
    let best = all
        .iter()
        .reduce(|best, it| if score(it) > score(best) { it } else { best });
    best.expect("there is at least one")
}

/// The score of a head by which it can be the best, if its loss is a number.
pub(crate) fn of_finite(loss: Option<f64>, score: f64) -> f64 {
    loss.map_or(f64::NEG_INFINITY, |_| score)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_that_diverged_are_never_the_best() {
        let head = |lr: f64, top1: f64, loss: Option<f64>| HeadReport {
            head: HeadChoice {
                pool: Pool::Mean,
                batch_norm: HeadNorm::None,
                lr: Some(lr),
                weight_decay: 0.0,
            },
            top1,
            top5: 100.0,
            loss,
        };
        let heads = vec![
            head(1.0, 60.0, None),
            head(0.1, 40.0, Some(1.0)),
            head(0.01, 30.0, Some(2.0)),
        ];
        let report = ProbeReport::new(heads, [8, 8], 2, 8);
        assert_eq!((report.top1, report.best.lr), (40.0, Some(0.1)));
    }
}
