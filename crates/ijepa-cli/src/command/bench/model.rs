//! What `bench step` and `bench encode` share: the model, and the report.

use burn::tensor::Device;
use clap::Args;
use ijepa_model::{IJepaConfig, Precision};
use ijepa_train::Recipe;
use serde_json::json;

use super::{peak::matmul_flops, rates::Rates};
use crate::{
    args::{self, positive},
    context::{Compute, Context, sets_precision},
    error::CliError,
    memory::peak_memory,
    report::{self, Report},
};

/// Width of the published predictors.
const PREDICTOR_DIM: usize = 384;

/// Images of a batch unless `--batch-size` says otherwise.
const BATCH_SIZE: usize = 16;

/// A model and how often to run it.
#[derive(Debug, Args)]
pub(super) struct ModelArgs {
    /// Architecture, with the published predictor for its depth
    #[arg(long, value_name = "NAME", conflicts_with = "recipe")]
    arch: Option<String>,
    /// Recipe: name of a preset or path of a .toml file
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "arch")]
    recipe: Option<String>,
    /// Changes of single keys, such as model.image_size=448
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    overrides: Vec<String>,
    /// Measured rounds
    #[arg(long, value_name = "N", default_value = "10", value_parser = positive)]
    rounds: usize,
    /// Rounds before the measured ones
    #[arg(long, value_name = "N", default_value = "3")]
    warmup: usize,
}

/// A model to measure, and where.
pub(super) struct Subject<'a> {
    pub(super) recipe: Recipe,
    pub(super) compute: &'a Compute,
    pub(super) batch_size: usize,
    pub(super) model: IJepaConfig,
    arch: String,
    rounds: usize,
    warmup: usize,
}

impl ModelArgs {
    /// What is measured; a recipe that `trains` has the precision that is computed in.
    pub(super) fn open<'a>(
        &self,
        context: &'a Context,
        trains: bool,
    ) -> Result<Subject<'a>, CliError> {
        let mut overrides = vec![format!("run.batch_size={BATCH_SIZE}")];
        let recipe = match (&self.arch, &self.recipe) {
            (Some(arch), _) => {
                overrides.push(format!("model.predictor_dim={PREDICTOR_DIM}"));
                overrides.push(format!("model.predictor_depth={}", predictor_depth(arch)));
                args::recipe_of(arch)?
            }
            (None, Some(recipe)) => Recipe::load(recipe)?,
            (None, None) => unreachable!("clap asks for one of the two"),
        };
        // A pass of more images than are measured is one of all of them.
        if recipe.run.micro_batch > context.batch_size.unwrap_or(BATCH_SIZE) {
            overrides.push("run.micro_batch=0".to_owned());
        }
        overrides.extend(self.overrides.iter().cloned());
        overrides.extend(context.run_overrides());
        let recipe = recipe.with_overrides(&overrides)?;
        let asked = sets_precision(&self.overrides).then_some(recipe.run.precision);
        if trains {
            context.refuse_feature_precision()?;
        }
        let compute = context.compute_as(Precision::F32, asked)?;
        let precision = trains.then(|| compute.precision_override());
        let recipe = recipe.with_overrides(precision.as_slice())?.checked()?;
        Ok(Subject {
            model: recipe.model_config()?,
            arch: recipe.model.arch.clone().unwrap_or("custom".into()),
            compute,
            batch_size: recipe.run.batch_size,
            recipe,
            rounds: self.rounds,
            warmup: self.warmup,
        })
    }
}

/// Bytes that the device holds for this process, which it keeps after the peak.
fn device_memory(device: &Device) -> Option<u64> {
    let usage = device.memory_pool_usage()?;
    Some(usage.bytes_reserved)
}

/// Depth of the published predictors (paper, appendix A.1); smaller encoders have that of ViT-B.
fn predictor_depth(arch: &str) -> usize {
    match arch {
        "vit_l16" | "vit_h14" | "vit_h16" => 12,
        "vit_g16" => 16,
        _ => 6,
    }
}

impl Subject<'_> {
    /// Runs `round` and reports its rate.
    ///
    /// `round` gets the number of the round and returns its operations for one image; it ends when
    /// the device has finished.
    pub(super) fn measure(&self, mut round: impl FnMut(u64) -> f64) -> Report {
        for number in 0..self.warmup {
            round(number as u64);
        }
        let mut flop = 0.0;
        let rates = (0..self.rounds).map(|number| {
            let start = std::time::Instant::now();
            flop += round((self.warmup + number) as u64);
            self.batch_size as f64 / start.elapsed().as_secs_f64()
        });
        let rates = Rates::of(rates.collect());
        let gflop = flop / self.rounds as f64 / 1e9;
        self.report(&rates, gflop)
    }

    fn report(&self, rates: &Rates, gflop: f64) -> Report {
        let Rates { median, min, max } = rates;
        let Compute {
            spec,
            device,
            precision,
            threads,
        } = self.compute;
        let on_gpu = spec.backend.is_gpu();
        let memory = if on_gpu {
            device_memory(device)
        } else {
            peak_memory()
        };
        let best = on_gpu.then(|| matmul_flops(device, *precision) / 1e9);
        let utilisation = best.map(|best| median * gflop / best);
        let mut text = format!(
            "images/s  median {median:.1}, {min:.1} to {max:.1}\n\
             GFLOP/s   {:.1} ({gflop:.2} GFLOP per image)\n\
             {}, batches of {} on {spec} in {}, {threads} threads, {} rounds\n",
            median * gflop,
            self.arch,
            self.batch_size,
            precision.name(),
            self.rounds
        );
        if let (Some(best), Some(utilisation)) = (best, utilisation) {
            let share = 100.0 * utilisation;
            text += &format!("share     {share:.1} % of {best:.0} GFLOP/s of a matrix product\n");
        }
        if let Some(memory) = memory {
            text += &format!("memory    {} at the peak\n", report::bytes(memory));
        }
        let json = json!({
            "images_per_s": rates.json(),
            "arch": self.arch,
            "batch_size": self.batch_size,
            "device": spec.to_string(),
            "precision": precision.name(),
            "threads": threads,
            "gflop_per_image": gflop,
            "gflop_per_s": median * gflop,
            "matmul_gflop_per_s": best,
            "utilisation": utilisation,
            "peak_memory_mib": memory.map(|bytes| bytes >> 20),
            "model": {
                "image_size": self.model.encoder.image_size,
                "patch_size": self.model.encoder.patch_size,
                "embed_dim": self.model.encoder.embed_dim,
                "depth": self.model.encoder.depth,
                "num_heads": self.model.encoder.num_heads,
                "predictor_dim": self.model.predictor.dim,
                "predictor_depth": self.model.predictor.depth,
            },
        });
        Report { text, json }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictors_are_the_published_ones() {
        for (preset, arch) in [
            ("in1k_vith14_ep300", "vit_h14"),
            ("in22k_vitg16_ep44", "vit_g16"),
            ("in1k_vitb16_ep600", "vit_b16"),
        ] {
            let model = Recipe::preset(preset).unwrap().model;
            assert_eq!(model.predictor_depth, predictor_depth(arch), "{preset}");
            assert_eq!(model.predictor_dim, PREDICTOR_DIM, "{preset}");
        }
    }
}
