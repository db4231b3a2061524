//! Studies that are told to stop.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ijepa_data::{FetchError, Fetched, Source};
use ijepa_eval::study::{Study, StudyError, StudyReport};
use ijepa_train::TrainOptions;

use crate::sweep::{DATA, run, run_with, study};

#[test]
fn what_was_stopped_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let base = study(&["base:"]);
    let options = TrainOptions::default();
    options.stop.store(true, Ordering::Relaxed);
    let error = run_with(&base, DATA, folder.path(), &options).unwrap_err();
    assert!(matches!(error, StudyError::Interrupted { .. }), "{error}");
    let report = run(&base, folder.path()).unwrap();
    let whole = tempfile::tempdir().unwrap();
    let expected = run(&base, whole.path()).unwrap();
    for (found, expected) in report.rows[0].runs.iter().zip(&expected.rows[0].runs) {
        assert_eq!((found.steps, found.loss), (32, expected.loss));
        assert_eq!(found.accuracy, expected.accuracy);
    }
}

/// Images that are asked for when somebody presses Ctrl-C.
#[derive(Debug)]
struct Stopping(Arc<dyn Source>, Arc<AtomicBool>);

impl Source for Stopping {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.0.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.0.name(index)
    }

    fn classes(&self) -> &[String] {
        self.0.classes()
    }

    fn fetch(&self, index: usize, buffer: &mut Vec<u8>) -> Result<Fetched, FetchError> {
        self.1.store(true, Ordering::Relaxed);
        self.0.fetch(index, buffer)
    }
}

#[test]
fn what_was_stopped_while_it_was_judged_goes_on() {
    let base = Study {
        seeds: vec![0],
        ..study(&["base:"])
    };
    let whole = tempfile::tempdir().unwrap();
    let expected = run(&base, whole.path()).unwrap();
    // From here on it is known what the images are, and nobody looks at them before the end.
    let (folder, options) = (tempfile::tempdir().unwrap(), TrainOptions::default());
    let mut stopping = base.clone();
    let test = &mut stopping.measures[0].task.test.source;
    *test = Arc::new(Stopping(Arc::clone(test), Arc::clone(&options.stop)));
    let error = run_with(&stopping, DATA, folder.path(), &options).unwrap_err();
    assert!(
        matches!(error, StudyError::Interrupted { step: 32, .. }),
        "{error}"
    );
    let report = run(&base, folder.path()).unwrap();
    let accuracy = |report: &StudyReport| report.rows[0].runs[0].accuracy.clone();
    assert_eq!(accuracy(&report), accuracy(&expected));
}
