//! The numbers of a run.

use ijepa_model::TargetMasking;
use ijepa_report::{Report, Verdict};
use ijepa_train::{Recipe, flops::StepTokens};

use crate::{Run, chart, check};

#[test]
fn hours_count_for_every_process_that_took_part() {
    let rows = "0,0,64,64,\n0,1,128,64,3\n0,2,192,64,\n";
    let metrics = format!("epoch,step,images,images_per_s,processes\n{rows}");
    let run = Run::new("several").with("metrics.csv", &metrics);
    let hours = run.record().summary().device_hours.unwrap();
    assert!((hours - 5.0 / 3600.0).abs() < 1e-12, "{hours}");
}

#[test]
fn a_run_is_shown_with_its_figures() {
    let run = Run::trained("nano", 40);
    let page = run.page();
    check(&page);
    for text in ["<title>nano ", ">learning</span>", "391 <small>of 5,000"] {
        assert!(page.contains(text), "{text}");
    }
    for chart in [
        "Loss",
        "Gradient norm",
        "RankMe",
        "kNN accuracy, %",
        "Learning rate",
    ] {
        assert!(page.contains(&format!("<h3>{chart}</h3>")), "{chart}");
    }
    assert!(page.contains("Masks of image 1: context of 20 patches"));
    assert!(page.contains("lr = 0.001") && page.contains("Not shown: no weights"));

    let summary = run.record().summary();
    assert_eq!((summary.steps, summary.images), (391, Some(391 * 32)));
    assert_eq!(
        (summary.knn, summary.rankme, summary.probe),
        (Some(31.5), Some(12.0), None)
    );
    assert_eq!(summary.judgement.verdict, Verdict::Learning);
    // 391 * 32 images at 64 images/s.
    let hours = summary.device_hours.unwrap();
    assert!((hours - 391.0 / 2.0 / 3600.0).abs() < 1e-9, "{hours}");
    let flop = summary.flop.unwrap();
    let recipe = run.record().recipe().unwrap().model_config().unwrap();
    let tokens = StepTokens {
        contexts: 1,
        context: 20,
        targets: 4,
        target: 12,
    };
    let expected = 391.0 * 32.0 * ijepa_train::flops::step(&recipe, TargetMasking::Output, tokens);
    assert!((flop / expected - 1.0).abs() < 1e-9, "{flop} {expected}");

    // One target, whatever the keys say that other strategies read.
    let random = Recipe::preset("scenes_vit_nano").unwrap();
    let random = random.with_overrides(&["mask.strategy=random"]).unwrap();
    let run = run.with("recipe.toml", &random.to_toml());
    let expected = 391.0
        * 32.0
        * ijepa_train::flops::step(
            &recipe,
            TargetMasking::Output,
            StepTokens {
                targets: 1,
                ..tokens
            },
        );
    let flop = run.record().summary().flop.unwrap();
    assert!((flop / expected - 1.0).abs() < 1e-9, "{flop} {expected}");
}

#[test]
fn scores_of_other_images_have_no_part_in_the_verdict() {
    let ranks = |since: u64| {
        let run = Run::trained("nano", 40)
            .with(
                "epochs.csv",
                "epoch,step,rankme\n,0,90\n0,100,80\n0,100,12\n1,200,11\n",
            )
            .with("evaluation.json", &format!(r#"{{"since_step": {since}}}"#));
        run.record().judgement().verdict
    };
    assert_eq!(ranks(0), Verdict::Collapsing);
    assert_eq!(ranks(100), Verdict::Learning);
}

#[test]
fn a_schedule_is_as_long_as_the_last_whole_epoch_says() {
    let recipe = Recipe::preset("scenes_vit_nano").unwrap();
    let by_data = recipe.with_overrides(&["optimizer.steps_per_epoch=0"]);
    let run = Run::new("broken-off")
        .with("recipe.toml", &by_data.unwrap().to_toml())
        .with("epochs.csv", "epoch,step,knn\n0,100,25\n,150,26\n");
    let record = run.record();
    let epochs = record.recipe().unwrap().optimizer.epochs as u64;
    assert_eq!(record.total_steps(), Some(100 * epochs));
}

/// A part of a group has longer contexts than the whole.
#[test]
fn masks_are_those_of_whole_groups() {
    let recipe = Recipe::preset("scenes_vit_nano").unwrap();
    let large = ["mask.group_size=3072", "run.batch_size=3072"];
    let recipe = recipe.with_overrides(&large).unwrap();
    let run = Run::new("large").with("recipe.toml", &recipe.to_toml());
    assert!(run.page().contains("Over 3072 images."));
}

#[test]
fn only_runs_of_the_same_data_and_settings_are_repetitions() {
    let are_grouped = |change: fn(Run) -> Run| {
        let [a, b] = ["a", "b"].map(|name| Run::trained(name, 9));
        let runs = [a, change(b)].map(|run| run.record());
        let page = Report::new(runs.into()).to_html();
        let series = chart(&page, "Loss")["series"].clone();
        series[0]["group"] == series[1]["group"]
    };
    assert!(are_grouped(|run| run));
    assert!(!are_grouped(|run| {
        run.with("environment.json", r#"{"data":"photographs"}"#)
    }));
    let [a, b] = ["a", "b"].map(|name| {
        let run = Run::trained(name, 9);
        std::fs::remove_file(run.path.join("recipe.toml")).unwrap();
        run
    });
    let page = Report::new(vec![a.record(), b.record()]).to_html();
    let series = chart(&page, "Loss")["series"].clone();
    assert_ne!(series[0]["group"], series[1]["group"]);
}
