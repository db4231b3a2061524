//! The numbers of a run.

use ijepa_report::Verdict;
use ijepa_train::{Recipe, flops::StepTokens};

use crate::{Run, check};

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
    let expected = 391.0 * 32.0 * ijepa_train::flops::step(&recipe, tokens);
    assert!((flop / expected - 1.0).abs() < 1e-9, "{flop} {expected}");

    // One target, whatever the keys say that other strategies read.
    let random = Recipe::preset("scenes_vit_nano").unwrap();
    let random = random.with_overrides(&["mask.strategy=random"]).unwrap();
    let run = run.with("recipe.toml", &random.to_toml());
    let expected = 391.0
        * 32.0
        * ijepa_train::flops::step(
            &recipe,
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
