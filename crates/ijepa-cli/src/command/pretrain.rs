//! `ijepa pretrain`: trains an encoder.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use ijepa_data::{Reading, Source, check_channels};
use ijepa_eval::{Baselines, EpochEvaluation, Error, ExtractConfig, with_classes_of};
use ijepa_masking::MaskRng;
use ijepa_train::{
    Learner, PretrainPlan, Recipe, Resume, TrainSummary, pretrain,
    run::{Folder, Observer, files::BASELINES},
    scaling::MemoryEstimate,
};
use serde_json::json;

use crate::{
    args::{self, DataArgs, RunArgs},
    context::{Compute, Context},
    error::CliError,
    progress::RunProgress,
    report::{self, Report},
};

/// One ignored target in so many images is often.
const OFTEN: usize = 4;

/// Pretrain an encoder as a recipe says
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa pretrain --recipe scenes_vit_nano --data scenes:n=20000,size=32 \
                        --out runs/nano\n  ijepa pretrain --init IN1K-vit.h.14-300e.pth.tar --recipe in1k_vith14_ep300 \
                        --set optimizer.epochs=20 optimizer.warmup_epochs=2 --data folder:photos --out runs/photos\n  ijepa pretrain --recipe in1k_vith14_ep300 --data folder:imagenet/train --out runs/h14"
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
    /// Weights of any kind to begin with, also `hf:ORG/NAME[@REVISION][/FILE]`, at step 0 with a fresh
    /// optimizer; a run that goes on from a checkpoint does not read them again
    #[arg(long, value_name = "W")]
    init: Option<PathBuf>,
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
        let given = self.init.is_some() && matches!(self.run.resume, Resume::File(_));
        args::refuse_given(&[("init", given)], "with --resume FILE")?;
        let recipe = self.recipe(context)?;
        let compute = context.compute_run(recipe.run.precision, &self.overrides)?;
        let recipe = recipe.with_overrides(&[compute.precision_override()])?;
        let source = self.data.open_unlabelled(context)?;
        let plan = PretrainPlan::new(recipe, source.len())?;
        check_channels(source.as_ref(), plan.recipe().data.channel_decoding())?;
        if context.leads() {
            self.warn_of_batch(plan.recipe())?;
            for ignored in plan.recipe().ignored(&self.overrides) {
                report::line(&format!("warning: {ignored}"));
            }
            warn_of_masks(&plan);
        }
        let folder = Folder::of_ranks(&self.run.out, Arc::clone(context.ranks()))?;
        let resumes = folder.start_from::<Recipe>(&self.run.resume)?.is_some();
        let plan = if resumes {
            plan
        } else {
            self.with_init(plan, context)?
        };
        let environment = compute.environment([
            ("data", self.data.spec().into()),
            ("images", source.len().into()),
            ("total_steps", plan.total_steps().into()),
        ]);
        let options = self.run.options(context, environment)?;
        let mut progress = RunProgress::new(self.run.steps(plan.total_steps()), context.quiet);
        self.announce(&plan, source.len(), compute, context, &mut progress)?;
        let stop = Arc::clone(&options.stop);
        let mut evaluation = self.evaluation(&source, &plan, context)?;
        let observers: &mut [&mut dyn Observer<Learner>] = &mut [&mut evaluation, &mut progress];
        let trained = pretrain(&plan, source, &folder, &compute.device, &options, observers);
        let (mut summary, learner) =
            trained.map_err(|error| self.run.advised(error, &folder, context))?;
        if !context.leads() && !summary.interrupted {
            return Ok(Report::default());
        }
        let baselines = if summary.interrupted {
            None
        } else {
            let target = learner.target.encoder();
            let (config, initialization) = (target.config(), plan.recipe().initialization());
            let random = config.init_with(initialization, &compute.device);
            evaluation.baselines(target, &random.with_compute(target.compute()), &stop)?
        };
        // The same command makes up for them.
        summary.interrupted |= self.eval_test.is_some() && baselines.is_none();
        if let Some(found) = &baselines {
            let text = serde_json::to_string_pretty(found).expect("they are numbers and words");
            folder.write(BASELINES, &format!("{text}\n"))?;
        }
        let own = own_report(&summary, &plan, baselines, compute);
        self.run.report(&summary, own)
    }

    /// Says what is about to be trained, and on what.
    fn announce(
        &self,
        plan: &PretrainPlan,
        images: usize,
        compute: &Compute,
        context: &Context,
        progress: &mut RunProgress,
    ) -> Result<(), CliError> {
        if !context.quiet {
            let memory = MemoryEstimate::of(plan.recipe())?;
            let processes = match context.ranks().size() {
                1 => String::new(),
                size => format!(" shared by {size} processes, of which each has"),
            };
            progress.say(&format!(
                "{images} images, {} steps of {} images on {},{processes} about {} of memory",
                plan.total_steps(),
                plan.recipe().run.batch_size,
                compute.spec,
                report::bytes(memory.total_bytes as u64),
            ));
        }
        match plan.taken().filter(|_| context.leads()) {
            Some(taken) => progress.say(&taken.to_string()),
            None if self.init.is_some() && context.leads() => {
                progress.say("the run goes on from its checkpoint, --init is not read");
            }
            None => {}
        }
        Ok(())
    }

    /// The plan with the weights of `--init`, if there are any.
    fn with_init(&self, plan: PretrainPlan, context: &Context) -> Result<PretrainPlan, CliError> {
        let Some(path) = &self.init else {
            return Ok(plan);
        };
        let heads = plan.model().encoder.num_heads;
        let plan = plan.with_init(args::open_weights(path, Some(heads), context)?)?;
        let warnings = plan.taken().map_or(&[][..], |taken| &taken.warnings);
        for warning in warnings.iter().filter(|_| context.leads()) {
            report::line(&format!("warning: {warning}"));
        }
        Ok(plan)
    }

    fn recipe(&self, context: &Context) -> Result<Recipe, CliError> {
        Ok(args::load_recipe(&self.recipe, &self.overrides, context)?)
    }

    /// Warns of a `--batch-size` that is not the recipe's while the learning rate is.
    fn warn_of_batch(&self, recipe: &Recipe) -> Result<(), CliError> {
        let before = Recipe::load(&self.recipe)?.with_overrides(&self.overrides)?;
        let [before, now] = [&before, recipe].map(|recipe| recipe.run.batch_size);
        let optimizer = &recipe.optimizer;
        if now != before && !optimizer.lr_is_base {
            let scaled = optimizer.lr * now as f64 / before as f64;
            report::line(&format!(
                "warning: batches of {now} images, but optimizer.lr is for the {before} of the \
                 recipe; scaled with the batch it is optimizer.lr={scaled:e} (see \
                 optimizer.lr_is_base)"
            ));
        }
        Ok(())
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
        let open = |spec: &String| args::open_data(spec, context);
        let train = self.eval_data.as_ref().map(open).transpose()?;
        let test = self.eval_test.as_ref().map(open).transpose()?;
        let test = match (&train, test) {
            (Some(train), Some(test)) => {
                let test = with_classes_of(train.as_ref(), test);
                Some(test.map_err(Error::from)?)
            }
            (_, test) => test,
        };
        let own = ExtractConfig::of_recipe(recipe);
        let config = ExtractConfig {
            workers: context.workers(),
            reading: Reading {
                decoding: own.reading.decoding,
                ..context.reading()
            },
            ..own
        };
        let evaluation = match train {
            Some(train) => EpochEvaluation::new(train, test, config, device),
            None => {
                // A short trial does not wait for more images than it trains on, but no run is
                // measured on fewer than before.
                let steps = self.run.steps(plan.total_steps()) as usize;
                let before = EpochEvaluation::sampled_before(&self.run.out).unwrap_or(2);
                let most = steps.saturating_mul(recipe.run.batch_size).max(before);
                let training = Arc::clone(training);
                EpochEvaluation::of_sample(training, most, recipe.run.seed, config, device)
            }
        };
        evaluation.check()?;
        Ok(evaluation.with_views(Arc::clone(plan.sampler()), self.lidar))
    }
}

/// Warns of contexts that often keep patches of targets for want of others, by the masks of the first
/// group.
fn warn_of_masks(plan: &PretrainPlan) {
    let (recipe, images) = (plan.recipe(), plan.recipe().mask_group_size());
    if !recipe.objective.kind.predicts() {
        return;
    }
    let mut rng = MaskRng::for_group(recipe.run.seed, 0, 0);
    let ignored = plan.sampler().sample(images, &mut rng).relaxations;
    if OFTEN * ignored >= images {
        report::line(&format!(
            "warning: contexts keep patches of {ignored} targets of the first {images} images although \
             `mask.allow_overlap` is false, since fewer than `mask.min_keep` would be left; smaller \
             targets or a finer grid leave more"
        ));
    }
}

/// What pretraining has to say beside what every run says.
fn own_report(
    summary: &TrainSummary,
    plan: &PretrainPlan,
    baselines: Option<Baselines>,
    compute: &Compute,
) -> Report {
    let scores = summary.scores();
    let logged = summary.logged.as_ref();
    let json = json!({
        "device": compute.spec.to_string(),
        "precision": compute.precision.name(),
        "rankme": scores.get("rankme"),
        "feature_std": logged.and_then(|row| row.get("feature_std")),
        "knn": scores.get("knn"),
        "probe": scores.get("probe"),
        "lidar": scores.get("lidar"),
        "collapse": summary.collapse,
        "init": plan.taken(),
        "baselines": baselines,
    });
    let text = baselines.map_or_else(String::new, |found| found.to_string());
    Report { text, json }
}
