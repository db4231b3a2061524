//! `ijepa bench step`: whole training steps.

use burn::tensor::{Distribution, Tensor};
use clap::Args;
use ijepa_masking::{MaskGroup, MaskRng};
use ijepa_model::GroupSeed;
use ijepa_train::{
    GroupBatch, Learner, StepSettings,
    flops::{self, StepTokens},
};
use serde_json::json;

use super::model::{ModelArgs, Subject};
use crate::{args::refuse_views, context::Context, error::CliError, report::Report};

/// Train on random images: targets, prediction, backward pass, AdamW and moving average
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa bench step --arch vit_s16 --batch-size 16 --threads 2\n  \
                        ijepa bench step --recipe scenes_vit_nano --batch-size 32"
)]
pub(crate) struct Step {
    #[command(flatten)]
    model: ModelArgs,
}

impl Step {
    pub(super) fn run(&self, context: &Context) -> Result<Report, CliError> {
        // Training knows fewer number types, and says so.
        let subject = self.model.open(context, true)?;
        let Subject {
            recipe,
            compute,
            batch_size,
            model,
            ..
        } = &subject;
        refuse_views(recipe, "bench step")?;
        let sampler = recipe.mask_sampler()?;
        let mut learner = Learner::new(
            model,
            recipe.initialization(),
            recipe.compute(),
            recipe.objective_config(),
            recipe.optimizer.adam,
            &compute.device,
        );
        let group_size = recipe.mask_group_size();
        // Rates of a step in the middle of a run.
        let settings = StepSettings {
            lr: 1e-4,
            weight_decay: 0.04,
            ema: 0.996,
            clip_grad: recipe.optimizer.clip_grad,
            groups_per_pass: recipe.groups_per_pass(),
        };
        let [height, width] = model.encoder.image_size;
        let device = compute.device.clone().autodiff();
        let images = Tensor::<4>::random(
            [group_size, model.encoder.in_chans, height, width],
            Distribution::Normal(0.0, 1.0),
            &device,
        );
        let mut sizes = Vec::new();
        let round = |number| {
            let mut flop = 0.0;
            let groups = (0..(batch_size / group_size) as u64).map(|group| {
                let rng = &mut MaskRng::for_group(recipe.run.seed, number, group);
                let masks = sampler.sample(group_size, rng);
                let tokens = tokens_of(&masks);
                flop += flops::step(model, recipe.objective.target_masking, tokens);
                sizes.push([tokens.context, tokens.target]);
                let seed = GroupSeed {
                    seed: recipe.run.seed,
                    step: number,
                    group,
                };
                let noise = (recipe.model.position_noise, model.encoder.embed_dim);
                GroupBatch::new(images.clone(), &masks, noise, seed)
            });
            let output = learner.step(groups, settings);
            // Reading the loss waits for the step.
            std::hint::black_box(output.loss.into_data());
            flop * group_size as f64 / *batch_size as f64
        };
        let mut report = subject.measure(round);
        report.json["masks"] = json!(sizes);
        Ok(report)
    }
}

fn tokens_of(masks: &MaskGroup) -> StepTokens {
    StepTokens {
        contexts: masks.contexts.len(),
        context: masks.contexts[0].kept(),
        targets: masks.targets.len(),
        target: masks.targets[0].kept(),
    }
}
