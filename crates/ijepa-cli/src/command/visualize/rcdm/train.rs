//! `ijepa visualize rcdm train`: trains a decoder of representations.

use clap::Args;
use ijepa_train::{RunFolder, recipe::Settings};
use ijepa_viz::rcdm::{ConditionKind, DecoderEvent, DecoderRecipe, DecoderSummary, train_decoder};
use serde_json::json;

use super::inputs::InputArgs;
use crate::{
    args::{RunArgs, positive},
    context::{Compute, Context},
    error::CliError,
    progress::RunProgress,
    report::Report,
};

/// Train a decoder on images and what an encoder or a predictor says about them
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa visualize rcdm train --weights runs/nano --data cifar10:cifar-10 \
        --condition encoder \\\n    --size 32 --steps 5000 --out runs/decoder\n  \
        ijepa visualize rcdm train --features photos.safetensors --data folder:photos --condition file \
        --out runs/decoder"
)]
pub(crate) struct Train {
    /// encoder: means of its features over the whole image; predictor: means of its output over a
    /// block; file: rows of --features
    #[arg(long, value_name = "encoder|predictor|file", default_value = "encoder")]
    #[arg(value_parser = condition)]
    condition: ConditionKind,
    #[command(flatten)]
    inputs: InputArgs,
    /// Side of the images to make
    #[arg(long, value_name = "32|64", default_value = "32", value_parser = ["32", "64"])]
    size: String,
    /// Changes of single keys, such as optimizer.lr=5e-4
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    overrides: Vec<String>,
    /// Steps of the run [default: 10000]
    #[arg(long, value_name = "N", value_parser = positive)]
    steps: Option<usize>,
    #[command(flatten)]
    run: RunArgs,
}

fn condition(text: &str) -> Result<ConditionKind, String> {
    let kinds = [
        ConditionKind::Encoder,
        ConditionKind::Predictor,
        ConditionKind::File,
    ];
    let found = kinds.into_iter().find(|kind| kind.name() == text);
    found.ok_or_else(|| "expected encoder, predictor, file".to_owned())
}

impl Train {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let recipe = self.recipe(context)?;
        let compute = context.compute()?;
        let source = self.inputs.source()?;
        let conditioner = self.inputs.conditioner(recipe.decoder.condition, context)?;
        let run = RunFolder::open(&self.run.out)?;
        let unet = recipe.unet(conditioner.dim());
        let parameters = unet.init(0, &compute.device).num_parameters();
        let steps = recipe.optimizer.steps as u64;
        let mut progress = RunProgress::new(steps, context.quiet);
        progress.say(&format!(
            "decoder of {parameters} parameters for vectors of {} values, {} images, {} steps of {} on {}",
            conditioner.dim(),
            source.len(),
            steps,
            recipe.run.batch_size,
            compute.spec,
        ));
        let options = self.run.options(context, compute.environment([]))?;
        let (device, tell) = (&compute.device, |event| show(&mut progress, event));
        let trained = train_decoder(&recipe, &conditioner, source, &run, device, &options, tell);
        let (summary, _) = trained?;
        drop(progress);
        if summary.interrupted {
            return Err(CliError::Interrupted {
                step: summary.steps,
                run: self.run.out.clone(),
            });
        }
        Ok(self.report(&summary, parameters, &recipe, compute))
    }

    fn recipe(&self, context: &Context) -> Result<DecoderRecipe, CliError> {
        let condition = self.condition.name();
        let mut overrides = vec![format!("decoder.condition={condition}")];
        overrides.extend(self.overrides.clone());
        overrides.extend(self.steps.map(|steps| format!("optimizer.steps={steps}")));
        overrides.extend(context.run_overrides());
        let recipe = DecoderRecipe::preset(&self.size)?.with_overrides(&overrides)?;
        recipe.validate()?;
        Ok(recipe)
    }

    fn report(
        &self,
        summary: &DecoderSummary,
        parameters: usize,
        recipe: &DecoderRecipe,
        compute: &Compute,
    ) -> Report {
        let loss = summary.loss_last.map(|loss| format!("loss {loss:.4}, "));
        let mut text = format!(
            "{} steps, {}{:.1} images/s; {}\n",
            summary.steps,
            loss.unwrap_or_default(),
            summary.images_per_s,
            self.run.out.display()
        );
        for image in &summary.skipped {
            text += &format!("skipped {}: {}\n", image.path, image.why);
        }
        let json = json!({
            "steps": summary.steps,
            "loss_first": summary.loss_first,
            "loss_last": summary.loss_last,
            "images_per_s": summary.images_per_s,
            "device_hours": summary.elapsed.as_secs_f64() / 3600.0,
            "run": self.run.out,
            "parameters": parameters,
            "condition": recipe.decoder.condition,
            "size": recipe.decoder.size,
            "device": compute.spec.to_string(),
            "skipped": summary.skipped.len(),
        });
        Report { text, json }
    }
}

fn show(progress: &mut RunProgress, event: DecoderEvent) {
    match event {
        DecoderEvent::Resumed { step, changed } => progress.resumed(step, &changed),
        DecoderEvent::Step(row) => progress.stepped(row.step, row.loss, row.times),
    }
}
