//! Sweeps: what is trained, for how long, and that nothing is trained twice.

use std::{fs, path::Path};

use ijepa_data::Preprocess;
use ijepa_eval::{
    ExtractConfig,
    study::{Measure, Metric, NamedSource, Outcome, Study, StudyError, StudyReport, Task, Verdict},
};
use ijepa_model::checkpoint::named_tensors;
use ijepa_testkit::device;
use ijepa_train::{PretrainPlan, Recipe, TrainOptions, pretrain, run::Folder};
use serde_json::{Value, json};

use crate::open;

pub(crate) const DATA: &str = "scenes:n=48,size=24";
/// Diverges within a few steps.
pub(crate) const HOT: &str =
    "hot: optimizer.lr=1e30 optimizer.start_lr=1e30 optimizer.warmup_epochs=0";
const TINY: [&str; 9] = [
    "model.embed_dim=16",
    "model.depth=1",
    "model.image_size=24",
    "model.predictor_dim=8",
    "model.predictor_depth=1",
    "mask.group_size=6",
    "mask.min_keep=3",
    "mask.length_multiple=4",
    "run.batch_size=6",
];

fn measures(tasks: &[&str]) -> Vec<Measure> {
    let scenes =
        |kind: &str, n, seed| open(&format!("scenes:kind={kind},n={n},size=24,seed={seed}"));
    let measure = |kind: &&str| Measure {
        metric: Metric::Neighbours,
        task: Task {
            train: NamedSource::new(*kind, scenes(kind, 40, 1)),
            test: NamedSource::new(format!("{kind}/test"), scenes(kind, 20, 2)),
        },
    };
    tasks.iter().map(measure).collect()
}

pub(crate) fn study(variants: &[&str]) -> Study {
    let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
    let variants = variants.iter().map(|text| text.parse().unwrap()).collect();
    Study {
        seeds: vec![0, 1],
        images: Some(192),
        measures: measures(&["texture", "shape"]),
        ..Study::sweep(recipe.with_overrides(&TINY).unwrap(), variants, Vec::new())
    }
}

pub(crate) fn run(study: &Study, out: &Path) -> Result<StudyReport, StudyError> {
    run_on(study, DATA, out)
}

fn run_on(study: &Study, data: &str, out: &Path) -> Result<StudyReport, StudyError> {
    run_with(study, data, out, &TrainOptions::default())
}

pub(crate) fn run_with(
    study: &Study,
    data: &str,
    out: &Path,
    options: &TrainOptions,
) -> Result<StudyReport, StudyError> {
    let data = NamedSource::new(data, open(data));
    study.run(
        &data,
        out,
        &device(),
        options,
        &mut |_, _| None,
        &mut |_| (),
    )
}

#[test]
fn every_variant_sees_the_same_images_with_every_seed() {
    let folder = tempfile::tempdir().unwrap();
    let study = study(&["base:", "large: run.batch_size=12 mask.group_size=12"]);
    let report = run(&study, folder.path()).unwrap();
    assert_eq!(report.measures, ["texture", "shape"]);
    let steps = [32, 16];
    for (row, steps) in report.rows.iter().zip(steps) {
        for (run, seed) in row.runs.iter().zip([0, 1]) {
            assert_eq!(
                (run.seed, run.steps, run.images),
                (seed, steps, 192),
                "{run:?}"
            );
            assert_eq!((run.accuracy.len(), run.at_start.len()), (2, 2));
        }
        let [a, b] = &row.runs[..] else {
            panic!("two seeds");
        };
        assert_ne!(a.loss, b.loss);
        let gain = row.gain[1].unwrap();
        let gained = [a, b].map(|run| run.accuracy[1].unwrap() - run.at_start[1].unwrap());
        assert!((gain.mean - (gained[0] + gained[1]) / 2.0).abs() < 1e-9);
        // Two seeds are too few to say more.
        assert_eq!(
            (gain.half_width, gain.verdict),
            (None, Verdict::TooFewSeeds)
        );
    }
    assert_eq!(report.rows[0].difference, [None, None]);
    assert!(report.rows[1].difference.iter().all(Option::is_some));
    let table = report.to_string();
    assert!(
        table.starts_with("| variant | seeds | images | texture, % |"),
        "{table}"
    );
    let lines = table.lines().filter(|line| line.starts_with('|'));
    assert_eq!(lines.count(), 4, "{table}");
    assert!(table.contains("from 3 seeds on"), "{table}");
    assert!(table.contains("Holm's correction"), "{table}");
    assert!(table.contains("at most 1 % in images"), "{table}");
}

#[test]
fn what_is_finished_is_not_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = run(&study(&["base:"]), folder.path()).unwrap();
    let metrics = folder.path().join("base-seed0/metrics.csv");
    fs::write(&metrics, "untouched").unwrap();
    let both = run(&study(&["base:", "optimizer.lr=2e-3"]), folder.path()).unwrap();
    assert_eq!(fs::read_to_string(&metrics).unwrap(), "untouched");
    assert_eq!(both.rows.len(), 2);
    let row = |report: &StudyReport| report.to_string().lines().nth(2).map(str::to_owned);
    assert_eq!(row(&both), row(&first));
}

#[test]
fn a_folder_of_other_results_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = Study {
        measures: measures(&["texture"]),
        ..study(&["base:"])
    };
    run(&base, folder.path()).unwrap();

    let changed = Study {
        recipe: base.recipe.with_overrides(&["optimizer.lr=2e-3"]).unwrap(),
        variants: study(&["new:", "base:"]).variants,
        ..base.clone()
    };
    let squashed = Study {
        extract: ExtractConfig {
            preprocess: Preprocess::Squash,
            ..base.extract
        },
        ..base.clone()
    };
    for (study, data, key) in [
        (&changed, DATA, "optimizer.lr"),
        (&squashed, DATA, "features"),
        (&base, "scenes:n=60,size=24", "data"),
        (&study(&["base:"]), DATA, "tasks"),
    ] {
        match run_on(study, data, folder.path()).unwrap_err() {
            StudyError::OtherRun { key: found, .. } => assert_eq!(found, key),
            error => panic!("{error}"),
        }
    }
    // Nor was anything trained before.
    assert!(!folder.path().join("new-seed0").exists());
}

#[test]
fn halving_trains_the_best_to_the_end_and_the_others_less() {
    let folder = tempfile::tempdir().unwrap();
    let mut study = study(&[
        "base:",
        "optimizer.lr=1e-4",
        "optimizer.lr=2e-4",
        "optimizer.lr=5e-4",
    ]);
    study.halving = Some(2);
    study.seeds = vec![0];
    let report = run(&study, folder.path()).unwrap();
    let mut steps: Vec<u64> = report.rows.iter().map(|row| row.runs[0].steps).collect();
    let last = report.rows.iter().max_by_key(|row| row.runs[0].steps);
    let last = last.unwrap().name.clone();
    let first = steps[0];
    for (row, &steps) in report.rows.iter().zip(&steps).skip(1) {
        let compared = row.difference[0].is_some();
        assert_eq!(compared, steps == first, "{steps} steps beside {first}");
    }
    steps.sort_unstable();
    assert_eq!(steps, [8, 8, 16, 32]);

    // The one that went to the end was among the best two after a quarter of the way.
    let quarter = |name: &str| -> f64 {
        let path = folder.path().join(format!("{name}-seed0/scores.json"));
        let scores: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let scores = scores["reports"]["8"]["scores"].as_object().unwrap();
        let texture = scores.iter().find(|(key, _)| key.contains("from texture"));
        texture.unwrap().1["accuracy"].as_f64().unwrap()
    };
    let names = study.variants.iter().map(|variant| &variant.name);
    let better = names.filter(|name| quarter(name) > quarter(&last)).count();
    assert!(better < 2, "{last} went on, {better} were better");
}

#[test]
fn a_run_that_diverges_is_a_result() {
    let folder = tempfile::tempdir().unwrap();
    let report = run(&study(&["base:", HOT]), folder.path()).unwrap();
    let hot = &report.rows[1];
    assert!(
        matches!(hot.runs[0].outcome, Outcome::Diverged(_)),
        "{hot:?}"
    );
    assert_eq!(hot.runs[0].accuracy, [None, None]);
    assert!(hot.difference[0].is_none());
    assert!(report.to_string().contains("2 diverged"), "{report}");
}

#[test]
fn what_cannot_be_compared_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |study: &Study| {
        let error = run(study, folder.path()).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
        error.to_string()
    };
    assert_eq!(refused(&study(&[])), "a study needs at least one variant");
    assert_eq!(
        refused(&study(&["a b: run.seed=1", "a/b: run.seed=2"])),
        "two variants are called `a_b`"
    );
    let unknown = refused(&study(&["base:", "wrong: optimizer.learning=1"]));
    assert_eq!(unknown, "variant `wrong`");
    let base = study(&["base:"]);
    let halving = Study {
        halving: Some(1),
        ..base.clone()
    };
    assert_eq!(
        refused(&halving),
        "halving by 1 drops nothing, expected at least 2"
    );
    let no_seed = Study {
        seeds: Vec::new(),
        ..base.clone()
    };
    assert_eq!(refused(&no_seed), "a study needs at least one seed");
    let twice = Study {
        seeds: vec![3, 4, 3],
        ..base.clone()
    };
    assert_eq!(refused(&twice), "seed 3 is given twice");
    let no_task = Study {
        measures: Vec::new(),
        ..base.clone()
    };
    assert_eq!(refused(&no_task), "a study needs at least one task");

    let labelled = |spec: &str| NamedSource::new("", open(&format!("scenes:size=24,{spec}")));
    let (neighbours, linear) = (Metric::Neighbours, Metric::Linear);
    for (metric, train, test, expected) in [
        (
            neighbours,
            "kind=texture,n=40",
            "kind=shape,n=40",
            "in the training data and",
        ),
        (neighbours, "n=19", "n=40", "only 19 training images"),
        (linear, "n=1", "n=40", "expected at least one a class"),
    ] {
        let task = Task {
            train: labelled(train),
            test: labelled(test),
        };
        let wrong = Study {
            measures: vec![Measure { metric, task }],
            ..base.clone()
        };
        let error = refused(&wrong);
        assert!(error.contains(expected), "{error}");
    }
}

/// Otherwise a run that has long ended would be set against some that have just begun.
#[test]
fn a_run_that_is_past_a_rung_is_not_judged_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut study = study(&["base:", "optimizer.lr=1e-4"]);
    study.seeds = vec![0];
    run(&study, folder.path()).unwrap();
    study.halving = Some(2);
    let error = run(&study, folder.path()).unwrap_err();
    let [step, until] = [32, 16];
    match error {
        StudyError::TooFar {
            step: found,
            until: asked,
            ..
        } => assert_eq!((found, asked), (step, until)),
        error => panic!("{error}"),
    }
}

/// Of version 0.1.0: what was measured was kept in another shape.
#[test]
fn runs_of_older_sweeps_are_judged_again_and_not_trained_again() {
    let folder = tempfile::tempdir().unwrap();
    let base = study(&["base:"]);
    let first = run(&base, folder.path()).unwrap();
    for run in &first.rows[0].runs {
        let path = run.run.join("scores.json");
        let mut kept: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        kept["reports"]["32"] = json!({
            "variant": "base", "seed": run.seed, "steps": 32, "images": 192, "knn": [1.0, 2.0],
            "knn_at_start": [1.0, 2.0], "rankme": 3.0, "loss": 0.25, "seconds": 90.0,
            "outcome": "finished",
        });
        kept.as_object_mut().unwrap().remove("minutes");
        fs::write(path, kept.to_string()).unwrap();
    }
    let again = run(&base, folder.path()).unwrap();
    for (found, first) in again.rows[0].runs.iter().zip(&first.rows[0].runs) {
        assert_eq!(found.loss, Some(0.25));
        assert_eq!(found.accuracy, first.accuracy);
        assert_eq!(found.rankme, first.rankme);
    }
}

#[test]
fn damaged_scores_are_named_and_measured_again_once_they_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut study = study(&["base:"]);
    study.seeds = vec![0];
    let first = run(&study, folder.path()).unwrap();
    let scores = first.rows[0].runs[0].run.join("scores.json");
    fs::write(&scores, "{\"made_from\":").unwrap();
    let error = run(&study, folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("scores.json` is damaged; remove it"),
        "{error}"
    );
    fs::remove_file(&scores).unwrap();
    let again = run(&study, folder.path()).unwrap();
    assert_eq!(
        again.rows[0].runs[0].accuracy,
        first.rows[0].runs[0].accuracy
    );
}

/// Otherwise scores would be compared with another network.
#[test]
fn the_random_encoder_is_bit_for_bit_the_one_that_a_run_begins_with() {
    let folder = tempfile::tempdir().unwrap();
    let data = open(DATA);
    let options = TrainOptions {
        max_steps: Some(0),
        ..TrainOptions::default()
    };
    let plan = PretrainPlan::new(study(&[]).recipe, data.len()).unwrap();
    let run = Folder::open(folder.path()).unwrap();
    let begun = pretrain(&plan, data, &run, &device(), &options, &mut []);
    let begun = begun.unwrap().1.target.encoder().clone();
    let initialization = plan.recipe().initialization();
    let random = begun.config().init_with(initialization, &device());
    let [begun, random] = [begun, random].map(|encoder| named_tensors(&encoder));
    for (begun, random) in begun.iter().zip(&random) {
        let [begun, random] = [begun, random].map(|it| (it.name.clone(), it.read().unwrap()));
        assert_eq!(begun, random);
    }
    assert_eq!(begun.len(), random.len());
}
