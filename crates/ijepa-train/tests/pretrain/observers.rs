//! What observers of a run see.

use std::{fs, sync::atomic::AtomicBool};

use ijepa_testkit::device;
use ijepa_train::{
    EpochScores, Learner, PretrainPlan, pretrain,
    run::{Columns, Folder, Measured, Observer, ObserverError, Position, Row},
};

use crate::support::{recipe, source, until};

#[derive(Default)]
struct Counter {
    logs: usize,
    measured: Vec<Position>,
    told: Vec<Row>,
}

impl Observer<Learner> for Counter {
    fn on_log(&mut self, row: &Row, measured: &Measured) {
        assert!(row.get("loss") > Some(0.0));
        assert!(measured.monitors.get("loss_ratio") > Some(0.0));
        self.logs += 1;
    }

    fn measure(
        &mut self,
        at: &Position,
        _: &Learner,
        _: &AtomicBool,
    ) -> Result<Columns, ObserverError> {
        self.measured.push(*at);
        Ok(Columns::from(EpochScores {
            knn: Some(12.5),
            ..Default::default()
        }))
    }

    fn on_scores(&mut self, scores: &Row) {
        self.told.push(scores.clone());
    }
}

#[test]
fn observers_see_every_log_every_epoch_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let source = source();
    let plan = PretrainPlan::new(recipe(&[]), source.len()).unwrap();
    let run = Folder::open(folder.path()).unwrap();
    let mut counter = Counter::default();
    let options = until(9);
    let observers: &mut [&mut dyn Observer<_>] = &mut [&mut counter];
    let (summary, _) = pretrain(&plan, source, &run, &device(), &options, observers).unwrap();
    let at = |step, epochs| Position {
        step,
        images: 12 * step,
        epochs,
    };
    // Every third step, and the last.
    assert_eq!(counter.logs, 4);
    assert_eq!(counter.measured, [at(0, 0), at(4, 1), at(8, 2), at(9, 2)]);
    assert_eq!(counter.told, summary.evaluations);
    assert_eq!(summary.scores().get("knn"), Some(12.5));
    let epochs = fs::read_to_string(folder.path().join("epochs.csv")).unwrap();
    let rows: Vec<&str> = epochs.lines().collect();
    assert!(rows[0].starts_with("epoch,step,rankme,knn,probe,"));
    let expected = [
        ",0,,12.5,,,,,,",
        "0,4,,12.5,,,,,,",
        "1,8,,12.5,,,,,,",
        ",9,,12.5,,,,,,",
    ];
    assert_eq!(rows[1..], expected);
}
