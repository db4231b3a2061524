//! What a run left behind, and a page about it.

#![no_main]

use ijepa_fuzz::{FREE, check, parts, path, write};
use ijepa_report::{Report, RunRecord};
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 8] = [
    "recipe.toml",
    "environment.json",
    "metrics.csv",
    "monitors.csv",
    "epochs.csv",
    "baselines.json",
    "knn.json",
    "probe.json",
];

fuzz_target!(|input: &[u8]| {
    let contents: [_; FILES.len()] = parts(input);
    for (name, content) in FILES.into_iter().zip(contents) {
        write(&format!("run/{name}"), content);
    }
    // Two runs, so that they are compared, too; the page brings its script along.
    check(input, 4 * FREE, 4096, || {
        let run = RunRecord::read(path("run")).expect("its files are there");
        let _ = (run.judgement(), run.total_steps(), run.data_spec());
        let report = Report::new(vec![run.clone(), run]);
        assert!(report.to_html().ends_with("</html>\n"));
        let _ = report.to_json();
    });
});
