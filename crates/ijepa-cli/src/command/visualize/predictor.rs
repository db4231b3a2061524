//! `ijepa visualize predictor`: what the predictor makes of a hidden block.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use ijepa_data::Source;
use ijepa_eval::{Progress, ProgressUnit};
use ijepa_masking::{Block, MaskGroup, MaskRng, PatchGrid};
use ijepa_model::Objective;
use ijepa_train::Recipe;
use ijepa_viz::{
    NearPatch, NeighbourSearch, Networks, Prediction, PredictionConfig, PredictionMeans,
    PredictorPicture, block_masks, predictor,
};
use serde_json::json;

use super::{
    mask_sampler,
    shown::{self, ShownArgs, numbers},
};
use crate::{
    args::{self, Wanted},
    context::Context,
    error::CliError,
    features::Normalize,
    progress::StatusLine,
    report::{self, Report},
};

/// Show what the predictor makes of a hidden block, and the patches that this is like
///
/// Each row: the image; what the context encoder sees; the cosine between the mean predicted
/// feature of the block (green) and the target features of every patch; the same for the middle
/// patch of the block (blue); with --neighbours, the nearest patches of a data set, above to the
/// mean, below to the middle patch. Every map spans its own range, dark to light.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa visualize predictor --weights runs/nano \
    --data scenes:n=100,size=64 --neighbours scenes:n=2000,size=64,seed=1 --out predictor.png\n  \
    ijepa visualize predictor --weights IN1K-vit.h.14-300e.pth.tar --data folder:photos \
    --index 5 --block 4,4,6,7 --out predictor.png"
)]
pub(crate) struct Predictor {
    /// Run directory, native folder, official .pth.tar or `hf:ORG/NAME[@REVISION][/FILE]`, with a
    /// predictor
    #[arg(long, value_name = "W")]
    weights: PathBuf,
    /// Attention heads of an official file of unusual width, which does not record them
    #[arg(long, value_name = "N", value_parser = args::positive)]
    num_heads: Option<usize>,
    /// Channel statistics [default: what the weights say, else imagenet]
    #[arg(long, value_enum)]
    normalize: Option<Normalize>,
    #[command(flatten)]
    shown: ShownArgs,
    /// The block to predict from all other patches, counted from 0 [default: a target of the
    /// recipe's masks, predicted from their context]
    #[arg(long, value_name = "ROW,COL,HEIGHT,WIDTH", value_parser = numbers::<4>)]
    #[arg(conflicts_with_all = ["seed", "target"])]
    block: Option<[usize; 4]>,
    /// Which target block of the masks, counted from 0
    #[arg(long, value_name = "N", default_value = "0")]
    target: usize,
    /// Images whose patches are searched; several times for all in turn
    #[arg(long, value_name = "SPEC")]
    neighbours: Vec<String>,
    /// Patches to find for each prediction, at most one an image
    #[arg(long, value_name = "K", default_value = "6", value_parser = args::positive)]
    #[arg(requires = "neighbours")]
    k: usize,
}

impl Predictor {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let compute = context.compute()?;
        let checkpoint = args::open_weights(&self.weights, self.num_heads, context)?;
        let recipe = Recipe::of_checkpoint(&checkpoint)?;
        args::check_predicts(recipe.as_ref())?;
        let networks = Networks::load(&checkpoint, &compute.device)?;
        let networks = networks.with_compute(compute.precision.into());
        let found: Option<Arc<dyn Source>> = match &self.neighbours[..] {
            [] => None,
            specs => Some(args::noted(args::open_pictures(specs)?, context)),
        };
        let (asked, own) = (self.normalize, checkpoint.normalization);
        let statistics = Normalize::choose(asked, own, checkpoint.encoder_config.in_chans)?;
        let wanted = Wanted::of(&checkpoint, statistics)?;
        let extraction = self.shown.extraction(wanted, context)?;
        let picked = self
            .shown
            .pick(networks.target.config(), &extraction, context)?;
        let seed = context.seed.unwrap_or(0);
        let masks = self.masks(
            recipe.as_ref(),
            networks.target.grid(),
            picked.images.len(),
            seed,
        )?;
        let config = PredictionConfig {
            extract: extraction.config,
            objective: recipe.map_or_else(Objective::default, |recipe| recipe.objective_config()),
            target: self.target,
            scale: self.shown.scale,
        };
        shown::announce("predictor", &extraction, context)?;
        let search = found.as_deref().map(|source| NeighbourSearch {
            source,
            count: self.k,
        });
        let mut watch = StatusLine::watch(context.quiet, "searching for neighbours");
        let total = search.map_or(0, |search| search.source.len());
        let progress = |done| {
            watch(Progress {
                done,
                total,
                unit: ProgressUnit::Images,
            });
        };
        let drawn = predictor(
            &networks,
            &picked.images,
            &masks,
            search,
            &config,
            &compute.device,
            progress,
        )?;
        let report = self.report(&drawn, seed);
        self.shown
            .finish(&drawn.picture, &picked, &extraction, context, report)
    }

    /// The block asked for, or masks as the recipe draws them, the paper's without one.
    fn masks(
        &self,
        recipe: Option<&Recipe>,
        grid: PatchGrid,
        images: usize,
        seed: u64,
    ) -> Result<MaskGroup, CliError> {
        if let Some([top, left, height, width]) = self.block {
            let block = Block {
                top,
                left,
                height,
                width,
            };
            return Ok(block_masks(grid, block, images)?);
        }
        let sampler = mask_sampler(recipe, grid)?;
        Ok(sampler.sample(images, &mut MaskRng::for_group(seed, 0, 0)))
    }

    fn report(&self, drawn: &PredictorPicture, seed: u64) -> Report {
        let mut text = String::from(
            "image; context; cosine of each patch with the mean prediction of the block (green); \
             with the prediction of its middle patch (blue)\n",
        );
        let mut images = Vec::new();
        for (number, prediction) in drawn.predictions.iter().enumerate() {
            let found = drawn.neighbours.get(number);
            text += &describe(prediction);
            if let Some(found) = found {
                text += &near("mean", &found.mean);
                text += &near("middle", &found.patch);
            }
            let mut image = json!(prediction);
            image["neighbours"] = json!(found);
            images.push(image);
        }
        text += &conclude(&drawn.mean);
        let seed = self.block.is_none().then_some(seed);
        let json = json!({ "images": images, "mean": drawn.mean, "seed": seed });
        Report { text, json }
    }
}

/// One image in a few lines.
fn describe(prediction: &Prediction) -> String {
    let Prediction {
        path,
        context,
        block,
        mean,
        patch,
        ..
    } = prediction;
    let range = |[low, high]: [f64; 2]| format!("{low:.3} to {high:.3}");
    format!(
        "{path}: block of {} patches from a context of {}\n  \
           mean prediction: cosines {}; {:.3} in the block, {:.3} outside\n  \
           patch {},{}: cosines {}; {:.3} at its own place, which is number {:.0}\n",
        block.len(),
        context.len(),
        range(mean.range),
        mean.cosine_block,
        mean.cosine_elsewhere,
        patch.row,
        patch.col,
        range(patch.range),
        patch.cosine_own,
        patch.rank,
    )
}

/// What was found for one prediction.
fn near(name: &str, found: &[NearPatch]) -> String {
    let patch = |near: &NearPatch| {
        format!(
            "{} at {},{} ({:.3})",
            near.path, near.row, near.col, near.cosine
        )
    };
    let patches = report::list(found.iter().map(patch));
    format!("  nearest to the {name}: {patches}\n")
}

/// All images in a few lines.
fn conclude(mean: &PredictionMeans) -> String {
    let mut text = format!(
        "all images: cosine of a predicted patch {:.3} at its own place, {:.3} outside the block",
        mean.cosine_own, mean.cosine_elsewhere
    );
    if let Some(others) = mean.cosine_other_images {
        text += &format!(", {others:.3} at its place in other images");
    }
    text + &format!(
        "\n  own place is number {:.1} of all patches, {:.1} by chance; block against the rest \
           {:.3}, 0.5 by chance\n",
        mean.rank, mean.rank_chance, mean.separation
    )
}
