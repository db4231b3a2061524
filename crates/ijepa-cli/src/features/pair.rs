//! Features of training and test images, which `knn` and `probe` compare.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use clap::{Args, ValueEnum};
use ijepa_data::{Preprocess, Skipped, Source};
use ijepa_eval::{
    Error, Extracted, FeatureCache, Features, extract_pixels, extract_together,
    extract_with_progress, natural_size, read_features,
};
use ijepa_model::Pooling;
use serde_json::{Value, json};

use super::{EncoderChoice, LoadedEncoder, Pixels, WeightsArgs};
use crate::{
    args::{self, Extraction, ReadArgs, Resizing, Wanted},
    context::Context,
    error::CliError,
    progress::StatusLine,
    report,
};

/// Largest side at which pixels are compared unless `--image-size` says otherwise.
const PIXEL_SIDE: usize = 224;

/// What turns an image into numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// The average that the paper evaluates
    Target,
    /// The trained one
    Context,
    /// Initial weights of the same sizes, the floor to compare with
    Random,
    /// No encoder: the pixels of the image, which need no weights
    Pixels,
}

/// Which features are compared.
#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    #[command(flatten)]
    pub(crate) weights: WeightsArgs,
    /// Encoder of the weights [default: target, or the only one there is]
    #[arg(long, value_enum)]
    encoder: Option<Choice>,
    /// Labelled images to learn from
    #[arg(long, value_name = "SPEC", requires = "test")]
    train: Option<String>,
    /// File with the names of the images of the folder to learn from, one a line
    #[arg(long, value_name = "FILE", requires = "train")]
    subset: Option<PathBuf>,
    /// Labelled images that are classified
    #[arg(long, value_name = "SPEC", requires = "train")]
    test: Option<String>,
    /// Features to learn from, .safetensors, .npy or .parquet of `ijepa embed`
    #[arg(long, value_name = "FILE", requires = "features_test")]
    #[arg(conflicts_with_all = ["train", "subset", "test", "weights", "arch", "encoder", "image_size",
          "normalize", "preprocess", "decode", "orientation", "sixteen_bit", "num_heads"])]
    features_train: Option<PathBuf>,
    /// Features that are classified
    #[arg(long, value_name = "FILE", requires = "features_train")]
    features_test: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) read: ReadArgs,
}

/// A source and the text that named it.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) spec: String,
    pub(crate) source: Arc<dyn Source>,
}

/// Opened sources and what looks at their images.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) train: Named,
    pub(crate) test: Named,
    pub(crate) look: Look,
}

impl Images {
    /// What is missing without being missed, in words.
    pub(crate) fn faults(&self) -> Vec<String> {
        [&self.train, &self.test]
            .iter()
            .flat_map(|it| it.source.faults())
            .collect()
    }
}

/// What looks at images.
#[derive(Debug)]
pub(crate) enum Look {
    Encoder(Box<LoadedEncoder>),
    /// Nothing: their pixels at `[height, width]`.
    Pixels {
        size: [usize; 2],
        wanted: Box<Wanted>,
    },
}

impl Look {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Encoder(frozen) => frozen.choice.name(),
            Self::Pixels { .. } => "pixels",
        }
    }

    fn wanted(&self) -> Wanted {
        match self {
            Self::Encoder(frozen) => frozen.wanted,
            Self::Pixels { wanted, .. } => **wanted,
        }
    }
}

/// Two sets of features and where they come from.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Which encoder of its weights, or what stands in for one.
    pub(crate) encoder: Cow<'static, str>,
    pub(crate) train: Features,
    pub(crate) test: Features,
    pub(crate) skipped: Vec<Skipped>,
    /// What is missing of the images without being missed.
    pub(crate) faults: Vec<String>,
    /// How images were resized; files do not say it.
    pub(crate) resizing: Option<Resizing>,
    /// How the tokens of an image became a vector, if that is known.
    pub(crate) pool: Option<String>,
}

impl PairArgs {
    pub(crate) fn is_of_files(&self) -> bool {
        self.features_train.is_some()
    }

    pub(crate) fn is_of_pixels(&self) -> bool {
        self.encoder == Some(Choice::Pixels)
    }

    /// The features of files, if files were named.
    pub(crate) fn of_files(&self) -> Result<Option<Pair>, CliError> {
        let (Some(train), Some(test)) = (&self.features_train, &self.features_test) else {
            return Ok(None);
        };
        let train = read_features(train).map_err(Error::from)?;
        let test = read_features(test).map_err(Error::from)?;
        train.check_like(&test).map_err(Error::from)?;
        let test = test.with_classes_of(&train).map_err(Error::from)?;
        Ok(Some(Pair {
            // Files of before do not say it.
            encoder: train.encoder.map_or("unknown".into(), Cow::Owned),
            train: train.features,
            test: test.features,
            skipped: Vec::new(),
            faults: Vec::new(),
            resizing: None,
            pool: train.pool,
        }))
    }

    /// Opens images and, if `check` finds nothing wrong with them, the encoder; `check` gives the
    /// test images as they go with those of training.
    pub(crate) fn images(
        &self,
        context: &Context,
        check: impl FnOnce(&dyn Source, Arc<dyn Source>) -> Result<Arc<dyn Source>, Error>,
    ) -> Result<Images, CliError> {
        let open = |spec: &Option<String>, subset: &Option<PathBuf>| {
            let spec = spec.clone().ok_or(CliError::NothingToCompare)?;
            let source = args::open_part(&spec, subset.as_deref(), context)?;
            Ok::<_, CliError>(Named { spec, source })
        };
        let (train, mut test) = (open(&self.train, &self.subset)?, open(&self.test, &None)?);
        test.source = check(train.source.as_ref(), test.source)?;
        let look = self.look(train.source.as_ref(), context)?;
        look.wanted().check(train.source.as_ref())?;
        look.wanted().check(test.source.as_ref())?;
        Ok(Images { train, test, look })
    }

    fn look(&self, train: &dyn Source, context: &Context) -> Result<Look, CliError> {
        let choice = match self.encoder {
            Some(Choice::Pixels) => {
                let Pixels { size, wanted } = self.weights.pixels(context)?;
                let reading = || self.read.reading(wanted, context);
                let size = size.map_or_else(|| natural_size(train, PIXEL_SIDE, reading()), Ok);
                return Ok(Look::Pixels {
                    size: size.map_err(Error::from)?,
                    wanted: Box::new(wanted),
                });
            }
            Some(Choice::Target) => Some(EncoderChoice::Target),
            Some(Choice::Context) => Some(EncoderChoice::Context),
            Some(Choice::Random) => Some(EncoderChoice::Random),
            None => None,
        };
        Ok(Look::Encoder(Box::new(self.weights.load(choice, context)?)))
    }

    /// How the images of `look` become features; resized as `needed` or as the weights say, unless
    /// a flag says otherwise.
    pub(crate) fn extraction(
        &self,
        look: &Look,
        pooling: Pooling,
        needed: Option<Preprocess>,
        context: &Context,
    ) -> Extraction {
        self.read
            .extraction(pooling, look.wanted(), needed, context)
    }

    /// Extracts the features of one set, or takes them from `cache`; several processes do it
    /// together, for the first of them.
    pub(crate) fn extract(
        &self,
        look: &Look,
        Named { spec, source }: &Named,
        Extraction { config, resizing }: &Extraction,
        context: &Context,
        cache: Option<&FeatureCache>,
    ) -> Result<Option<Extracted>, CliError> {
        let compute = context.compute()?;
        if !context.quiet {
            let (images, device) = (source.len(), compute.spec);
            report::line(&format!("{spec}: {images} images on {device}, {resizing}"));
        }
        let device = &compute.device;
        let watch = StatusLine::watch(context.quiet, spec);
        let extract = |source: &dyn Source| match (look, cache) {
            (Look::Pixels { size, .. }, _) => {
                extract_pixels(source, *size, config, watch).map_err(Error::from)
            }
            (Look::Encoder(frozen), None) => {
                extract_with_progress(&frozen.encoder, source, config, device, watch)
                    .map_err(Error::from)
            }
            (Look::Encoder(frozen), Some(cache)) => {
                cache.extract(&frozen.encoder, source, config, device, watch)
            }
        };
        let ranks = context.ranks().as_ref();
        let extracted = extract_together(ranks, source, config.batch_size, extract);
        Ok(extracted?)
    }

    /// The features of both sets, for the first of the processes that extract them together.
    pub(crate) fn extract_both(
        &self,
        images: &Images,
        extraction: &Extraction,
        context: &Context,
        cache: Option<&FeatureCache>,
    ) -> Result<Option<Pair>, CliError> {
        let of = |named| self.extract(&images.look, named, extraction, context, cache);
        let (Some(train), Some(test)) = (of(&images.train)?, of(&images.test)?) else {
            return Ok(None);
        };
        Ok(Some(Pair {
            encoder: images.look.name().into(),
            train: train.features,
            test: test.features,
            skipped: [train.skipped, test.skipped].concat(),
            faults: images.faults(),
            resizing: Some(extraction.resizing),
            pool: match images.look {
                Look::Encoder(_) => Some(extraction.config.pooling.name().to_owned()),
                Look::Pixels { .. } => None,
            },
        }))
    }
}

/// Images that were left out, as JSON.
pub(crate) fn skipped_json(skipped: &[Skipped]) -> Value {
    let image = |image: &Skipped| json!({ "path": image.path, "why": image.why });
    skipped.iter().map(image).collect()
}

/// Images that were left out, one a line.
pub(crate) fn skipped_text(skipped: &[Skipped]) -> String {
    let line = |image: &Skipped| format!("skipped {}: {}\n", image.path, image.why);
    skipped.iter().map(line).collect()
}
