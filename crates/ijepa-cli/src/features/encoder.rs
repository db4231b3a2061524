//! The frozen encoder that features come from.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ijepa_data::Decoding;
use ijepa_eval::{Error, SearchIndex, default_normalization};
use ijepa_model::{
    Checkpoint, CheckpointError, IJepa, Initialization, Normalization, PositionResampling,
    VisionTransformer, checkpoint::EncoderRole,
};
use ijepa_train::Recipe;

use crate::{
    args::{self, Wanted},
    context::{Compute, Context},
    error::CliError,
    report,
};

/// Which encoder of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EncoderChoice {
    /// The average that the paper evaluates
    Target,
    /// The trained one
    Context,
    /// Initial weights of the same sizes, the floor to compare with
    Random,
}

impl EncoderChoice {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Context => "context",
            Self::Random => "random",
        }
    }
}

/// Channel statistics by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Normalize {
    Imagenet,
    Half,
}

impl Normalize {
    /// The channel statistics asked for, else `own`, else those of ImageNet for colours and none
    /// for other channels.
    pub(crate) fn choose(
        asked: Option<Self>,
        own: Option<Normalization>,
        channels: usize,
    ) -> Result<Normalization, CliError> {
        let chosen = match asked {
            Some(Self::Imagenet) => Some(Normalization::IMAGENET),
            Some(Self::Half) => Some(Normalization::HALF),
            None => own.or_else(|| default_normalization(channels)),
        };
        let fitting = chosen.filter(|statistics| statistics.fits(channels));
        fitting.ok_or(CliError::Statistics { channels })
    }

    /// What statistics are called in results.
    pub(crate) fn name_of(statistics: Normalization) -> &'static str {
        match statistics {
            Normalization::IMAGENET => "imagenet",
            Normalization::HALF => "half",
            other if Normalization::none(other.channels()) == Some(other) => "none",
            _ => "of the weights",
        }
    }
}

/// What chooses an encoder on the command line.
#[derive(Debug, Args)]
pub(crate) struct WeightsArgs {
    /// Run directory, native folder, official .pth.tar, Hugging Face folder, .safetensors or
    /// `hf:ORG/NAME[@REVISION][/FILE]`
    #[arg(long, value_name = "W")]
    weights: Option<PathBuf>,
    /// Sizes of a random encoder when there are no weights, such as vit_b16
    #[arg(long, value_name = "NAME", conflicts_with = "weights")]
    arch: Option<String>,
    /// Attention heads of an official file of unusual width, which does not record them
    #[arg(long, value_name = "N", value_parser = args::positive, requires = "weights")]
    num_heads: Option<usize>,
    /// Side of the images, to which positions are resampled [default: the weights' own size]
    #[arg(long, value_name = "N", value_parser = args::positive)]
    pub(crate) image_size: Option<usize>,
    /// Channel statistics [default: what the weights say, else imagenet]
    #[arg(long, value_enum)]
    normalize: Option<Normalize>,
}

/// An encoder with all that images need to become its features.
#[derive(Debug)]
pub(crate) struct LoadedEncoder {
    pub(crate) encoder: VisionTransformer,
    pub(crate) choice: EncoderChoice,
    pub(crate) wanted: Wanted,
}

/// How pixels are looked at without an encoder.
#[derive(Debug)]
pub(crate) struct Pixels {
    /// `[height, width]`, if something says it.
    pub(crate) size: Option<[usize; 2]>,
    pub(crate) wanted: Wanted,
}

/// A context encoder with its predictor and the recipe that they were trained with, if known.
#[derive(Debug)]
pub(crate) struct LoadedPredictor {
    pub(crate) networks: IJepa,
    pub(crate) recipe: Option<Recipe>,
    pub(crate) normalization: Normalization,
}

impl WeightsArgs {
    /// What the weights are called: the last part of their path, or the architecture.
    pub(crate) fn name(&self) -> String {
        let weights = self.weights.as_deref().and_then(Path::file_name);
        let weights = weights.map(|name| name.to_string_lossy().into_owned());
        weights.or_else(|| self.arch.clone()).unwrap_or_default()
    }

    /// Whether sizes of a random encoder were given.
    pub(crate) fn has_arch(&self) -> bool {
        self.arch.is_some()
    }

    /// The encoder that features come from; without a choice the weights decide.
    pub(crate) fn load(
        &self,
        choice: Option<EncoderChoice>,
        context: &Context,
    ) -> Result<LoadedEncoder, CliError> {
        self.load_at(self.image_size.map(|side| [side, side]), choice, context)
    }

    /// As [`load`](Self::load), for the images of a file of features, which says how they were
    /// read.
    pub(crate) fn load_for(
        &self,
        index: &SearchIndex,
        choice: Option<EncoderChoice>,
        context: &Context,
    ) -> Result<LoadedEncoder, CliError> {
        let flags = [
            ("image-size", self.image_size.is_some()),
            ("normalize", self.normalize.is_some()),
        ];
        args::refuse_given(&flags, "where the file says how its images were read")?;
        let frozen = self.load_at(Some(index.image_size()), choice, context)?;
        index.check(&frozen.encoder).map_err(Error::from)?;
        Ok(frozen)
    }

    /// The encoder for images of `size`, `[height, width]`, if it is said.
    fn load_at(
        &self,
        size: Option<[usize; 2]>,
        choice: Option<EncoderChoice>,
        context: &Context,
    ) -> Result<LoadedEncoder, CliError> {
        let compute = context.compute()?;
        let loaded = self.load_trainable(choice, context.seed, context)?;
        let size = size.filter(|&size| size != loaded.encoder.config().image_size);
        let encoder = match size {
            Some(size) => loaded
                .encoder
                .with_image_size(size, PositionResampling::Bicubic)
                .map_err(|source| CliError::Flag {
                    flag: "image-size",
                    source,
                })?,
            None => loaded.encoder,
        };
        let precision = compute.precision;
        Ok(LoadedEncoder {
            encoder: encoder.with_precision(precision).frozen(),
            ..loaded
        })
    }

    /// The encoder as it is in the weights, or with the initial weights of `seed`, by default those
    /// that the run of the weights began with.
    pub(crate) fn load_trainable(
        &self,
        choice: Option<EncoderChoice>,
        seed: Option<u64>,
        context: &Context,
    ) -> Result<LoadedEncoder, CliError> {
        let compute = context.compute()?;
        match &self.weights {
            Some(path) => {
                self.of_checkpoint(&self.checkpoint(path, context)?, choice, seed, compute)
            }
            None => self.of_arch(choice, seed, compute),
        }
    }

    /// The context encoder and the predictor of the weights.
    pub(crate) fn load_predictor(&self, context: &Context) -> Result<LoadedPredictor, CliError> {
        let missing = || CliError::MissingFlag {
            encoder: "context",
            needed: "weights",
        };
        let compute = context.compute()?;
        let path = self.weights.as_ref().ok_or_else(missing)?;
        let checkpoint = self.checkpoint(path, context)?;
        let networks = checkpoint.networks(&compute.device)?;
        Ok(LoadedPredictor {
            networks: networks.with_compute(compute.precision.into()),
            recipe: Recipe::of_checkpoint(&checkpoint)?,
            normalization: self.normalization(&checkpoint)?,
        })
    }

    /// How pixels are looked at without an encoder: the size and the channels that one would get,
    /// or none and colours if nothing says it, and the statistics asked for, or raw values.
    pub(crate) fn pixels(&self, context: &Context) -> Result<Pixels, CliError> {
        let config = match &self.weights {
            Some(path) => Some(self.checkpoint(path, context)?.encoder_config),
            None => None,
        };
        let size = config.as_ref().map(|config| config.image_size);
        let channels = config.map_or(3, |config| config.in_chans);
        let decoding = Decoding {
            channels,
            ..Decoding::default()
        };
        let raw = Normalization::none(channels);
        let normalization = Normalize::choose(self.normalize, raw, channels)?;
        Ok(Pixels {
            size: self.image_size.map(|side| [side, side]).or(size),
            wanted: Wanted::decoded(decoding, normalization),
        })
    }

    fn checkpoint(&self, path: &Path, context: &Context) -> Result<Checkpoint, CheckpointError> {
        args::open_weights(path, self.num_heads, context)
    }

    fn normalization(&self, checkpoint: &Checkpoint) -> Result<Normalization, CliError> {
        let channels = checkpoint.encoder_config.in_chans;
        Normalize::choose(self.normalize, checkpoint.normalization, channels)
    }

    fn of_checkpoint(
        &self,
        checkpoint: &Checkpoint,
        choice: Option<EncoderChoice>,
        seed: Option<u64>,
        compute: &Compute,
    ) -> Result<LoadedEncoder, CliError> {
        let choice = choice.unwrap_or(match checkpoint.feature_role() {
            EncoderRole::Target => EncoderChoice::Target,
            EncoderRole::Context => EncoderChoice::Context,
        });
        let encoder = match choice {
            EncoderChoice::Target => checkpoint.encoder(EncoderRole::Target, &compute.device)?,
            EncoderChoice::Context => checkpoint.encoder(EncoderRole::Context, &compute.device)?,
            EncoderChoice::Random => {
                let init = initialization(checkpoint)?;
                let seed = seed.unwrap_or(init.seed);
                checkpoint
                    .encoder_config
                    .init_with(Initialization { seed, ..init }, &compute.device)
            }
        };
        Ok(LoadedEncoder {
            encoder,
            choice,
            wanted: Wanted::of(checkpoint, self.normalization(checkpoint)?)?,
        })
    }

    fn of_arch(
        &self,
        choice: Option<EncoderChoice>,
        seed: Option<u64>,
        compute: &Compute,
    ) -> Result<LoadedEncoder, CliError> {
        let missing = |encoder, needed| CliError::MissingFlag { encoder, needed };
        match (choice, &self.arch) {
            (Some(EncoderChoice::Random), Some(arch)) => {
                let config = args::variant(arch)?;
                let normalization = Normalize::choose(self.normalize, None, config.in_chans)?;
                let init = Initialization {
                    seed: seed.unwrap_or(0),
                    ..Initialization::default()
                };
                Ok(LoadedEncoder {
                    encoder: config.init_with(init, &compute.device),
                    choice: EncoderChoice::Random,
                    wanted: Wanted::decoded(Decoding::default(), normalization),
                })
            }
            (Some(EncoderChoice::Random), None) => Err(missing("random", "arch")),
            (_, Some(_)) => Err(CliError::ArchWithoutRandom),
            (choice, None) => {
                let encoder = choice.unwrap_or(EncoderChoice::Target).name();
                Err(missing(encoder, "weights"))
            }
        }
    }
}

/// How the weights of a run began, so that a random encoder is the floor of that very run.
fn initialization(checkpoint: &Checkpoint) -> Result<Initialization, CliError> {
    let recipe = Recipe::of_checkpoint(checkpoint)?;
    Ok(recipe.map_or_else(Initialization::default, |recipe| recipe.initialization()))
}

/// Warns of images that are decoded otherwise than those of pretraining.
pub(crate) fn warn_of_decoding(before: Decoding, now: Decoding) {
    let keys = [
        (
            "orientation",
            before.orientation.to_string(),
            now.orientation.to_string(),
        ),
        (
            "sixteen_bit",
            before.sixteen_bit.to_string(),
            now.sixteen_bit.to_string(),
        ),
    ];
    for (key, before, now) in keys.into_iter().filter(|(_, before, now)| before != now) {
        report::line(&format!(
            "warning: data.{key} is {now}, the weights were trained with {before}; --set \
             data.{key}={before} reads images as they know them"
        ));
    }
}
