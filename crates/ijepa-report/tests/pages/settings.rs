//! What runs were told to do, as far as their files say it.

use std::fs;

use ijepa_report::Report;

use crate::{METRICS, Run, check};

#[test]
fn a_run_without_a_recipe_has_no_other_one_either() {
    let metrics = format!("{METRICS}0,0,32,0.5,1e-3,0.04,0.996,20,12,1,500,64,0.5,0.6\n");
    let run = Run::new("bare").with("metrics.csv", &metrics);
    fs::remove_file(run.path.join("recipe.toml")).unwrap();
    for run in [run, Run::new("empty").with("recipe.toml", "")] {
        let record = run.record();
        assert!(record.recipe().is_none());
        let summary = record.summary();
        assert_eq!((summary.flop, summary.total_steps), (None, None));
        let page = Report::new(vec![record.clone(), record]).to_html();
        assert!(page.contains("Not compared: a recipe is missing"));
        assert!(page.contains("Not shown: the recipe is missing"));
        assert!(page.contains("There are no settings."));
    }
}

#[test]
fn settings_of_every_kind_are_compared() {
    let tuned = |rate: &str| {
        let run = Run::new(rate);
        fs::remove_file(run.path.join("recipe.toml")).unwrap();
        let settings = format!("[optimizer]\nlr = {rate}\nepochs = 3\n");
        run.with("finetune.toml", &settings)
    };
    let [fast, slow] = ["0.125", "0.0625"].map(tuned);
    let page = Report::new(vec![fast.record(), slow.record()]).to_html();
    check(&page);
    assert!(page.contains("<th scope=\"row\">optimizer.lr</th><td>0.125</td><td>0.0625</td>"));
    assert!(!page.contains("optimizer.epochs</th>"));

    let page = Report::new(vec![fast.record(), Run::new("first").record()]).to_html();
    assert!(page.contains("Not compared: the runs are of several kinds."));
}

#[test]
fn epochs_that_ended_early_do_not_shorten_the_schedule() {
    let recipe = "[optimizer]\nsteps_per_epoch = 0\nepochs = 7\n";
    let of = |rows: &str| {
        let run = Run::new("epochs").with("recipe.toml", recipe);
        let run = run.with("epochs.csv", &format!("epoch,step,knn\n{rows}"));
        run.record().total_steps()
    };
    assert_eq!(of("0,0,20\n"), None);
    assert_eq!(of("0,0,20\n0,100,25\n1,200,30\n2,201,31\n"), Some(700));
}
