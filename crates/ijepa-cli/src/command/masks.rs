//! `ijepa masks`: what the masks of a recipe look like.

use std::path::{Path, PathBuf};

use clap::Args;
use ijepa_masking::{MaskGroup, MaskReport, MaskRng, MaskSampler, PatchIndices};
use serde_json::{Value, json};

use crate::{
    args::{self, RecipeArgs, refuse_views},
    context::Context,
    error::CliError,
    picture,
    report::Report,
};

/// Pixels of a patch in pictures.
const CELL: usize = 12;
/// Images of a group in pictures.
const PANELS: usize = 6;
/// Groups that a report averages over unless told otherwise.
const REPORT_GROUPS: usize = 100;

const LEGEND: &str =
    "c context, digits targets, * several targets, # context and target, . neither";

/// Show the masks of a recipe as text or PNG, or report their sizes and positions
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa masks --set mask.mode=uniform --report --png maps.png")]
pub(crate) struct Masks {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Mask groups to draw [default: 1, with --report 100]
    #[arg(long, value_name = "N", value_parser = args::positive)]
    groups: Option<usize>,
    /// Write a picture: the masks of a few images or, with --report, the inclusion maps
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// Sizes, ratios and inclusion maps over many groups
    #[arg(long)]
    report: bool,
}

impl Masks {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        if let Some(path) = &self.png {
            picture::check_png("png", path)?;
        }
        let recipe = self.recipe.load_for(context)?;
        refuse_views(&recipe, "masks")?;
        let sampler = recipe.mask_sampler()?;
        let group_size = recipe.mask_group_size();
        let seed = recipe.run.seed;
        if self.report {
            return self.statistics(sampler.as_ref(), group_size, seed);
        }
        let draw = |group| sampler.sample(group_size, &mut MaskRng::for_group(seed, 0, group));
        let (rows, cols) = (sampler.grid().rows(), sampler.grid().cols());
        let mut text = format!(
            "{}, seed {seed}: {rows}x{cols} patches, groups of {group_size} images\n{LEGEND}\n",
            self.recipe.recipe
        );
        let (mut groups, mut pictures) = (Vec::new(), Vec::new());
        for number in 0..self.groups.unwrap_or(1) {
            let group = draw(number as u64);
            text += &describe(number, &group);
            groups.push(first_image(&group));
            if self.png.is_some() {
                pictures.push(group.to_rgb(group_size.min(PANELS), CELL));
            }
        }
        if let Some(path) = &self.png {
            picture::write_png(&picture::stack(pictures), path)?;
        }
        Ok(Report {
            text: text + &self.written(),
            json: json!({
                "recipe": self.recipe.recipe,
                "seed": seed,
                "rows": rows,
                "cols": cols,
                "group_size": group_size,
                "groups": groups,
                "png": self.png.as_deref().map(Path::to_string_lossy),
            }),
        })
    }

    fn statistics(
        &self,
        sampler: &dyn MaskSampler,
        group_size: usize,
        seed: u64,
    ) -> Result<Report, CliError> {
        let groups = self.groups.unwrap_or(REPORT_GROUPS);
        let report = MaskReport::draw(sampler, group_size, groups, seed);
        if let Some(path) = &self.png {
            picture::write_png(&report.to_rgb(CELL), path)?;
        }
        Ok(Report {
            text: report.to_string() + &self.written(),
            json: serde_json::to_value(&report).expect("a report is numbers"),
        })
    }

    fn written(&self) -> String {
        let note = |path: &PathBuf| format!("\nwrote {}\n", path.display());
        self.png.as_ref().map(note).unwrap_or_default()
    }
}

/// Sizes of a group and its first image.
fn describe(number: usize, group: &MaskGroup) -> String {
    format!(
        "\ngroup {number}: contexts of {} patches, targets of {}, {} relaxations; first image:\n{}",
        group.contexts[0].kept(),
        group.targets[0].kept(),
        group.relaxations,
        group.to_text(0)
    )
}

/// The same for programs.
fn first_image(group: &MaskGroup) -> Value {
    let rows = |masks: &[PatchIndices]| -> Vec<Vec<u32>> {
        masks.iter().map(|mask| mask.row(0).to_vec()).collect()
    };
    json!({
        "context_size": group.contexts[0].kept(),
        "target_size": group.targets[0].kept(),
        "relaxations": group.relaxations,
        "contexts": rows(&group.contexts),
        "targets": rows(&group.targets),
    })
}
