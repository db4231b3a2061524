//! The paper's tables: every row can be carried out, runs are kept and shared, metrics are its own.

use std::{collections::BTreeSet, fs, path::Path};

use ijepa_eval::study::{
    Labels, NamedSource, PaperTable, Study, StudyError, StudyReport, Task, Verdict,
};
use ijepa_masking::MaskRng;
use ijepa_testkit::device;
use ijepa_train::{PretrainPlan, Recipe, TrainOptions, recipe::diff};

use crate::open;

const IMAGENET: usize = 1_281_167;
const TINY: [&str; 8] = [
    "model.embed_dim=16",
    "model.depth=1",
    "model.image_size=24",
    "model.predictor_dim=8",
    "mask.group_size=6",
    "mask.min_keep=1",
    "run.batch_size=6",
    "optimizer.lr=1e-4",
];

fn tables() -> impl Iterator<Item = &'static PaperTable> {
    PaperTable::numbers().map(|number| PaperTable::find(number).unwrap())
}

fn named(spec: &str) -> NamedSource {
    NamedSource::new(spec, open(spec))
}

fn tiny() -> Recipe {
    let recipe = Recipe::preset("scenes_vit_nano_plain").unwrap();
    recipe.with_overrides(&TINY).unwrap()
}

fn study_with(table: u8, rows: &[&str], seeds: &[u64], labels: Labels) -> Study {
    let task = Task {
        train: named("scenes:kind=texture,n=60,size=24,seed=1"),
        test: named("scenes:kind=texture,n=20,size=24,seed=2"),
    };
    let table = PaperTable::find(table).unwrap();
    Study {
        only: rows.iter().map(|&row| row.to_owned()).collect(),
        seeds: seeds.to_vec(),
        images: Some(96),
        ..table.study(tiny(), task, labels).unwrap()
    }
}

fn study(table: u8, rows: &[&str], seeds: &[u64]) -> Study {
    study_with(table, rows, seeds, Labels::PerClass(4))
}

/// The report, and the names of the rows that were run or looked up.
fn run(study: &Study, out: &Path) -> Result<(StudyReport, Vec<String>), StudyError> {
    let mut told = Vec::new();
    let report = study.run(
        &named("scenes:n=48,size=24"),
        out,
        &device(),
        &TrainOptions::default(),
        &mut |_, _| None,
        &mut |run| told.push(format!("{} {}", run.variant, run.seed)),
    )?;
    Ok((report, told))
}

fn planned(recipe: Recipe, images: usize, what: &str) {
    match PretrainPlan::new(recipe, images) {
        Ok(plan) => assert!(plan.total_steps() > 0, "{what}"),
        Err(error) => panic!("{what}: {error}"),
    }
}

fn all_differ(recipes: &[Recipe], what: &str) {
    for (at, recipe) in recipes.iter().enumerate() {
        for other in &recipes[..at] {
            assert!(!diff(recipe, other).is_empty(), "{what}: two rows are one");
        }
    }
}

#[test]
fn every_row_can_be_carried_out_at_full_size() {
    assert!(PaperTable::numbers().eq(6..=14));
    for table in tables() {
        let base = Recipe::preset(&table.recipe).unwrap();
        let commands = table.full_size_commands();
        let mut recipes = Vec::new();
        for (row, commands) in table.rows.iter().zip(&commands) {
            let what = format!("table {}, row {}", table.number, row.name);
            assert_eq!(row.paper.len(), table.metrics.len(), "{what}");
            assert_eq!(commands.commands.len(), 1 + table.metrics.len(), "{what}");
            let changes = table.full_changes(row);
            assert!(
                changes
                    .iter()
                    .all(|change| commands.commands[0].contains(change)),
                "{what}: {commands:?}"
            );
            let recipe = base.with_overrides(&changes).unwrap();
            recipe.validate().unwrap();
            recipes.push(recipe.clone());
            planned(recipe, IMAGENET, &what);
        }
        all_differ(&recipes, &table.title);
    }
}

#[test]
fn every_row_can_be_carried_out_with_both_small_recipes() {
    for preset in ["cifar10_vit_nano_plain", "scenes_vit_nano_plain"] {
        for table in tables() {
            let small = Recipe::preset(preset).unwrap();
            let mut recipes = Vec::new();
            for row in &table.rows {
                let what = format!("{preset}, table {}, row {}", table.number, row.name);
                let changes = table.small_changes(row, &small);
                let recipe = small.with_overrides(&changes).unwrap();
                let sampler = recipe.mask_sampler().unwrap();
                for group in 0..20 {
                    let masks = sampler.sample(32, &mut MaskRng::for_group(0, 0, group));
                    assert!(masks.contexts.iter().all(|mask| mask.kept() > 1), "{what}");
                    assert!(masks.targets.iter().all(|mask| mask.kept() > 0), "{what}");
                }
                recipes.push(recipe.clone());
                planned(recipe, 20_000, &what);
            }
            all_differ(&recipes, &format!("{preset}, {}", table.title));
        }
    }
}

#[test]
fn small_contexts_grow_and_shrink_as_the_papers_do() {
    // Mean share of the patches in a context, over groups; the paper's is 0.25 and 0.4.
    let share = |table: u8, name: &str| {
        let small = Recipe::preset("cifar10_vit_nano_plain").unwrap();
        let table = PaperTable::find(table).unwrap();
        let row = table.rows.iter().find(|row| row.name == name);
        let changes = table.small_changes(row.unwrap(), &small);
        let recipe = small.with_overrides(&changes).unwrap();
        let sampler = recipe.mask_sampler().unwrap();
        let patches: usize = (0..50)
            .map(|group| sampler.sample(32, &mut MaskRng::for_group(0, 0, group)))
            .map(|masks| masks.contexts[0].kept())
            .sum();
        patches as f64 / (50.0 * 36.0)
    };
    let [multi, raster, block, random] =
        ["multi-block", "rasterized", "block", "random"].map(|name| share(6, name));
    assert!((0.15..0.3).contains(&multi), "{multi}");
    assert_eq!(raster, 0.25);
    assert!((0.35..0.45).contains(&block) && (0.35..0.45).contains(&random));
    let falls = |shares: &[f64]| shares.windows(2).all(|pair| pair[0] > pair[1]);
    assert!(falls(&["1", "2", "3", "4"].map(|name| share(10, name))));
    assert!(falls(
        &["0.15-0.2", "0.2-0.25", "0.2-0.3"].map(|name| share(8, name))
    ));
    assert!(share(9, "0.4-1.0") < share(9, "0.85-1.0"));
}

#[test]
fn rows_that_were_not_run_are_dashes_and_finished_runs_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let few = study(6, &["multi-block", "random"], &[0, 1]);
    let (report, told) = run(&few, folder.path()).unwrap();
    // Seed by seed, so that what is there at any time is a fair table.
    assert_eq!(
        told,
        ["multi-block 0", "random 0", "multi-block 1", "random 1"]
    );
    let [multi, raster, _, random] = &report.rows[..] else {
        panic!("four rows");
    };
    assert_eq!((multi.runs.len(), raster.runs.len()), (2, 0));
    assert_eq!((multi.runs[0].steps, multi.runs[0].images), (16, 96));
    assert_eq!(multi.accuracy[0].unwrap().runs, 2);
    assert_eq!((raster.accuracy[0], multi.difference[0]), (None, None));
    let difference = random.difference[0].unwrap();
    assert_eq!(difference.verdict, Verdict::TooFewSeeds);
    let text = report.to_string();
    let row = text
        .lines()
        .find(|line| line.contains("rasterized"))
        .unwrap();
    assert!(row.ends_with("| - | - | - | - | 15.5 |  |"), "{row}");
    assert!(text.contains("20 of 60 labels for low-shot evaluation (4 a class), 20 test"));

    // Again with another row: what is finished stays as it is, and so do its figures.
    let metrics = multi.runs[1].run.join("metrics.csv");
    fs::write(&metrics, "untouched").unwrap();
    let more = study(6, &["rasterized"], &[0, 1]);
    let (again, told) = run(&more, folder.path()).unwrap();
    assert_eq!(told, ["rasterized 0", "rasterized 1"]);
    assert_eq!(again.rows[0].accuracy, multi.accuracy);
    assert_eq!(again.rows[1].runs.len(), 2);
    run(&few, folder.path()).unwrap();
    assert_eq!(fs::read_to_string(&metrics).unwrap(), "untouched");

    // The row of four targets is the run of multi-block.
    let (ten, told) = run(&study(10, &["4"], &[0, 1]), folder.path()).unwrap();
    assert_eq!(told, ["4 0", "4 1"]);
    let mut runs = ten.rows[3].runs.clone();
    runs.iter_mut()
        .for_each(|run| run.variant = "multi-block".to_owned());
    assert_eq!(runs, multi.runs);
    assert_eq!(fs::read_to_string(&metrics).unwrap(), "untouched");
    let folders = fs::read_dir(folder.path()).unwrap();
    assert_eq!(folders.count(), 6);
}

#[test]
fn every_metric_judges_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let (report, _) = run(&study(13, &["0.05"], &[3]), folder.path()).unwrap();
    let found = &report.rows[1].runs[0];
    assert!(found.accuracy.iter().all(Option::is_some), "{found:?}");
    let tuned = |run: &Path| {
        let entries = fs::read_dir(run)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        entries
            .filter(|path| path.join("finetune.toml").exists())
            .count()
    };
    assert_eq!(tuned(&found.run), 1);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["metrics"][0], "low_shot_fine_tuning");
    assert_eq!(json["rows"][1]["paper"][1], 76.4);

    // Other labels are another figure of the same run.
    let fewer = study_with(13, &["0.05"], &[3], Labels::PerClass(2));
    let metrics = found.run.join("metrics.csv");
    let trained = fs::read_to_string(&metrics).unwrap();
    let (report, _) = run(&fewer, folder.path()).unwrap();
    assert_eq!(report.paper.as_ref().unwrap().low_shot_images, 10);
    assert_eq!(tuned(&found.run), 2);
    assert_eq!(report.rows[1].runs[0].accuracy[1], found.accuracy[1]);
    assert_eq!(fs::read_to_string(&metrics).unwrap(), trained);
}

#[test]
fn a_table_has_its_own_metric() {
    let metrics: BTreeSet<String> = tables()
        .map(|table| {
            let names: Vec<_> = table.metrics.iter().map(|metric| metric.name()).collect();
            format!("{}: {}", table.number, names.join(", "))
        })
        .collect();
    assert!(metrics.contains("13: low-shot fine-tuning, linear"));
    assert!(metrics.contains("14: low-shot fine-tuning"));
    let linear = metrics
        .iter()
        .filter(|text| text.ends_with(": low-shot linear"));
    assert_eq!(linear.count(), 7);
}

#[test]
fn a_folder_of_other_runs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = study(10, &["1"], &[0]);
    run(&first, folder.path()).unwrap();
    let longer = Study {
        images: Some(192),
        ..first
    };
    match run(&longer, folder.path()).unwrap_err() {
        StudyError::OtherRun { key, .. } => assert_eq!(key, "optimizer.steps_per_epoch"),
        error => panic!("{error}"),
    }
}

#[test]
fn what_makes_no_table_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |study: &Study| {
        let error = run(study, folder.path()).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{error}");
        error.to_string()
    };
    assert_eq!(
        refused(&study(6, &["raster"], &[0])),
        "no variant is called `raster`, the nearest is `rasterized`; \
         there are multi-block, rasterized, block, random"
    );
    let no_seed = refused(&study(6, &[], &[]));
    assert_eq!(no_seed, "a study needs at least one seed");
    let mut broken = study(9, &[], &[0]);
    let recipe = broken.recipe.with_overrides(&["model.image_size=8"]);
    broken.recipe = recipe.unwrap();
    assert_eq!(refused(&broken), "variant `0.4-1.0`");
}
