//! Sweeps of runs that are equally dear, and who watches them.

use std::{cell::RefCell, fs, rc::Rc};

use ijepa_eval::study::{Equal, NamedSource, Outcome, Study, StudyError};
use ijepa_testkit::device;
use ijepa_train::{
    Learner, TrainError, TrainOptions,
    run::{Folder, Measured, Observer, Row},
};
use serde_json::Value;

use crate::{
    open,
    sweep::{DATA, HOT, run, study},
};

#[test]
fn runs_of_equal_minutes_are_timed_where_nothing_else_lies_and_a_collapse_ends_none() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("pace/notes.txt");
    fs::create_dir(own.parent().unwrap()).unwrap();
    fs::write(&own, "mine").unwrap();
    let base = study(&["base:"]);
    let stops = ["optimizer.epochs=1", "run.on_collapse=stop"];
    let study = Study {
        recipe: base.recipe.with_overrides(&stops).unwrap(),
        equal: Equal::Minutes,
        minutes: Some(0.02),
        seeds: vec![0],
        ..base
    };
    let report = run(&study, folder.path()).unwrap();
    assert!(report.rows[0].pace.as_ref().unwrap().images_per_s.is_some());
    let recipe = report.rows[0].runs[0].run.join("recipe.toml");
    let recipe = fs::read_to_string(recipe).unwrap();
    assert!(recipe.contains("on_collapse = \"warn\""), "{recipe}");
    assert_eq!(fs::read_to_string(own).unwrap(), "mine");
    let left = fs::read_dir(folder.path()).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with('.')
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn a_variant_that_diverges_while_it_is_timed_is_a_result() {
    let folder = tempfile::tempdir().unwrap();
    let base = study(&["base:", HOT]);
    let study = Study {
        recipe: base.recipe.with_overrides(&["optimizer.epochs=1"]).unwrap(),
        equal: Equal::Minutes,
        minutes: Some(0.02),
        seeds: vec![0],
        ..base
    };
    // What was found is taken by the second call.
    for _ in 0..2 {
        let report = run(&study, folder.path()).unwrap();
        let [base, hot] = &report.rows[..] else {
            panic!("two variants");
        };
        assert!(base.runs[0].accuracy[0].is_some() && base.runs[0].cost.is_finite());
        let pace = hot.pace.as_ref().unwrap();
        assert_eq!((pace.images_per_s, pace.diverged), (None, true));
        assert!(matches!(hot.runs[0].outcome, Outcome::Diverged(_)));
        assert!(!report.to_string().contains("NaN"), "{report}");
    }
    assert!(!folder.path().join(".pace").exists());
    let by_the_first = Study {
        minutes: None,
        variants: study.variants[1..].to_vec(),
        ..study
    };
    let error = run(&by_the_first, folder.path()).unwrap_err().to_string();
    assert!(error.contains("say how many minutes"), "{error}");
}

#[test]
fn a_share_without_a_step_in_each_epoch_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = study(&["base:", "wide: model.embed_dim=48"]);
    let study = Study {
        recipe: base.recipe.with_overrides(&["optimizer.epochs=1"]).unwrap(),
        equal: Equal::Flops,
        images: Some(6),
        seeds: vec![0],
        ..base
    };
    match run(&study, folder.path()).unwrap_err() {
        StudyError::FewImages {
            name,
            images,
            least,
        } => assert!(name == "wide" && images < 6 && least == 6, "{images}"),
        other => panic!("{other}"),
    }
    assert!(!folder.path().join("base-seed0").exists());
}

#[test]
fn a_timing_of_another_process_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let study = Study {
        equal: Equal::Minutes,
        minutes: Some(0.02),
        ..study(&["base:"])
    };
    let others = Folder::open(folder.path().join(".pace")).unwrap();
    let error = run(&study, folder.path()).unwrap_err();
    assert!(
        matches!(error, StudyError::Train(TrainError::InUse { .. })),
        "{error}"
    );
    assert!(others.path().join("lock").exists());
}

#[test]
fn whoever_watches_sees_every_step_that_is_trained() {
    #[derive(Debug, Default, Clone)]
    struct Told(Rc<RefCell<Vec<(String, u64)>>>);
    impl<L> Observer<L> for Told {
        fn on_log(&mut self, row: &Row, _: &Measured) {
            self.0.borrow_mut().last_mut().unwrap().1 = row.step + 1;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (told, data) = (Told::default(), NamedSource::new(DATA, open(DATA)));
    let mut asked = Vec::new();
    let mut watch = |what: &str, steps: u64| -> Option<Box<dyn Observer<Learner>>> {
        asked.push((what.to_owned(), steps));
        told.0.borrow_mut().push((what.to_owned(), 0));
        Some(Box::new(told.clone()))
    };
    let options = TrainOptions::default();
    let mut study = study(&["base:"]);
    study.recipe = study
        .recipe
        .with_overrides(&["run.log_every_steps=1"])
        .unwrap();
    let run = study.run(
        &data,
        folder.path(),
        &device(),
        &options,
        &mut watch,
        &mut |_| (),
    );
    run.unwrap();
    let expected = ["base, seed 0", "base, seed 1"].map(|what| (what.to_owned(), 32));
    assert_eq!(asked, expected);
    assert_eq!(told.0.borrow()[..], expected);
}

#[test]
fn runs_of_equal_arithmetic_see_fewer_images_where_one_costs_more() {
    let folder = tempfile::tempdir().unwrap();
    let base = study(&["base:", "wide: model.embed_dim=32"]);
    let study = Study {
        recipe: base.recipe.with_overrides(&["optimizer.epochs=1"]).unwrap(),
        equal: Equal::Flops,
        seeds: vec![0],
        ..base
    };
    let report = run(&study, folder.path()).unwrap();
    let runs: Vec<_> = report.rows.iter().map(|row| &row.runs[0]).collect();
    assert!(runs[0].images == 192 && runs[1].images < 150, "{runs:?}");
    for (row, run) in report.rows.iter().zip(&runs) {
        let flop = row.pace.as_ref().unwrap().flop_per_image;
        assert_eq!(run.cost, flop * run.images as f64);
        // As far as whole batches allow.
        assert!((run.cost - runs[0].cost).abs() <= 6.0 * flop, "{run:?}");
    }
    let table = report.to_string();
    assert!(table.contains("| images | FLOP |"), "{table}");
    assert!(table.contains("at most 1 % in FLOP"), "{table}");

    // Lengths of runs that no pace can have are not believed.
    let path = folder.path().join("paces.json");
    let paces: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (key, wrong) in [("flop_per_image", -1.0), ("images_per_s", 0.0)] {
        let mut paces = paces.clone();
        paces["base"][key] = wrong.into();
        fs::write(&path, paces.to_string()).unwrap();
        let error = run(&study, folder.path()).unwrap_err();
        assert!(
            matches!(error, StudyError::Damaged { .. }),
            "{key}: {error}"
        );
    }
    fs::write(&path, paces.to_string()).unwrap();
    assert_eq!(
        run(&study, folder.path()).unwrap().rows[0].runs[0].images,
        192
    );
}
