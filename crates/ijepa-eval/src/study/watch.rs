//! Who watches what a study trains.

use ijepa_model::Classifier;
use ijepa_train::{
    Learner,
    run::{Measured, Observer, Resumption, Row},
};

/// Is told what a study is about to train and to how many steps, and gives who watches it.
pub type Watch<'a> = dyn FnMut(&str, u64) -> Option<Box<dyn Observer<Learner>>> + 'a;

/// Who watches a classifier as if it were an encoder: everything but what measures it.
pub(super) struct OfClassifier(pub(super) Box<dyn Observer<Learner>>);

impl Observer<Classifier> for OfClassifier {
    fn on_resume(&mut self, from: &Resumption) {
        self.0.on_resume(from);
    }

    fn on_log(&mut self, row: &Row, measured: &Measured) {
        self.0.on_log(row, measured);
    }

    fn on_scores(&mut self, scores: &Row) {
        self.0.on_scores(scores);
    }

    fn on_warning(&mut self, warning: &str) {
        self.0.on_warning(warning);
    }
}
