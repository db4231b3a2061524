//! Flags that several commands share.

mod common;
mod images;
mod run;

use burn::tensor::{Device, FloatDType};
use clap::{Args, ValueEnum};
use ijepa_model::VisionTransformerConfig;
use ijepa_train::{Backend, DeviceError, DeviceSpec, Recipe, RecipeError};
use serde_json::Value;

use crate::error::CliError;

pub(crate) use common::CommonArgs;
pub(crate) use images::{DataArgs, ReadArgs, WorkerArgs, open_data, open_part};
pub(crate) use run::{RunArgs, stopping_at_ctrl_c};

/// The recipe that masks are looked at and measured with unless another is named.
const DEFAULT_RECIPE: &str = "in1k_vitb16_ep600";

/// A recipe with changes.
#[derive(Debug, Args)]
pub(crate) struct RecipeArgs {
    /// Name of a preset (see `ijepa recipes list`) or path of a .toml file
    #[arg(long, value_name = "NAME|FILE", default_value = DEFAULT_RECIPE)]
    pub(crate) recipe: String,
    /// Changes of single keys, such as mask.mode=uniform
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", num_args = 1..)]
    pub(crate) overrides: Vec<String>,
}

impl RecipeArgs {
    /// The recipe, if it can be carried out.
    pub(crate) fn load(&self) -> Result<Recipe, RecipeError> {
        load_recipe(&self.recipe, &self.overrides)
    }
}

/// A recipe that keeps all rules and asks for nothing that is not built.
pub(crate) fn load_recipe(name: &str, overrides: &[String]) -> Result<Recipe, RecipeError> {
    checked(Recipe::load(name)?.with_overrides(overrides)?)
}

/// `recipe`, if it keeps all rules and asks for nothing that is not built.
pub(crate) fn checked(recipe: Recipe) -> Result<Recipe, RecipeError> {
    recipe.validate()?;
    recipe.unbuilt().map_or(Ok(recipe), Err)
}

/// Number type of matrix products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    F32,
    Bf16,
}

impl Precision {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// The one that a recipe names.
    pub(crate) fn of(named: ijepa_model::Precision) -> Self {
        match named {
            ijepa_model::Precision::F32 => Self::F32,
            ijepa_model::Precision::Bf16 => Self::Bf16,
        }
    }

    pub(crate) fn float_dtype(self) -> FloatDType {
        match self {
            Self::F32 => FloatDType::F32,
            Self::Bf16 => FloatDType::BF16,
        }
    }

    pub(crate) fn of_model(self) -> ijepa_model::Precision {
        match self {
            Self::F32 => ijepa_model::Precision::F32,
            Self::Bf16 => ijepa_model::Precision::Bf16,
        }
    }
}

/// Where and how to compute.
#[derive(Debug, Args)]
pub(crate) struct ComputeArgs {
    /// flex, ndarray, wgpu, vulkan, metal, rocm or cuda, GPUs with an optional number as in cuda:1
    /// [default: the best one compiled in]
    #[arg(long, global = true)]
    device: Option<DeviceSpec>,
    /// Number type of matrix products [default: f32; of `pretrain` on a GPU: the recipe's]
    #[arg(long, value_enum, global = true)]
    precision: Option<Precision>,
    /// CPU threads that compute [default: all cores]
    #[arg(long, value_name = "N", value_parser = positive, global = true)]
    threads: Option<usize>,
}

/// A device that is ready to compute.
#[derive(Debug)]
pub(crate) struct Compute {
    pub(crate) spec: DeviceSpec,
    pub(crate) device: Device,
    pub(crate) precision: Precision,
    pub(crate) threads: usize,
}

impl Compute {
    /// Versions, device and command line, for `environment.json`, and what else there is to know.
    pub(crate) fn environment<const N: usize>(&self, more: [(&str, Value); N]) -> Value {
        let mut environment = self.spec.environment();
        environment["precision"] = self.precision.name().into();
        environment["threads"] = self.threads.into();
        for (key, value) in more {
            environment[key] = value;
        }
        environment
    }
}

impl ComputeArgs {
    /// Opens the device; to be called once, before anything is computed.
    pub(crate) fn open(&self) -> Result<Compute, CliError> {
        self.open_preferring(Precision::F32)
    }

    /// As [`open`](Self::open), with another number type on GPUs unless one was asked for.
    pub(crate) fn open_preferring(&self, on_gpu: Precision) -> Result<Compute, CliError> {
        if let Some(threads) = self.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let started = pool.build_global();
            started.map_err(|source| CliError::Threads { threads, source })?;
        }
        let spec = match self.device {
            Some(spec) => spec,
            None => DeviceSpec::best()?,
        };
        let device = spec.open()?;
        let precision = self.precision.unwrap_or(if spec.backend.is_gpu() {
            on_gpu
        } else {
            Precision::F32
        });
        if !precision.of_model().is_supported(&device) {
            return Err(CliError::Precision {
                device: spec.to_string(),
                precision: precision.name(),
            });
        }
        Ok(Compute {
            spec,
            device,
            precision,
            threads: rayon::current_num_threads(),
        })
    }
}

/// Refuses the first of `flags` that was given, since it changes nothing at this `place`.
pub(crate) fn refuse_given(flags: &[(&'static str, bool)], place: &str) -> Result<(), CliError> {
    match flags.iter().find(|(_, is_given)| *is_given) {
        Some(&(flag, _)) => Err(CliError::ChangesNothing {
            flag,
            place: place.to_owned(),
        }),
        None => Ok(()),
    }
}

/// The name of a value on the command line.
pub(crate) fn value_name(value: impl ValueEnum) -> String {
    let name = value.to_possible_value();
    name.map_or_else(String::new, |name| name.get_name().to_owned())
}

/// A count of at least one.
pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}

/// A number above 0.
pub(crate) fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && f64::is_finite(number) => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}

/// The default recipe with another architecture.
pub(crate) fn recipe_of(arch: &str) -> Result<Recipe, CliError> {
    let flag = "arch";
    let unknown = |source| CliError::Flag { flag, source };
    VisionTransformerConfig::variant(arch).map_err(unknown)?;
    Ok(Recipe::default().with_overrides(&[format!("model.arch={arch}")])?)
}

/// A device for looking at weights only: a CPU if one is compiled in.
pub(crate) fn host_device() -> Result<Device, DeviceError> {
    let cpu = Backend::compiled_in().find(|backend| !backend.is_gpu());
    match cpu {
        Some(backend) => DeviceSpec { backend, index: 0 }.open(),
        None => DeviceSpec::best()?.open(),
    }
}
