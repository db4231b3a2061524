//! `ijepa visualize rcdm train`: trains a decoder of representations.

use clap::Args;
use ijepa_train::{
    recipe::Settings,
    run::{Folder, Observer},
};
use ijepa_viz::rcdm::{ConditionKind, DecoderRecipe, Unet, train_decoder};
use serde_json::json;

use super::inputs::InputArgs;
use crate::{
    args::{RunArgs, positive},
    context::Context,
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
        let source = self.inputs.source(context)?;
        let decoding = Some(recipe.data.decoding);
        let kind = recipe.decoder.condition;
        let conditioner = self.inputs.conditioner(kind, decoding, context)?;
        let folder = Folder::open(&self.run.out)?;
        let unet = recipe.unet(conditioner.dim());
        let parameters = unet.init(0, &compute.device).num_parameters();
        let steps = recipe.optimizer.steps as u64;
        let mut progress = RunProgress::new(self.run.steps(steps), context.quiet);
        progress.say(&format!(
            "decoder of {parameters} parameters for vectors of {} values, {} images, {} steps of {} on {}",
            conditioner.dim(),
            source.len(),
            steps,
            recipe.run.batch_size,
            compute.spec,
        ));
        let options = self.run.options(context, compute.environment([]))?;
        let observers: &mut [&mut dyn Observer<Unet>] = &mut [&mut progress];
        let trained = train_decoder(
            &recipe,
            &conditioner,
            source,
            &folder,
            &compute.device,
            &options,
            observers,
        );
        drop(progress);
        let (summary, _) = trained.map_err(|error| self.run.advised(error, &folder, context))?;
        let json = json!({
            "parameters": parameters,
            "condition": recipe.decoder.condition,
            "size": recipe.decoder.size,
            "device": compute.spec.to_string(),
        });
        let text = String::new();
        self.run.report(&summary, Report { text, json })
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
}
