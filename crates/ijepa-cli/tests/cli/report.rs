//! `report`: from a run directory to a page.

use std::fs;

use ijepa_testkit::device_name;

use crate::support::{fails, json, path_text, text, tiny, words};

#[test]
fn a_run_becomes_a_page_with_patch_features() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("nano");
    text(&tiny(&run, "--max-steps 4 --lidar"));
    let epochs = fs::read_to_string(run.join("epochs.csv")).unwrap();
    // The first row is of random weights.
    let row: Vec<&str> = epochs.lines().nth(2).unwrap().split(',').collect();
    // Everything but kNN and probe, which need labelled images, was measured.
    let measured: Vec<bool> = row.iter().map(|cell| !cell.is_empty()).collect();
    assert_eq!(
        measured,
        [true, true, true, false, false, true, true, true, true, true]
    );
    assert!(run.join("checkpoints/best/encoder.safetensors").exists());

    let device = device_name();
    let command = format!("report {} --images 2 --device {device}", run.display());
    let result = json(&words(&command));
    assert_eq!(result["runs"][0]["steps"], 4);
    assert_eq!(result["runs"][0]["verdict"], "too_early");
    assert_eq!(result["out"], path_text(run.join("report.html")));
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 4);
    assert!(page.contains("<h3>LiDAR</h3>") && page.contains("<h3>Alignment</h3>"));

    // Two runs, without the data of one; the page is the same each time.
    let other = folder.path().join("other");
    text(&tiny(&other, "--max-steps 4 --set optimizer.lr=5e-4"));
    fs::write(
        other.join("environment.json"),
        r#"{"data":"folder:no/such"}"#,
    )
    .unwrap();
    let out = folder.path().join("both.html");
    let command = format!(
        "report {} {} --out {} --device {device}",
        run.display(),
        other.display(),
        out.display()
    );
    let said = text(&words(&command));
    assert!(
        said.contains("nano: too early to tell: 4 steps") && said.contains("wrote "),
        "{said}"
    );
    let page = fs::read_to_string(&out).unwrap();
    assert!(page.contains("<th scope=\"row\">optimizer.lr</th>"));
    assert!(
        page.contains("no/such") && page.contains("Not shown: "),
        "{said}"
    );
    text(&words(&command));
    assert_eq!(fs::read_to_string(&out).unwrap(), page);
}

#[test]
fn what_cannot_be_reported_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let check = |args: &str, code: i32, message: &str| fails(&words(args), code, message);
    let empty = folder.path().display();
    check(
        &format!("report {empty}"),
        4,
        "is no run directory: it has neither",
    );
    check(&format!("report {empty} --data no/such"), 4, "no/such");
    check(
        &format!("report {empty} --out {empty}"),
        2,
        "is a folder, expected a file name",
    );
    check(
        &format!("report {empty} --out {empty}/metrics.csv"),
        2,
        "a name that ends in .html",
    );
    check("report", 2, "<RUN>");
}
