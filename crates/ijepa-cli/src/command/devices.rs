//! `ijepa devices`: what can compute here, and whether a recipe fits.

use std::fmt::Write;

use burn::tensor::{Device, DeviceType};
use clap::Args;
use ijepa_train::{Backend, DeviceSpec, scaling::MemoryEstimate};
use serde_json::json;

use crate::{
    args,
    context::Context,
    error::CliError,
    memory::SystemMemory,
    report::{self, Report},
};

/// List the devices of this binary and estimate whether a recipe fits
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ijepa devices --recipe in1k_vitb16_ep600")]
pub(crate) struct Devices {
    /// Recipe whose memory is estimated
    #[arg(long, value_name = "NAME|FILE")]
    recipe: Option<String>,
    /// Changes of single keys of the recipe, such as run.micro_batch=64
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1.., requires = "recipe")]
    overrides: Vec<String>,
}

impl Devices {
    pub(crate) fn run(&self, context: &Context) -> Result<Report, CliError> {
        let best = DeviceSpec::best().ok();
        let memory = SystemMemory::read();
        let estimate = self.estimate(context)?;
        // Burn does not tell how much memory a GPU has.
        let on_cpu = best.is_some_and(|best| !best.backend.is_gpu());
        let fits = match (&estimate, memory) {
            (Some(estimate), Some(memory)) if on_cpu => {
                Some(estimate.total_bytes as u64 <= memory.available_bytes)
            }
            _ => None,
        };

        let mut text = String::new();
        let mut backends = Vec::new();
        for backend in Backend::ALL {
            let found = found(backend);
            let devices = if !backend.is_compiled_in() {
                format!("not compiled in (--features {})", backend.name())
            } else if found.is_empty() {
                "no device found".to_owned()
            } else {
                report::list(&found)
            };
            let _ = writeln!(text, "{:9} {devices}", backend.name());
            backends.push(json!({
                "name": backend.name(),
                "compiled_in": backend.is_compiled_in(),
                "devices": found,
            }));
        }
        let default = best.map(|best| best.to_string());
        let _ = writeln!(
            text,
            "{:9} {}",
            "default",
            default.as_deref().unwrap_or("none")
        );
        let _ = writeln!(text, "{:9} {}", "memory", describe(memory));
        if let (Some(recipe), Some(estimate)) = (&self.recipe, &estimate) {
            text += &describe_estimate(recipe, estimate, fits);
        }
        Ok(Report {
            text,
            json: json!({
                "backends": backends,
                "default": default,
                "memory": memory,
                "recipe": self.recipe,
                "estimate": estimate,
                "fits": fits,
            }),
        })
    }

    fn estimate(&self, context: &Context) -> Result<Option<MemoryEstimate>, CliError> {
        let Some(name) = &self.recipe else {
            return Ok(None);
        };
        let recipe = args::load_recipe(name, &self.overrides, context)?;
        Ok(Some(MemoryEstimate::of(&recipe)?))
    }
}

/// Names of the devices of a backend, as `--device` takes them.
fn found(backend: Backend) -> Vec<String> {
    let count = match backend {
        _ if !backend.is_compiled_in() => 0,
        Backend::Flex | Backend::Ndarray => 1,
        gpu => count_gpus(gpu),
    };
    (0..count)
        .map(|index| DeviceSpec { backend, index }.to_string())
        .collect()
}

fn count_gpus(backend: Backend) -> usize {
    let kind: Option<DeviceType> = match backend {
        #[cfg(feature = "wgpu")]
        Backend::Wgpu => Some(DeviceType::Wgpu),
        #[cfg(feature = "vulkan")]
        Backend::Vulkan => Some(DeviceType::Vulkan),
        #[cfg(feature = "metal")]
        Backend::Metal => Some(DeviceType::Metal),
        #[cfg(feature = "cuda")]
        Backend::Cuda => Some(DeviceType::Cuda),
        #[cfg(feature = "rocm")]
        Backend::Rocm => Some(DeviceType::Rocm),
        _ => None,
    };
    kind.map_or(0, |kind| Device::enumerate(kind).len())
}

fn describe(memory: Option<SystemMemory>) -> String {
    memory.map_or_else(
        || "unknown".to_owned(),
        |memory| {
            let (available, total) = (memory.available_bytes, memory.total_bytes);
            format!(
                "{} available of {}",
                report::bytes(available),
                report::bytes(total)
            )
        },
    )
}

fn describe_estimate(recipe: &str, estimate: &MemoryEstimate, fits: Option<bool>) -> String {
    let bytes = |bytes: usize| report::bytes(bytes as u64);
    let verdict = match fits {
        Some(true) => "fits into the available memory",
        Some(false) => "does not fit into the available memory",
        None => "whether it fits is unknown: the memory of the default device is",
    };
    format!(
        "\n{recipe}: {} parameters; estimated, not measured:\n\
         weights      {}\ngradients    {}\nmoments      {}\nactivations  {} for {} images at once\n\
         total        {}: {verdict}\n",
        estimate.parameters,
        bytes(estimate.weights_bytes),
        bytes(estimate.gradients_bytes),
        bytes(estimate.moments_bytes),
        bytes(estimate.activations_bytes),
        estimate.micro_batch,
        bytes(estimate.total_bytes),
    )
}
