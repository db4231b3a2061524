//! `ijepa bench scale`: what a recipe would take on many GPUs, by formula.

use std::fmt::Write;

use clap::Args;
use ijepa_train::scaling::{Machine, MemoryEstimate, Scaled, Workload};
use serde_json::{Value, json};

use crate::{
    args::{self, RecipeArgs},
    context::Context,
    error::CliError,
    report::{self, Report},
};

/// What is taken for granted; printed with every prediction.
const ASSUMPTIONS: [&str; 4] = [
    "whole backward passes belong to GPUs, and the GPU with most of them sets the pace",
    "a GPU computes at the same rate on a smaller share of the batch",
    "f32 gradients are summed by a ring over its slowest link",
    "images are always there in time",
];

/// Predict the time, cost and memory of a recipe on many GPUs, by formula
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  ijepa bench scale --recipe in1k_vith14_ep300 --images-per-s 120 --gpus 8,16\n  \
                  ijepa bench scale --recipe in22k_vitg16_ep44 --images 14000000 --tflops 125"
)]
pub(crate) struct Scale {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// Training images; those of ImageNet-1k by default
    #[arg(long, value_name = "N", default_value_t = 1_281_167)]
    images: usize,
    /// Numbers of GPUs
    #[arg(long, value_name = "N,N…", value_delimiter = ',',
        default_values_t = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
        value_parser = clap::value_parser!(u32).range(1..))]
    gpus: Vec<u32>,
    #[command(flatten)]
    rate: Rate,
    /// GB/s over the slowest link between GPUs
    #[arg(long, value_name = "GB/S", default_value_t = 50.0, value_parser = args::above_zero)]
    bandwidth: f64,
    /// Microseconds before a message arrives
    #[arg(long, value_name = "US", default_value_t = 10.0, value_parser = args::not_negative)]
    latency: f64,
    /// Share of the communication hidden behind the backward pass, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = args::share)]
    overlap: f64,
    /// Price of a GPU and hour
    #[arg(long, value_name = "PRICE", value_parser = args::not_negative)]
    price: Option<f64>,
    /// Memory of a GPU in GB, to say what fits
    #[arg(long, value_name = "GB,GB…", value_delimiter = ',', default_values_t = [40, 80])]
    memory: Vec<u64>,
}

/// How fast one GPU is.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Rate {
    /// Images a second of one GPU, as `ijepa bench step` measures them
    #[arg(long, value_name = "X", value_parser = args::above_zero)]
    images_per_s: Option<f64>,
    /// TFLOP/s that one GPU sustains in training steps
    #[arg(long, value_name = "X", value_parser = args::above_zero)]
    tflops: Option<f64>,
}

impl Scale {
    pub(super) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let recipe = self.recipe.load_for(context)?;
        let work = Workload::of(&recipe, self.images)?;
        let estimate = MemoryEstimate::of(&recipe)?;
        let machine = Machine {
            flops: match (self.rate.images_per_s, self.rate.tflops) {
                (Some(images_per_s), _) => images_per_s * work.flop_per_image,
                (None, tflops) => 1e12 * tflops.unwrap_or(f64::NAN),
            },
            bandwidth: 1e9 * self.bandwidth,
            latency: 1e-6 * self.latency,
            overlap: self.overlap,
        };
        let mut text = heading(&self.recipe.recipe, &work, &machine);
        let mut runs = Vec::new();
        for &gpus in &self.gpus {
            let run = work.on(gpus as usize, machine);
            text += &self.line(&run, &estimate);
            runs.push(self.json(&run, &estimate));
        }
        text += &format!("\nassumed: {}\n", ASSUMPTIONS.join("; "));
        if let Some(most) = self.gpus.iter().max()
            && *most as usize > work.most_devices()
        {
            let most = work.most_devices();
            let _ = writeln!(
                text,
                "more than {most} GPUs have nothing to do: a batch is {most} backward passes"
            );
        }
        Ok(Report {
            text,
            json: json!({
                "recipe": self.recipe.recipe,
                "workload": work,
                "machine": machine,
                "memory": estimate,
                "runs": runs,
                "assumptions": ASSUMPTIONS,
            }),
        })
    }

    fn cost(&self, run: &Scaled) -> Option<f64> {
        self.price
            .map(|price| price * run.hours * run.devices as f64)
    }

    fn line(&self, run: &Scaled, estimate: &MemoryEstimate) -> String {
        let [plain, sharded] = bytes_of(run, estimate);
        let cost = self
            .cost(run)
            .map_or("-".to_owned(), |cost| format!("{cost:.0}"));
        format!(
            "{:>5} {:>9.3} {:>8.1} {:>10.0} {:>10.1} {:>9.1} {:>9} {:>10} {:>10} {}\n",
            run.devices,
            run.compute_s,
            1e3 * run.communication_s,
            run.images_per_s,
            100.0 * run.efficiency,
            run.hours,
            cost,
            report::bytes(plain),
            report::bytes(sharded),
            self.fits([plain, sharded]),
        )
    }

    /// The memory sizes that suffice, with a star where only sharded moments do.
    fn fits(&self, [plain, sharded]: [u64; 2]) -> String {
        let fitting = self.memory.iter().filter_map(|&memory| {
            let bytes = memory.saturating_mul(1_000_000_000);
            match (plain <= bytes, sharded <= bytes) {
                (true, _) => Some(format!("{memory}")),
                (false, true) => Some(format!("{memory}*")),
                (false, false) => None,
            }
        });
        let fitting: Vec<String> = fitting.collect();
        if fitting.is_empty() {
            "none".to_owned()
        } else {
            fitting.join(",")
        }
    }

    fn json(&self, run: &Scaled, estimate: &MemoryEstimate) -> Value {
        let [plain, sharded] = bytes_of(run, estimate);
        let mut json = json!(run);
        json["bytes"] = json!(plain);
        json["bytes_zero1"] = json!(sharded);
        json["cost"] = json!(self.cost(run));
        json
    }
}

/// Bytes of a device without and with shared moments.
fn bytes_of(run: &Scaled, estimate: &MemoryEstimate) -> [u64; 2] {
    [estimate.total_bytes, estimate.sharded_bytes(run.devices)].map(|bytes| bytes as u64)
}

fn heading(recipe: &str, work: &Workload, machine: &Machine) -> String {
    format!(
        "{recipe}: {:.0} M parameters, {:.3} TFLOP an image, {} steps of {} images in groups of {}\n\
         a GPU: {:.1} TFLOP/s, {:.1} images/s; links {:.0} GB/s, {:.0} us, {:.0} % hidden\n\n\
         {:>5} {:>9} {:>8} {:>10} {:>10} {:>9} {:>9} {:>10} {:>10} fits GB\n",
        work.parameters as f64 / 1e6,
        work.flop_per_image / 1e12,
        work.steps,
        work.batch_size,
        work.group_size,
        machine.flops / 1e12,
        machine.flops / work.flop_per_image,
        machine.bandwidth / 1e9,
        1e6 * machine.latency,
        100.0 * machine.overlap,
        "GPUs",
        "compute s",
        "comm ms",
        "images/s",
        "efficient%",
        "hours",
        "cost",
        "memory",
        "ZeRO-1",
    )
}
