//! `ijepa report`: what became of a run, or of several side by side.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use ijepa_data::{Source, evenly_spread};
use ijepa_eval::{Components, ExtractConfig, PatchColors, patch_colors, pick_images};
use ijepa_model::files::{ensure_writable, on_one_line, write_bytes};
use ijepa_report::{PatchPicture, Report as Page, RunRecord};
use ijepa_train::Recipe;
use serde_json::json;

use crate::{
    args,
    context::Context,
    error::CliError,
    picture,
    report::{self, Report},
};

/// Write one HTML page about a run, or about several side by side
#[derive(Debug, Args)]
#[command(
    name = "report",
    after_help = "Example:\n  ijepa report runs/nano\n  \
                  ijepa report runs/a runs/b --out compare.html"
)]
pub(crate) struct ReportRuns {
    /// Run directories
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The page, HTML [default: report.html in the first run directory, runs.html in a folder of
    /// them]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Images whose patch features are shown; several times for all in turn [default: the training
    /// images of the run]
    #[arg(long, value_name = "SPEC")]
    data: Vec<String>,
    /// How many of them
    #[arg(long, value_name = "N", default_value = "8")]
    images: usize,
}

impl ReportRuns {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        if let Some(out) = &self.out {
            picture::check_ending("out", out, "html")?;
        }
        if !self.data.is_empty() {
            // What was asked for by name must be there; what the run remembers may be gone.
            args::open_pictures(&self.data)?;
        }
        let mut runs = Vec::new();
        for path in &self.runs {
            let (found, unread) = RunRecord::read_all(path)?;
            runs.extend(found);
            for error in &unread {
                report::line(&format!("warning: {}", on_one_line(error)));
            }
        }
        // A folder of runs has a page of its own, of the sweep or the study that made them.
        let page = match runs[0].path() == self.runs[0] {
            true => "report.html",
            false => "runs.html",
        };
        let out = self.out.clone();
        let out = out.unwrap_or_else(|| self.runs[0].join(page));
        ensure_writable(&out)?;
        context.compute()?;
        let mut page = Page::new(runs);
        for number in 0..page.runs().len() {
            let patches = self.patches(&page.runs()[number], context);
            page.set_patches(number, patches);
        }
        write_bytes(&out, page.to_html())?;
        let mut text = String::new();
        for run in page.runs() {
            let judgement = run.judgement();
            let words = judgement.verdict.words();
            let _ = writeln!(text, "{}: {words}: {}", run.name(), judgement.reason);
            for file in run.unread() {
                report::line(&format!(
                    "warning: `{file}` of {} cannot be read",
                    run.name()
                ));
            }
        }
        let _ = writeln!(text, "wrote {}", out.display());
        let mut result = page.to_json();
        result["out"] = json!(out.to_string_lossy());
        Ok(Report { text, json: result })
    }

    /// Patch features of the run's newest target encoder, or why there are none.
    fn patches(&self, run: &RunRecord, context: &Context) -> Result<Vec<PatchPicture>, String> {
        if self.images == 0 {
            return Err("Not shown: no images were asked for.".to_owned());
        }
        let source = match (&self.data[..], run.data_spec()) {
            ([], None) => {
                let unknown = "Not shown: the run does not say which images it saw; use --data.";
                return Err(unknown.to_owned());
            }
            ([], Some(spec)) => args::open_remembered(spec),
            (specs, _) => args::open_pictures(specs),
        };
        let drawn = source.map_err(CliError::from);
        let drawn = drawn.and_then(|source| self.draw(run, source.as_ref(), context));
        drawn.map_err(|error| format!("Not shown: {}.", on_one_line(&error)))
    }

    fn draw(
        &self,
        run: &RunRecord,
        source: &dyn Source,
        context: &Context,
    ) -> Result<Vec<PatchPicture>, CliError> {
        let compute = context.compute()?;
        let checkpoint = args::open_weights(run.path(), None, context)?;
        let encoder = checkpoint.feature_encoder(&compute.device)?;
        let encoder = encoder.with_precision(compute.precision);
        let mut config = ExtractConfig::of(&checkpoint);
        let recipe = Recipe::of_checkpoint(&checkpoint)?;
        config.reading.picture = recipe.and_then(|it| it.data.picture_channels());
        let indices = evenly_spread(source.len(), self.images);
        let size = encoder.config().image_size;
        let picked = pick_images(source, &indices, config.preprocess, size, config.reading)
            .map_err(ijepa_eval::Error::from)?;
        let colors = patch_colors(
            &encoder,
            &picked.images,
            Components::Shared,
            &config,
            &compute.device,
        );
        let picture = |of: PatchColors| PatchPicture {
            name: of.name,
            image: of.image,
            patches: of.patches,
        };
        let colors = colors.map_err(ijepa_eval::Error::from)?;
        Ok(colors.into_iter().map(picture).collect())
    }
}
