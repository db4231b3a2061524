//! `ijepa bench data`: how fast batches are read, decoded and cropped.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use ijepa_data::{Costs, DataError, JPEG_DECODER, Loader, LoaderConfig};
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
        let transform = recipe.transform()?;
        let [height, width] = recipe.augment()?.size;
        let source = self.data.open_unlabelled(context)?;
        // A set that is smaller than the recipe's batch can still be measured.
        let fitting = recipe.run.batch_size.min(source.len()).max(1);
        let batch_size = context.batch_size.unwrap_or(fitting);
        let workers = context.workers();
        let config = LoaderConfig {
            seed: context.seed.unwrap_or(recipe.run.seed),
            batch_size,
            workers,
            ..recipe.loader(transform, context.reading())
        };
        // Workers begin at once.
        let started = Instant::now();
        let mut loader = Loader::new(Arc::clone(&source), config)?;
        let load = || {
            let batch = std::hint::black_box(loader.next_batch()?);
            loader.recycle(batch);
            Ok::<(), DataError>(())
        };
        let RoundArgs { seconds, rounds } = self.time;
        let images_per_s = rates(rounds, seconds, batch_size, load)?;
        let shares = Shares::of(loader.costs(), started.elapsed(), workers);
        let Rates { median, min, max } = images_per_s;
        let per_core = median / workers.max(1) as f64;
        let skipped = loader.skipped().len();
        let mut text = format!(
            "images/s  median {median:.0}, {min:.0} to {max:.0}; {per_core:.0} a worker\n\
             read      {:.1} MB/s\n\
             workers   decode {:.0} %, crop {:.0} %, wait {:.0} %\n\
             {}, crops of {height} x {width}, batches of {batch_size}, {workers} workers, \
             {rounds} rounds in {seconds} s\n",
            shares.bytes_per_s / 1e6,
            100.0 * shares.decode,
            100.0 * shares.crop,
            100.0 * shares.wait,
            self.data.spec()
        );
        if skipped > 0 {
            text += &format!("skipped   {skipped} images that could not be read\n");
        }
        Ok(Report {
            text,
            json: json!({
                "images_per_s": images_per_s.json(),
                "images_per_s_per_worker": per_core,
                "bytes_per_s": shares.bytes_per_s,
                "decode_share": shares.decode,
                "crop_share": shares.crop,
                "wait_share": shares.wait,
                "jpeg_decoder": JPEG_DECODER,
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

/// What the workers' time went into.
#[derive(Debug, PartialEq)]
struct Shares {
    bytes_per_s: f64,
    decode: f64,
    crop: f64,
    /// For the storage, for batches to be taken, for cores that others use.
    wait: f64,
}

impl Shares {
    fn of(costs: Costs, elapsed: Duration, workers: usize) -> Self {
        let elapsed = elapsed.as_secs_f64();
        let share = |time: Duration| time.as_secs_f64() / (elapsed * workers.max(1) as f64);
        let (decode, crop) = (share(costs.decode), share(costs.crop));
        Self {
            bytes_per_s: costs.bytes as f64 / elapsed,
            decode,
            crop,
            wait: (1.0 - decode - crop).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_of_all_workers() {
        let costs = Costs {
            bytes: 3_000,
            decode: Duration::from_secs(4),
            crop: Duration::from_secs(1),
            ..Costs::default()
        };
        let expected = Shares {
            bytes_per_s: 1_500.0,
            decode: 0.5,
            crop: 0.125,
            wait: 0.375,
        };
        assert_eq!(Shares::of(costs, Duration::from_secs(2), 4), expected);
    }
}
