//! One self-contained HTML page about one run or several.

mod chart;
mod error;
mod figures;
mod markup;
mod masks;
mod page;
mod picture;
mod run;
mod scale;
mod series;
mod summary;
mod table;

pub use error::ReportError;
pub use run::RunRecord;
pub use summary::RunSummary;

use serde_json::{Value, json};

use crate::patch_colors::PatchColors;

/// What is said of patch features that nobody gave.
const NO_PATCHES: &str = "Not shown: no weights or no images were given.";

/// Runs side by side: curves, masks, patch features, evaluations, settings and a verdict.
///
/// ```no_run
/// use ijepa_eval::{Report, RunRecord};
///
/// let runs = vec![RunRecord::read("runs/a")?, RunRecord::read("runs/b")?];
/// std::fs::write("compare.html", Report::new(runs).to_html())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Report {
    runs: Vec<RunRecord>,
    /// For every run its pictures, or a sentence that says why there are none.
    patches: Vec<Result<Vec<PatchColors>, String>>,
}

impl Report {
    /// A report on `runs`, at least one. Runs of one name are told apart by their paths.
    ///
    /// # Panics
    ///
    /// Panics if there is no run.
    pub fn new(mut runs: Vec<RunRecord>) -> Self {
        assert!(!runs.is_empty(), "a report needs at least one run");
        let names: Vec<String> = runs.iter().map(|run| run.name().to_owned()).collect();
        for (run, name) in runs.iter_mut().zip(&names) {
            if names.iter().filter(|other| *other == name).count() > 1 {
                run.use_path_as_name();
            }
        }
        let patches = runs.iter().map(|_| Err(NO_PATCHES.to_owned())).collect();
        Self { runs, patches }
    }

    /// The runs.
    pub fn runs(&self) -> &[RunRecord] {
        &self.runs
    }

    /// Sets the pictures of a run's patch features, or why there are none in a sentence.
    ///
    /// # Panics
    ///
    /// Panics if there is no such run.
    pub fn set_patches(&mut self, run: usize, patches: Result<Vec<PatchColors>, String>) {
        self.patches[run] = patches;
    }

    /// The page: no file, script, style or font from anywhere else, and the same text each time.
    pub fn to_html(&self) -> String {
        page::html(self)
    }

    /// The final figures of every run.
    pub fn to_json(&self) -> Value {
        let summaries: Vec<RunSummary> = self.runs.iter().map(RunRecord::summary).collect();
        json!({ "runs": summaries })
    }
}
