//! What a run left behind, and a page about it.

#![no_main]

use std::fs;

use ijepa_fuzz::{FREE, check, parts, path, write};
use ijepa_report::{Report, RunRecord};
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 12] = [
    "recipe.toml",
    "finetune.toml",
    "decoder.toml",
    "environment.json",
    "metrics.csv",
    "monitors.csv",
    "epochs.csv",
    "baselines.json",
    "knn.json",
    "probe.json",
    "lowshot.json",
    "evaluation.json",
];

fuzz_target!(|input: &[u8]| {
    let contents: [_; FILES.len()] = parts(input);
    for (name, content) in FILES.into_iter().zip(contents) {
        let file = write(&format!("run/{name}"), content);
        // The first settings that are there say what the run trains.
        if content.is_empty() {
            fs::remove_file(file).expect("it was written");
        }
    }
    // Two runs, so that they are compared, too; the page brings its script along.
    check(input, 4 * FREE, 4096, || {
        let Ok(run) = RunRecord::read(path("run")) else {
            return;
        };
        let _ = (run.judgement(), run.total_steps(), run.data_spec());
        let report = Report::new(vec![run.clone(), run]);
        assert!(report.to_html().ends_with("</html>\n"));
        let _ = report.to_json();
    });
});
