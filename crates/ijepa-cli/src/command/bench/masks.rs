//! `ijepa bench masks`: how fast masks are drawn.

use clap::Args;
use ijepa_masking::{MaskRng, MaskSampler};
use ijepa_train::Recipe;
use serde_json::json;

use super::rates::{Rates, RoundArgs, rates};
use crate::{
    args::{self, RecipeArgs, refuse_views},
    context::Context,
    error::CliError,
    report::Report,
};

/// Draw masks on one core
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa bench masks --set mask.mode=uniform --seconds 5")]
pub(crate) struct Masks {
    /// Architecture, with the masks of the default recipe
    #[arg(long, value_name = "NAME", conflicts_with = "recipe")]
    arch: Option<String>,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    time: RoundArgs,
}

impl Masks {
    pub(super) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let recipe = match &self.arch {
            Some(arch) => {
                let mut overrides = self.recipe.overrides.clone();
                overrides.extend(context.run_overrides());
                args::recipe_of(arch)?
                    .with_overrides(&overrides)?
                    .checked()?
            }
            None => self.recipe.load_for(context)?,
        };
        refuse_views(&recipe, "bench masks")?;
        let sampler = recipe.mask_sampler()?;
        let batch_size = recipe.run.batch_size;

        let mut step = 0;
        let draw_batch = || -> Result<(), CliError> {
            draw(sampler.as_ref(), &recipe, step);
            step += 1;
            Ok(())
        };
        let RoundArgs { seconds, rounds } = self.time;
        let images_per_s = rates(rounds, seconds, batch_size, draw_batch)?;
        let masks_per_image = {
            let group = sampler.sample(1, &mut MaskRng::for_group(0, 0, 0));
            group.contexts.len() + group.targets.len()
        };
        let masks_per_s = images_per_s.median * masks_per_image as f64;
        let arch = recipe.model.arch.as_deref().unwrap_or("custom");
        let Rates { median, min, max } = images_per_s;
        let group_size = recipe.mask_group_size();
        Ok(Report {
            text: format!(
                "images/s  median {median:.0}, {min:.0} to {max:.0}\nmasks/s   {masks_per_s:.0}\n\
                 {arch}, batches of {batch_size} in groups of {group_size}, one core, \
                 {rounds} rounds in {seconds} s\n"
            ),
            json: json!({
                "images_per_s": images_per_s.json(),
                "masks_per_s": masks_per_s,
                "arch": arch,
                "batch_size": batch_size,
                "group_size": group_size,
                "device": "cpu",
                "precision": "none",
                "threads": 1,
            }),
        })
    }
}

/// All masks of one optimizer step.
fn draw(sampler: &dyn MaskSampler, recipe: &Recipe, step: u64) {
    let group_size = recipe.mask_group_size();
    for group in 0..(recipe.run.batch_size / group_size) as u64 {
        let rng = &mut MaskRng::for_group(recipe.run.seed, step, group);
        std::hint::black_box(sampler.sample(group_size, rng));
    }
}
