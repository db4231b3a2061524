//! What every command is run with: the common flags and the device that they name.

use std::{cell::OnceCell, sync::Arc};

use burn::tensor::Device;
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use ijepa_data::{Reading, default_workers};
use ijepa_model::{Precision, kernels::share_freed_memory};
use ijepa_train::{
    Backend, DeviceList, DeviceSpec,
    ranks::{Ranks, Single, device_among, device_of},
};
use serde_json::Value;

use crate::{
    args::{natural, positive, threads},
    error::CliError,
    report,
};

/// The flags that every command takes, so that a script can pass the same ones to all, and the
/// device, which is opened when it is first asked for.
///
/// A command ignores those that it has no use for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common flags")]
pub(crate) struct Context {
    /// Print the result as one JSON object on stdout; everything else goes to stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing but the result and warnings
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more: every cause of an error on a line of its own, every tensor of `inspect`
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// flex, ndarray, wgpu, vulkan, metal, rocm or cuda, GPUs with an optional number as in cuda:1,
    /// or one for each process of mpirun as in cuda:0,2 [default: the best one compiled in]
    #[arg(long, global = true)]
    device: Option<DeviceList>,
    /// Number type of matrix products; int8 is for features, on CPUs with AVX512-VNNI
    /// [default: f32; of a run its recipe's on a GPU, or as --set run.precision says]
    #[arg(long, value_parser = precision(), global = true)]
    precision: Option<Precision>,
    /// CPU threads that compute [default: all cores]
    #[arg(long, value_name = "N", value_parser = threads, global = true)]
    threads: Option<usize>,
    /// Seed of what is random: runs, masks, random encoders, heads [default: the recipe's, else 0]
    #[arg(long, value_name = "N", value_parser = seed, global = true)]
    pub(crate) seed: Option<u64>,
    /// Threads that decode images, 0 for none of their own [default: all cores, at most 8]
    #[arg(long, value_name = "N", value_parser = natural, global = true)]
    workers: Option<usize>,
    /// Files that training has asked the storage for at once [default: four a worker, at least 16]
    #[arg(long, value_name = "N", value_parser = positive, global = true)]
    io_depth: Option<usize>,
    /// Attempts more at data that cannot be read for now, after 0.25 s, 0.5 s and so on up to 8 s
    /// [default: 7, within 24 s]
    #[arg(long, value_name = "N", global = true)]
    retries: Option<u32>,
    /// Images of a batch [default: the recipe's; for features 32; in `bench step` and `encode` 16]
    #[arg(long, value_name = "N", value_parser = positive, global = true)]
    pub(crate) batch_size: Option<usize>,
    #[arg(skip)]
    compute: OnceCell<Compute>,
    #[arg(skip)]
    ranks: OnceCell<Arc<dyn Ranks>>,
}

/// Images that go through a frozen encoder together unless `--batch-size` says otherwise.
const FEATURE_BATCH: usize = 32;

impl Context {
    /// The device, opened if it is not yet; before anything is computed, since it starts the
    /// threads that compute.
    pub(crate) fn compute(&self) -> Result<&Compute, CliError> {
        self.compute_as(Precision::F32, None)
    }

    /// As [`compute`](Self::compute), for a run in the number type of its `recipe`: on GPUs, and
    /// anywhere if one of the changes `set` asks for it.
    pub(crate) fn compute_run(
        &self,
        recipe: Precision,
        set: &[String],
    ) -> Result<&Compute, CliError> {
        self.refuse_feature_precision()?;
        self.compute_as(recipe, sets_precision(set).then_some(recipe))
    }

    /// There are no gradients in int8.
    pub(crate) fn refuse_feature_precision(&self) -> Result<(), CliError> {
        match self.precision {
            Some(Precision::Int8) => Err(CliError::FeaturePrecision),
            _ => Ok(()),
        }
    }

    /// As [`compute`](Self::compute), in the number type of `--precision`, else as `asked`, else
    /// `on_gpu` on GPUs.
    pub(crate) fn compute_as(
        &self,
        on_gpu: Precision,
        asked: Option<Precision>,
    ) -> Result<&Compute, CliError> {
        if let Some(compute) = self.compute.get() {
            return Ok(compute);
        }
        let compute = self.open(on_gpu, self.precision.or(asked))?;
        Ok(self.compute.get_or_init(|| compute))
    }

    fn open(&self, on_gpu: Precision, asked: Option<Precision>) -> Result<Compute, CliError> {
        let devices = match &self.device {
            Some(devices) => devices.clone(),
            None => DeviceSpec::best()?.into(),
        };
        let spec = match (self.ranks().size(), devices.specs()) {
            (1, &[spec]) => spec,
            (1, several) => {
                let count = several.len();
                return Err(CliError::SeveralDevices { count });
            }
            (_, &[first]) => device_of(first),
            _ => device_among(&devices),
        };
        if !spec.backend.is_gpu() {
            share_freed_memory();
        }
        if let Some(threads) = self.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let started = pool.build_global();
            started.map_err(|source| CliError::Threads { threads, source })?;
        }
        let device = spec.open()?;
        let precision = asked.unwrap_or(match spec.backend.is_gpu() {
            true => on_gpu,
            false => Precision::F32,
        });
        let precision = match precision.is_supported(&device) {
            true => precision,
            false if spec.backend == Backend::Flex => {
                if self.leads() {
                    let name = precision.name();
                    report::line(&format!(
                        "warning: this processor has no {name} products, f32 is used"
                    ));
                }
                Precision::F32
            }
            false => {
                return Err(CliError::Precision {
                    device: spec.to_string(),
                    precision: precision.name(),
                });
            }
        };
        Ok(Compute {
            spec,
            device,
            precision,
            threads: rayon::current_num_threads(),
        })
    }

    /// Makes this one of the processes that carry out the command; only the first of them talks.
    pub(crate) fn train_with(&mut self, ranks: Arc<dyn Ranks>) {
        self.quiet |= ranks.rank() > 0;
        self.ranks = OnceCell::from(ranks);
    }

    /// The processes that carry out the command.
    pub(crate) fn ranks(&self) -> &Arc<dyn Ranks> {
        self.ranks.get_or_init(Single::shared)
    }

    /// Whether this process is the one that talks.
    pub(crate) fn leads(&self) -> bool {
        self.ranks().rank() == 0
    }

    /// Refuses to carry out `command` in several processes, which would all do the same.
    pub(crate) fn alone(&self, command: &'static str) -> Result<&Self, CliError> {
        match self.ranks().size() {
            1 => Ok(self),
            size => Err(CliError::OneProcess { command, size }),
        }
    }

    /// Threads beside those that compute.
    pub(crate) fn workers(&self) -> usize {
        self.workers.unwrap_or_else(default_workers)
    }

    /// How images are read.
    pub(crate) fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        reading.io_depth = self.io_depth.unwrap_or(reading.io_depth);
        reading.retry.retries = self.retries.unwrap_or(reading.retry.retries);
        reading
    }

    /// Images that go through a frozen encoder together.
    pub(crate) fn feature_batch(&self) -> usize {
        self.batch_size.unwrap_or(FEATURE_BATCH)
    }

    /// The seeds asked for by a flag of their own, else the one of `--seed`.
    pub(crate) fn seeds(&self, several: &[u64]) -> Vec<u64> {
        match several {
            [] => vec![self.seed.unwrap_or(0)],
            several => several.to_vec(),
        }
    }

    /// The keys of a run's recipe that common flags set.
    pub(crate) fn run_overrides(&self) -> impl Iterator<Item = String> {
        let batch_size = self.batch_size.map(|size| format!("run.batch_size={size}"));
        let seed = self.seed.map(|seed| format!("run.seed={seed}"));
        batch_size.into_iter().chain(seed)
    }
}

/// Whether one of these changes of a recipe's keys is of its number type.
pub(crate) fn sets_precision(changes: &[String]) -> bool {
    changes.iter().any(|change| {
        let key = change.split('=').next().unwrap_or_default();
        key.trim() == "run.precision"
    })
}

/// A seed, also of a recipe, whose numbers are those of TOML.
fn seed(text: &str) -> Result<u64, String> {
    let seed = text.parse::<i64>().ok();
    let seed = seed.and_then(|seed| u64::try_from(seed).ok());
    seed.ok_or_else(|| format!("expected a whole number from 0 to {}", i64::MAX))
}

fn precision() -> impl TypedValueParser<Value = Precision> {
    const ALL: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];
    PossibleValuesParser::new(ALL.map(Precision::name)).map(|name| {
        let named = ALL.into_iter().find(|it| it.name() == name);
        named.expect("it is one of them")
    })
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

    /// The key of a recipe that names the precision computed in.
    pub(crate) fn precision_override(&self) -> String {
        format!("run.precision={}", self.precision.name())
    }
}
