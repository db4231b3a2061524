//! The page about runs of every kind: finished, just started, broken off, broken.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod absurd;
mod figures;
mod histories;
mod settings;

use std::{fmt::Write, fs, path::PathBuf};

use ijepa_masking::RgbPicture;
use ijepa_report::{PatchPicture, Report, ReportError, RunRecord, Verdict};
use ijepa_train::Recipe;

const METRICS: &str = "epoch,step,images,loss,lr,wd,ema,context_patches,target_patches,\
data_wait_ms,step_ms,images_per_s,grad_norm,feature_std\n";
const MONITORS: &str = "epoch,step,feature_std,patch_cosine,image_cosine,loss_ratio\n";

/// A run directory that goes when the test ends.
struct Run {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Run {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        let run = Self {
            _folder: folder,
            path,
        };
        let recipe = Recipe::preset("scenes_vit_nano").unwrap();
        run.with("recipe.toml", &recipe.to_toml())
    }

    fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.path.join(file), text).unwrap();
        self
    }

    /// A run of `rows` logged steps, ten steps and 320 images a row at 64 images/s.
    fn trained(name: &str, rows: usize) -> Self {
        let (mut metrics, mut monitors) = (METRICS.to_owned(), MONITORS.to_owned());
        for row in 0..rows {
            let (step, images) = (row * 10, (row * 10 + 1) * 32);
            let loss = 1.0 / (1.0 + row as f64);
            let _ = writeln!(
                metrics,
                "0,{step},{images},{loss},1e-3,0.04,0.996,20,12,1.00,500.00,64.00,0.5,0.6"
            );
            let _ = writeln!(monitors, "0,{step},0.6,0.9,0.7,0.5");
        }
        let epochs = "epoch,step,rankme,knn,probe\n0,100,9.5,25,\n1,200,12,31.5,\n";
        Self::new(name)
            .with("metrics.csv", &metrics)
            .with("monitors.csv", &monitors)
            .with("epochs.csv", epochs)
            .with(
                "environment.json",
                r#"{"device":"flex","data":"scenes","total_steps":5000}"#,
            )
    }

    fn record(&self) -> RunRecord {
        RunRecord::read(&self.path).unwrap()
    }

    fn page(&self) -> String {
        Report::new(vec![self.record()]).to_html()
    }
}

/// Data of the charts of a page, by title.
fn chart(page: &str, title: &str) -> serde_json::Value {
    let figure = page.split(&format!("<h3>{title}</h3>")).nth(1).unwrap();
    let data = figure.split("application/json\">").nth(1).unwrap();
    serde_json::from_str(data.split("</script>").next().unwrap()).unwrap()
}

/// What every page must keep to.
fn check(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
    for address in ["http:", "https:", "//cdn", "@import", "url("] {
        assert!(!page.contains(address), "{address} in the page");
    }
    for broken in ["NaN", "inf\"", "None", "null,"] {
        let curves = page.split("<h2>Masks").next().unwrap();
        let curves = curves.split("<!-- uPlot").next().unwrap();
        let body = curves.split("</style>").nth(1).unwrap();
        assert!(!body.contains(broken), "{broken} in the page");
    }
    for (open, close) in [
        ("<figure", "</figure>"),
        ("<table", "</table>"),
        ("<svg", "</svg>"),
    ] {
        assert_eq!(
            page.matches(open).count(),
            page.matches(close).count(),
            "{open}"
        );
    }
    // A picture without words is invisible to some readers.
    let pictures = page.matches("role=\"img\"").count();
    assert_eq!(page.matches("aria-label=").count(), pictures);
}

#[test]
fn runs_that_hardly_began_or_broke_off_have_a_page() {
    let empty = Run::new("empty");
    assert!(empty.page().contains("No step was logged yet."));
    check(&empty.page());
    let header = Run::new("header").with("metrics.csv", METRICS);
    check(&header.page());
    assert!(header.page().contains(">too early to tell</span>"));
    let one = Run::trained("one", 1);
    check(&one.page());
    assert!(one.page().contains("Loss over step. one: from 1 to 1"));
    let unfinished = format!("{METRICS}0,0,32,0.5,1e-3,0.04,0.996,20,12,1,2,3,0.5,0.6\n0,10,3");
    let cut = Run::new("cut").with("metrics.csv", &unfinished);
    check(&cut.page());
    assert_eq!(cut.record().summary().steps, 1);
    let nan = format!("{METRICS}0,0,32,NaN,1e-3,0.04,0.996,20,12,1,2,0,inf,NaN\n");
    let diverged = Run::new("diverged").with("metrics.csv", &nan);
    check(&diverged.page());
    assert_eq!(diverged.record().summary().loss_last, None);
    let strange = Run::trained("strange", 9)
        .with("epochs.csv", "")
        .with("environment.json", "{")
        .with("recipe.toml", "[model]\nno_such_key = 1 # <script>\n");
    check(&strange.page());
    assert!(strange.page().contains("no_such_key = 1 # &lt;script&gt;"));
    assert!(strange.page().contains("Not shown: the recipe is missing"));
    let mut recipe = Recipe::preset("scenes_vit_nano").unwrap();
    recipe.mask.group_size = 0;
    let by_hand = Run::trained("by-hand", 9).with("recipe.toml", &recipe.to_toml());
    check(&by_hand.page());
}

#[test]
fn verdicts_follow_the_monitors() {
    let mut monitors = MONITORS.to_owned();
    for step in 0..40 {
        let _ = writeln!(monitors, "0,{step},0.01,0.9,0.7,0.5");
    }
    let run = Run::trained("flat", 40).with("monitors.csv", &monitors);
    assert_eq!(run.record().judgement().verdict, Verdict::Collapsed);
    assert!(
        run.page()
            .contains("<span class=\"pill collapsed\">collapsed</span>")
    );
    let sinking = "epoch,step,rankme,knn,probe\n0,100,9.5,25,\n1,200,5,31.5,\n";
    let run = Run::trained("sinking", 40).with("epochs.csv", sinking);
    assert_eq!(run.record().judgement().verdict, Verdict::Collapsing);
}

#[test]
fn files_that_are_not_what_they_should_be_are_named_and_left_out() {
    let run = Run::trained("nano", 5)
        .with("metrics.csv", "<html>\n</html>\n")
        .with("knn.json", "{");
    assert_eq!(run.record().unread(), ["knn.json", "metrics.csv"]);
}

#[test]
fn runs_are_compared() {
    let (a, b) = (Run::trained("a", 40), Run::trained("b", 20));
    let recipe = Recipe::preset("scenes_vit_nano").unwrap();
    let other = recipe.with_overrides(&["optimizer.lr=5e-4"]).unwrap();
    let b = b.with("recipe.toml", &other.to_toml());
    let report = Report::new(vec![a.record(), b.record()]);
    let page = report.to_html();
    check(&page);
    assert!(page.contains("<th scope=\"row\">optimizer.lr</th><td>0.001</td><td>0.0005</td>"));
    assert!(!page.contains("<th scope=\"row\">optimizer.epochs</th>"));
    assert!(page.contains("class=\"line s1 d0\"") && page.contains("name=\"run\" value=\"1\""));
    assert!(page.contains("Against hours of computing on one device."));
    assert!(page.contains("kNN accuracy, % over FLOP. a: from 25 to 31.5"));
    assert_eq!(report.to_json()["runs"][1]["steps"], 200);

    // Runs of one name are told apart.
    let twins = Report::new(vec![a.record(), Run::trained("a", 3).record()]);
    assert!(twins.runs()[0].name() != twins.runs()[1].name());
}

#[test]
fn accuracies_of_finished_runs_are_marks_over_device_hours() {
    let linear = r#"{"protocol":"vissl-in1k","top1":61.5}"#;
    let low_shot = r#"{"protocol":"lowshot-logistic","top1":40.25}"#;
    let short = Run::trained("short", 20)
        .with("probe.json", linear)
        .with("lowshot.json", low_shot);
    // A run of few steps whose only probe used few labels, and one that nobody judged.
    let long = Run::trained("long", 40).with("probe.json", low_shot);
    let other = Run::trained("other", 10);
    let record = |run: &Run| run.record();
    let page = Report::new([&short, &long, &other].map(record).into()).to_html();
    check(&page);
    assert!(
        page.contains("Low-shot accuracy, % over device-hours. short: from 40.25 to 40.25"),
        "{page}"
    );
    // One mark of linear accuracy compares nothing, nor does one of other heads.
    assert!(!page.contains("<h3>Linear accuracy, %</h3>"));
    let attentive = r#"{"protocol":"attentive","top1":70.0}"#;
    let other = other.with("probe.json", attentive);
    let page = Report::new([&short, &long, &other].map(record).into()).to_html();
    assert!(!page.contains("<h3>Linear accuracy, %</h3>"));
    let long = long.with("probe.json", linear);
    let page = Report::new([&short, &long].map(record).into()).to_html();
    check(&page);
    let marks = chart(&page, "Linear accuracy, %")["series"].clone();
    for (run, images) in [191.0 * 32.0, 391.0 * 32.0].into_iter().enumerate() {
        // At 64 images/s.
        let hours = marks[run]["x"][0].as_f64().unwrap();
        assert!((hours - images / 64.0 / 3600.0).abs() < 1e-9);
        assert_eq!(marks[run]["y"], serde_json::json!([61.5]));
    }
    assert_eq!(marks.as_array().unwrap().len(), 2);
}

#[test]
fn pictures_and_results_are_part_of_the_page() {
    let knn = r#"{"k":{"20":{"top1":51.25,"top5":90.0}},"encoder":"target"}"#;
    let run = Run::trained("nano", 5).with("knn.json", knn);
    let mut report = Report::new(vec![run.record()]);
    let picture = |pixel: u8| RgbPicture {
        width: 2,
        height: 1,
        pixels: vec![pixel; 6],
    };
    let patches = vec![PatchPicture {
        name: "cat <1>".to_owned(),
        image: picture(7),
        patches: picture(200),
    }];
    report.set_patches(0, Ok(patches));
    let page = report.to_html();
    check(&page);
    assert_eq!(
        page.matches("src=\"data:image/png;base64,iVBORw0KGgo")
            .count(),
        2
    );
    assert!(page.contains("alt=\"Patch features of cat &lt;1&gt;\""));
    assert!(page.contains("<th scope=\"row\">k 20 top1</th><td>51.25</td>"));
    assert_eq!(
        report.to_json()["runs"][0]["results"]["knn"]["k"]["20"]["top1"],
        51.25
    );
}

#[test]
fn a_folder_without_a_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = RunRecord::read(folder.path()).unwrap_err();
    assert!(matches!(error, ReportError::NoRun { .. }));
    let message = error.to_string();
    assert!(message.ends_with("is no run directory: it has neither metrics.csv nor the settings of a run, nor have its folders"));
}

#[test]
fn fine_tuning_and_decoder_runs_are_what_they_say() {
    let mut metrics =
        String::from("epoch,step,images,loss,lr,data_wait_ms,step_ms,images_per_s,grad_norm\n");
    for step in 0..200 {
        let loss = 2.0 / (1.0 + f64::from(step) / 20.0);
        let _ = writeln!(
            metrics,
            "0,{step},{},{loss},1e-3,1,20,1600,0.5",
            32 * (step + 1)
        );
    }
    let run = |settings: &str| {
        let run = Run::new("labels").with("metrics.csv", &metrics);
        fs::remove_file(run.path.join("recipe.toml")).unwrap();
        run.with(settings, "[run]\nseed = 0\n")
    };
    let tuned = run("finetune.toml").with(
        "epochs.csv",
        "epoch,step,top1,top5\n1,100,40,80\n2,200,55.5,91\n",
    );
    let page = tuned.page();
    check(&page);
    assert!(page.contains("I-JEPA fine-tuning") && page.contains(">learning</span>"));
    assert_eq!(
        chart(&page, "Top-1 accuracy, %")["series"][0]["y"],
        serde_json::json!([40.0, 55.5])
    );
    assert_eq!(tuned.record().summary().top1, Some(55.5));
    assert!(!page.contains("<h2>Masks"));

    let decoder = run("decoder.toml");
    assert!(decoder.page().contains("I-JEPA decoder training"));
    assert_eq!(decoder.record().judgement().verdict, Verdict::Learning);
}

#[test]
fn a_folder_of_runs_is_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    for run in 0..9 {
        let path = folder.path().join(format!("base-seed{run}"));
        fs::create_dir(&path).unwrap();
        fs::write(path.join("metrics.csv"), METRICS).unwrap();
        fs::write(path.join("recipe.toml"), format!("[run]\nseed = {run}\n")).unwrap();
    }
    fs::create_dir(folder.path().join("pictures")).unwrap();
    let broken = folder.path().join("broken").join("recipe.toml");
    fs::create_dir_all(broken).unwrap();
    let (runs, unread) = RunRecord::read_all(folder.path()).unwrap();
    let names: Vec<&str> = runs.iter().map(RunRecord::name).collect();
    assert_eq!((names.len(), names[8]), (9, "base-seed8"));
    assert!(matches!(unread[..], [ReportError::Read { .. }]));
    let page = Report::new(runs).to_html();
    // The seventh run has the first one's colour and other dashes.
    assert!(page.contains("class=\"line s0 d0\"") && page.contains("class=\"line s0 d1\""));

    let missing = folder.path().join("nowhere");
    let error = RunRecord::read_all(&missing).unwrap_err();
    assert!(matches!(error, ReportError::Missing { .. }), "{error}");
    for other in ["pictures", "base-seed0/metrics.csv"] {
        let error = RunRecord::read_all(folder.path().join(other)).unwrap_err();
        assert!(matches!(error, ReportError::NoRun { .. }), "{error}");
    }
}

#[test]
fn points_are_where_they_were_measured() {
    let mut metrics = METRICS.to_owned();
    // The batch size changes on the way.
    for (step, images) in [(0, 10), (10, 110), (20, 1110)] {
        let _ = writeln!(
            metrics,
            "0,{step},{images},0.5,1e-3,0,1,20,12,1,2,3,0.5,0.6"
        );
    }
    let epochs = "epoch,step,rankme,knn\n0,0,5,20\n0,11,6,25\n1,21,7,30\n";
    let run = || {
        let run = Run::new("moved").with("metrics.csv", &metrics);
        run.with("monitors.csv", &format!("{MONITORS}0,20,0.6,0.9,0.7,0.5\n"))
            .with("epochs.csv", epochs)
    };
    let (a, b) = (run(), run());
    let page = Report::new(vec![a.record(), b.record()]).to_html();
    let xs = |title: &str| chart(&page, title)["series"][0]["x"].clone();
    assert_eq!(xs("Likeness of images"), serde_json::json!([1110.0]));
    assert_eq!(
        xs("kNN accuracy, %"),
        serde_json::json!([0.0, 110.0, 1110.0])
    );
    let knn = chart(&page, "kNN accuracy, %");
    assert_eq!(knn["series"][0]["start"], 20.0);
    // Repetitions share a number.
    assert_eq!(knn["series"][0]["group"], knn["series"][1]["group"]);
    assert!(page.contains("1,110"));
}

/// One falling signal among several that rise is no collapse.
#[test]
fn a_run_whose_scores_rise_is_not_called_collapsing() {
    let rising = "epoch,step,rankme,knn,probe,rankme_centered,feature_std,alignment,uniformity,lidar\n\
        0,0,4,30,30,40,0.2,,,9\n1,100,9,38,41,25,0.4,,,14\n2,200,12,45,50,20,0.5,,,20\n";
    let run = Run::trained("rising", 40).with("epochs.csv", rising);
    let judgement = run.record().judgement();
    assert_eq!(judgement.verdict, Verdict::Learning, "{}", judgement.reason);
    let falling = rising
        .replace(",38,41,25,0.4", ",25,25,25,0.1")
        .replace(",45,50,20,0.5,,,20", ",20,20,10,0.05,,,3");
    let falling = falling.replace("200,12,", "200,3,");
    let run = Run::trained("falling", 40).with("epochs.csv", &falling);
    assert_eq!(run.record().judgement().verdict, Verdict::Collapsing);
}
