//! What training runs left behind: their records, a verdict on each, and one self-contained HTML
//! page about one run or several.
//!
//! A [`RunRecord`] reads a run directory, finished or not; [`judge`] says whether it is learning or
//! collapsing; a [`Report`] is the page. Nothing here computes features: pictures of them are
//! given to [`Report::set_patches`].

mod chart;
mod costs;
mod error;
mod figures;
mod markup;
mod masks;
mod number;
mod overview;
mod page;
mod picture;
mod png;
mod run;
mod series;
mod summary;
mod table;
mod verdict;

pub use error::ReportError;
pub use overview::Overview;
pub use png::png;
pub use run::{RunKind, RunRecord};
pub use summary::RunSummary;
pub use verdict::{History, Judgement, Verdict, judge};

use ijepa_masking::RgbPicture;
use serde_json::{Value, json};

/// What is said of patch features that nobody gave.
const NO_PATCHES: &str = "Not shown: no weights or no images were given.";

/// An image beside what its patch features look like.
#[derive(Debug, Clone)]
pub struct PatchPicture {
    /// Name of the image.
    pub name: String,
    /// What the encoder saw.
    pub image: RgbPicture,
    /// A colour for every patch.
    pub patches: RgbPicture,
}

/// Runs side by side: curves, masks, patch features, evaluations, settings and a verdict.
///
/// ```no_run
/// use ijepa_report::{Report, RunRecord};
///
/// let runs = vec![RunRecord::read("runs/a")?, RunRecord::read("runs/b")?];
/// std::fs::write("compare.html", Report::new(runs).to_html())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Report {
    runs: Vec<RunRecord>,
    /// For every run its pictures, or a sentence that says why there are none.
    patches: Vec<Result<Vec<PatchPicture>, String>>,
    overview: Option<Overview>,
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
        Self {
            runs,
            patches,
            overview: None,
        }
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
    pub fn set_patches(&mut self, run: usize, patches: Result<Vec<PatchPicture>, String>) {
        self.patches[run] = patches;
    }

    /// Sets a table that stands above everything else.
    pub fn set_overview(&mut self, overview: Overview) {
        self.overview = Some(overview);
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
