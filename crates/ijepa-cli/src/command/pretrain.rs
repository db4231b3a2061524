//! `ijepa pretrain`: trains an encoder.

use std::sync::Arc;

use clap::Args;
use ijepa_data::{Reading, Source};
use ijepa_eval::{EpochEvaluation, ExtractConfig};
use ijepa_train::{
    Learner, PretrainPlan, Recipe, pretrain,
    run::{Folder, Observer},
};
use serde_json::json;

use crate::{
    args::{self, DataArgs, RunArgs},
    context::Context,
    error::CliError,
    memory::MemoryEstimate,
    progress::RunProgress,
    report::{self, Report},
};

/// Pretrain an encoder as a recipe says
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa pretrain --recipe scenes_vit_nano --data scenes:n=20000,size=32 \
                        --out runs/nano\n  ijepa pretrain --recipe in1k_vith14_ep300 --data folder:imagenet/train --out runs/h14"
)]
pub(crate) struct Pretrain {
    /// Name of a preset (see `ijepa recipes list`) or path of a .toml file
    #[arg(long, value_name = "NAME|FILE")]
    recipe: String,
    /// Changes of single keys, such as optimizer.lr=5e-4
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    overrides: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    run: RunArgs,
    /// Labelled images for kNN after each epoch
    #[arg(long, value_name = "SPEC", requires = "eval_test")]
    eval_data: Option<String>,
    /// Labelled images that kNN classifies
    #[arg(long, value_name = "SPEC", requires = "eval_data")]
    eval_test: Option<String>,
    /// Measure LiDAR after each epoch, too: ten masked views of 256 images
    #[arg(long)]
    lidar: bool,
}

impl Pretrain {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let recipe = self.recipe(context)?;
        let compute = context.compute_preferring(recipe.run.precision)?;
        let recipe = recipe.with_overrides(&[compute.precision_override()])?;
        let source = self.data.open()?;
        let plan = PretrainPlan::new(recipe, source.len())?;
        let folder = Folder::open(&self.run.out)?;
        let device = compute.spec.to_string();
        let options = self.run.options(
            context,
            compute.environment([
                ("data", self.data.spec.clone().into()),
                ("images", source.len().into()),
                ("total_steps", plan.total_steps().into()),
            ]),
        )?;
        let mut progress = RunProgress::new(plan.total_steps(), context.quiet);
        if !context.quiet {
            let memory = MemoryEstimate::of(plan.recipe())?;
            progress.say(&format!(
                "{} images, {} steps of {} images on {device}, about {} of memory",
                source.len(),
                plan.total_steps(),
                plan.recipe().run.batch_size,
                report::bytes(memory.total_bytes as u64),
            ));
        }
        let mut evaluation = self.evaluation(&source, &plan, context)?;
        let observers: &mut [&mut dyn Observer<Learner>] = &mut [&mut evaluation, &mut progress];
        let (summary, _) = pretrain(&plan, source, &folder, &compute.device, &options, observers)?;
        let scores = summary.scores();
        let json = json!({
            "device": device,
            "precision": compute.precision.name(),
            "rankme": scores.get("rankme"),
            "feature_std": summary.signals.get("feature_std"),
            "knn": scores.get("knn"),
            "probe": scores.get("probe"),
            "lidar": scores.get("lidar"),
            "collapse": summary.collapse,
        });
        let text = String::new();
        self.run.report(&summary, Report { text, json })
    }

    fn recipe(&self, context: &Context) -> Result<Recipe, CliError> {
        let mut overrides = self.overrides.clone();
        overrides.extend(context.run_overrides());
        Ok(args::load_recipe(&self.recipe, &overrides)?)
    }

    /// Ranks on images that nobody labelled, kNN and a quick probe if labelled ones were given.
    fn evaluation(
        &self,
        training: &Arc<dyn Source>,
        plan: &PretrainPlan,
        context: &Context,
    ) -> Result<EpochEvaluation, CliError> {
        let device = &context.compute()?.device;
        let recipe = plan.recipe();
        let open = |spec: &String| args::open_data(spec);
        let test = self.eval_test.as_ref().map(open).transpose()?;
        let config = ExtractConfig {
            workers: context.workers(),
            reading: Reading {
                decoding: recipe.data.decoding(),
                ..context.reading()
            },
            ..ExtractConfig::default()
        };
        let evaluation = match &self.eval_data {
            Some(spec) => EpochEvaluation::new(open(spec)?, test, config, device),
            None => {
                // A short trial does not wait for more images than it trains on.
                let steps = self.run.steps(plan.total_steps()) as usize;
                let most = (steps * recipe.run.batch_size).max(2);
                let training = Arc::clone(training);
                EpochEvaluation::of_sample(training, most, recipe.run.seed, config, device)
            }
        };
        evaluation.check()?;
        Ok(evaluation.with_views(recipe.mask_sampler()?.into(), self.lidar))
    }
}
