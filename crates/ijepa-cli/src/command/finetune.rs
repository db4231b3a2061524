//! `ijepa finetune`: trains an encoder and a new head on labels.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use ijepa_data::Source;
use ijepa_eval::{
    Error, FinetuneData, FinetuneError, FinetunePlan, FinetuneRecipe, FinetuneSummary,
    finetune::Unfreeze,
};
use ijepa_model::{Classifier, Normalization};
use ijepa_train::{
    recipe::Settings,
    run::{Folder, Observer},
};
use serde_json::json;

use crate::{
    args::{self, RunArgs, positive},
    context::{Compute, Context},
    error::CliError,
    features::{EncoderChoice, LoadedEncoder, Normalize, WeightsArgs, warn_of_decoding},
    progress::RunProgress,
    report::{self, Report},
};

/// Train an encoder with a new head on labelled images
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa finetune --weights runs/nano --train folder:clothing/train \
        --test folder:clothing/test \\\n    --set run.batch_size=64 optimizer.lr=1e-3 --out runs/clothing\n  \
        ijepa finetune --protocol lowshot-1pct --weights IN1K-vit.h.14-300e.pth.tar --set optimizer.weight_decay=0.4 \\\n    \
        --train folder:imagenet/train --subset 1percent.txt --test folder:imagenet/val --out runs/lowshot"
)]
pub(crate) struct Finetune {
    #[command(flatten)]
    weights: WeightsArgs,
    /// Encoder of the weights [default: target, or the only one there is]; random trains from
    /// scratch
    #[arg(long, value_enum)]
    encoder: Option<EncoderChoice>,
    /// lowshot-1pct, full or path of a .toml file
    #[arg(long, value_name = "NAME|FILE", default_value = "lowshot-1pct")]
    protocol: String,
    /// Changes of single keys, such as optimizer.lr=5e-4
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    overrides: Vec<String>,
    /// Labelled images to train on (forms: see `ijepa embed --help`)
    #[arg(long, value_name = "SPEC")]
    train: String,
    /// Labelled images to judge by, of classes that training images have
    #[arg(long, value_name = "SPEC")]
    test: String,
    /// File with the names of the training images to use, one a line
    #[arg(long, value_name = "FILE")]
    subset: Option<PathBuf>,
    /// Blocks to train, counted from the end, instead of the protocol's model.unfreeze
    #[arg(long, value_name = "all|N")]
    unfreeze: Option<Unfreeze>,
    /// Train pairs of matrices of this rank instead of the weights of those blocks (LoRA), instead
    /// of the protocol's model.lora_rank; 0 trains the weights
    #[arg(long, value_name = "RANK")]
    lora: Option<usize>,
    /// Epochs, instead of the protocol's optimizer.epochs
    #[arg(long, value_name = "N", value_parser = positive)]
    epochs: Option<usize>,
    #[command(flatten)]
    run: RunArgs,
}

impl Finetune {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let recipe = self.recipe(context)?;
        let compute = context.compute_run(recipe.run.precision, &self.overrides)?;
        let recipe = recipe.with_overrides(&[compute.precision_override()])?;
        let (train, test) = (self.train(context)?, args::open_data(&self.test, context)?);
        let data = FinetuneData::new(train, test).map_err(Error::from)?;
        let seed = recipe.run.seed;
        let loaded = self
            .weights
            .load_trainable(self.encoder, Some(seed), context)?;
        if context.leads() {
            warn_of_decoding(loaded.wanted.decoding, recipe.data.decoding);
        }
        loaded.wanted.check(data.train().as_ref())?;
        loaded.wanted.check(data.test().as_ref())?;
        let config = loaded.encoder.config();
        let plan = FinetunePlan::new(recipe, config, &data).map_err(Error::from)?;
        let folder = Folder::of_ranks(&self.run.out, Arc::clone(context.ranks()))?;
        let normalization = loaded.wanted.normalization;
        let summary = self.finetune(&plan, loaded, &data, &folder, context)?;
        if !context.leads() && !summary.run.interrupted {
            return Ok(Report::default());
        }
        let own = own_report(&summary, &data, normalization, compute);
        self.run.report(&summary.run, own)
    }

    fn recipe(&self, context: &Context) -> Result<FinetuneRecipe, CliError> {
        let mut overrides = self.overrides.clone();
        let unfreeze = self.unfreeze.map(|unfreeze| match unfreeze {
            Unfreeze::All => "model.unfreeze=all".to_owned(),
            Unfreeze::Last(blocks) => format!("model.unfreeze={blocks}"),
        });
        overrides.extend(unfreeze);
        overrides.extend(self.lora.map(|rank| format!("model.lora_rank={rank}")));
        let size = self.weights.image_size;
        overrides.extend(size.map(|side| format!("model.image_size={side}")));
        overrides.extend(context.run_overrides());
        let recipe = FinetuneRecipe::load(&self.protocol)?.with_overrides(&overrides)?;
        let protocol = recipe.clone();
        let recipe = match self.epochs {
            Some(epochs) => shortened(recipe, epochs),
            None => recipe,
        };
        recipe.validate()?;
        let warmup = recipe.optimizer.warmup_epochs;
        let is_shorter = warmup < protocol.optimizer.warmup_epochs;
        if is_shorter && context.leads() && !context.quiet {
            report::line(&format!("note: optimizer.warmup_epochs is {warmup} then"));
        }
        Ok(recipe)
    }

    fn train(&self, context: &Context) -> Result<Arc<dyn Source>, CliError> {
        let subset = self.subset.as_deref();
        Ok(args::open_part(&self.train, subset, context)?)
    }

    fn finetune(
        &self,
        plan: &FinetunePlan,
        loaded: LoadedEncoder,
        data: &FinetuneData,
        folder: &Folder,
        context: &Context,
    ) -> Result<FinetuneSummary, CliError> {
        let compute = context.compute()?;
        let mut progress = RunProgress::new(self.run.steps(plan.total_steps()), context.quiet);
        progress.say(&format!(
            "{} encoder, normalisation {}, {} training and {} test images of {} classes, {} steps of {} \
             images on {}",
            loaded.choice.name(),
            Normalize::name_of(loaded.wanted.normalization),
            data.train().len(),
            data.test().len(),
            data.classes().len(),
            plan.total_steps(),
            plan.recipe().run.batch_size,
            compute.spec,
        ));
        let encoder = [("encoder", loaded.choice.name().into())];
        let options = self.run.options(context, compute.environment(encoder))?;
        let run = || -> Result<_, FinetuneError> {
            let fresh = plan.classifier(loaded.encoder, loaded.wanted.normalization, data)?;
            let (device, observers): (_, &mut [&mut dyn Observer<Classifier>]) =
                (&compute.device, &mut [&mut progress]);
            ijepa_eval::finetune(plan, fresh, data, folder, device, &options, observers)
        };
        let (summary, _) =
            run().map_err(|error| self.run.advised(Error::from(error), folder, context))?;
        Ok(summary)
    }
}

/// `recipe` for so many epochs; a warm-up that is longer than those takes the share that it had.
fn shortened(mut recipe: FinetuneRecipe, epochs: usize) -> FinetuneRecipe {
    let optimizer = &mut recipe.optimizer;
    let share = optimizer.warmup_epochs / optimizer.epochs as f64;
    optimizer.epochs = epochs;
    if optimizer.warmup_epochs >= epochs as f64 && share < 1.0 {
        optimizer.warmup_epochs = share * epochs as f64;
    }
    recipe
}

/// What fine-tuning has to say beside what every run says.
fn own_report(
    summary: &FinetuneSummary,
    data: &FinetuneData,
    normalization: Normalization,
    compute: &Compute,
) -> Report {
    let accuracy = summary.accuracy;
    let best = summary.best.map(|best| {
        let (top1, epochs) = (best.accuracy.top1, best.epoch);
        let plural = if epochs == 1 { "" } else { "s" };
        format!("best top-1 {top1:.2} % after {epochs} epoch{plural}\n")
    });
    let json = json!({
        "top1": accuracy.map(|accuracy| accuracy.top1),
        "top5": accuracy.map(|accuracy| accuracy.top5),
        "epochs": summary.epochs,
        "best": summary.best,
        "loss": summary.run.loss_last,
        "train_images": data.train().len(),
        "test_images": summary.test_images,
        "classes": data.classes().len(),
        "normalize": Normalize::name_of(normalization),
        "device": compute.spec.to_string(),
        "precision": compute.precision.name(),
    });
    Report {
        text: best.unwrap_or_default(),
        json,
    }
}
