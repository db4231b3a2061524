//! `ijepa bench data`: how fast batches are read, decoded and cropped.

use std::sync::Arc;

use clap::Args;
use ijepa_data::{Loader, LoaderConfig};
use serde_json::json;

use super::rates::{Rates, RoundArgs, rates};
use crate::{
    args::{DataArgs, RecipeArgs},
    context::Context,
    error::CliError,
    report::Report,
};

/// Load batches as training does, and nothing else
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa bench data --data folder:imagenet/train --workers 8\n  \
                  ijepa bench data --data scenes:n=2000,size=32 --recipe scenes_vit_nano --workers 2"
)]
pub(crate) struct Data {
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    time: RoundArgs,
}

impl Data {
    pub(super) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let recipe = self.recipe.load()?;
        let augment = recipe.augment()?;
        let [height, width] = augment.size;
        let source = self.data.open_unlabelled(context)?;
        // A set that is smaller than the recipe's batch can still be measured.
        let fitting = recipe.run.batch_size.min(source.len()).max(1);
        let batch_size = context.batch_size.unwrap_or(fitting);
        let workers = context.workers();
        let config = LoaderConfig {
            batch_size,
            places: None,
            seed: context.seed.unwrap_or(recipe.run.seed),
            start_step: 0,
            workers,
            augment,
            max_bad_fraction: recipe.data.max_bad_fraction,
            reading: context.reading(),
        };
        let mut loader = Loader::new(Arc::clone(&source), config)?;
        let load = || {
            loader
                .next_batch()
                .map(|batch| drop(std::hint::black_box(batch)))
        };
        let RoundArgs { seconds, rounds } = self.time;
        let images_per_s = rates(rounds, seconds, batch_size, load)?;
        let Rates { median, min, max } = images_per_s;
        let skipped = loader.skipped().len();
        let mut text = format!(
            "images/s  median {median:.0}, {min:.0} to {max:.0}\n\
             {}, crops of {height} x {width}, batches of {batch_size}, {workers} workers, \
             {rounds} rounds in {seconds} s\n",
            self.data.spec()
        );
        if skipped > 0 {
            text += &format!("skipped   {skipped} images that could not be read\n");
        }
        Ok(Report {
            text,
            json: json!({
                "images_per_s": images_per_s.json(),
                "data": self.data.spec(),
                "images": source.len(),
                "image_size": [height, width],
                "batch_size": batch_size,
                "workers": workers,
                "skipped": skipped,
                "arch": recipe.model.arch.as_deref().unwrap_or("custom"),
                "device": "cpu",
                "precision": "none",
                "threads": workers.max(1),
            }),
        })
    }
}
