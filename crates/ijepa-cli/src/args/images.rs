//! Which images, and how they are read.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use ijepa_data::{
    DataError, DataSpec, Decode, Decoding, IndexCache, Orientation, Preprocess, Reading,
    SixteenBit, Source, check_channels,
};
use ijepa_eval::{ExtractConfig, decoding_of, preprocess_of};
use ijepa_model::{Checkpoint, Normalization, Pooling};
use ijepa_train::{Recipe, RecipeError};
use serde_json::{Value, json};

use crate::{context::Context, features::Normalize, report};

/// Stands between data sets that are one.
const BETWEEN: &str = " + ";

/// The images that a command goes through.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Images: folder:PATH[,labels=FILE|none] or PATH, list:FILE, parquet:GLOB,
    /// tar:GLOB[,label=FIELD], cifar10:PATH, cifar100:PATH, clevr-count:PATH,
    /// clevr-distance:PATH, places205:PATH, inat18:PATH, voc:PATH, scenes[:key=value,...]; several
    /// times for all in turn
    #[arg(long = "data", value_name = "SPEC", required = true)]
    pub(crate) specs: Vec<String>,
    /// File with the names of the images of the folder to use, one a line
    #[arg(long, value_name = "FILE")]
    subset: Option<PathBuf>,
}

impl DataArgs {
    /// Opens the images with the labels that they have.
    pub(crate) fn open(&self, context: &Context) -> Result<Arc<dyn Source>, DataError> {
        self.open_as(|spec| spec, context)
    }

    /// Opens the images for what needs no labels, so that folders may have any form.
    pub(crate) fn open_unlabelled(&self, context: &Context) -> Result<Arc<dyn Source>, DataError> {
        self.open_as(DataSpec::without_labels, context)
    }

    /// What was asked for.
    pub(crate) fn spec(&self) -> String {
        self.specs.join(BETWEEN)
    }

    fn open_as(
        &self,
        form: fn(DataSpec) -> DataSpec,
        context: &Context,
    ) -> Result<Arc<dyn Source>, DataError> {
        let source = open_all(&self.specs, form, self.subset.as_deref());
        Ok(noted(source?, context))
    }
}

/// Opens all that `specs` say in turn, each in a `form`, or of a single one the images that a list
/// names.
fn open_all<S: AsRef<str>>(
    specs: &[S],
    form: fn(DataSpec) -> DataSpec,
    list: Option<&Path>,
) -> Result<Arc<dyn Source>, DataError> {
    let specs = specs.iter().map(AsRef::as_ref);
    let parsed = specs.clone().map(|spec| Ok(form(spec.parse()?)));
    let parsed = parsed.collect::<Result<Vec<DataSpec>, DataError>>()?;
    let indexes = IndexCache::of_user();
    match (list, &parsed[..]) {
        (None, all) => DataSpec::open_all(all, indexes.as_ref()),
        (Some(list), [spec]) => spec.open_subset(list, indexes.as_ref()),
        (Some(_), _) => Err(DataError::SubsetOfOther {
            spec: specs.collect::<Vec<_>>().join(BETWEEN),
        }),
    }
}

/// Says what there is to say about a source.
pub(crate) fn noted(source: Arc<dyn Source>, context: &Context) -> Arc<dyn Source> {
    if !context.quiet {
        source.notes().iter().for_each(|note| report::line(note));
    }
    if context.leads() {
        for fault in source.faults() {
            report::line(&format!("warning: {fault}"));
        }
    }
    source
}

/// Opens what `spec` says.
pub(crate) fn open_data(spec: &str, context: &Context) -> Result<Arc<dyn Source>, DataError> {
    open_part(spec, None, context)
}

/// As [`open_data`], with the images that a list names, if there is one.
pub(crate) fn open_part(
    spec: &str,
    list: Option<&Path>,
    context: &Context,
) -> Result<Arc<dyn Source>, DataError> {
    Ok(noted(open_all(&[spec], |spec| spec, list)?, context))
}

/// Opens what `specs` say in turn, for what needs no labels, and says nothing about it.
pub(crate) fn open_pictures<S: AsRef<str>>(specs: &[S]) -> Result<Arc<dyn Source>, DataError> {
    open_all(specs, DataSpec::without_labels, None)
}

/// As [`open_pictures`], what [`DataArgs::spec`] said of one data set or of several.
pub(crate) fn open_remembered(spec: &str) -> Result<Arc<dyn Source>, DataError> {
    let parts: Vec<&str> = spec.split(BETWEEN).collect();
    if are_several(&parts) {
        return open_pictures(&parts);
    }
    match open_pictures(&[spec]) {
        Err(_) if parts.len() > 1 => open_pictures(&parts),
        opened => opened,
    }
}

/// Whether these were joined: a path may have what stands between them, too, a URL has no blanks.
fn are_several(parts: &[&str]) -> bool {
    parts.len() > 1 && parts.iter().any(|part| part.contains("://"))
}

/// How images reach a frozen encoder.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// eval: short side to 8/7 of the size, then the centre; fill: short side to the size;
    /// crop:MARGIN: to another multiple; squash: to the exact size; none [default: squash for the
    /// probes on CLEVR, else what the weights say, else eval]
    #[arg(long, value_name = "HOW", value_parser = preprocess)]
    preprocess: Option<Preprocess>,
    /// How many pixels of a JPEG file are made: exact, all that are shown; fast, a half to an eighth
    /// of rows and columns where that is enough (needs the Cargo feature `turbojpeg`) [default: exact]
    #[arg(long, value_name = "HOW", value_parser = decode)]
    decode: Option<Decode>,
    /// Whether pictures are turned upright as their EXIF data says: ignore, exif [default: as in
    /// the training of the weights, else ignore]
    #[arg(long, value_name = "HOW")]
    orientation: Option<Orientation>,
    /// How 16-bit samples become 8: high_byte; scale to the bits that a picture uses; keep leaves
    /// them 16, and floats what they are, as for encoders of other channels than three [default: as
    /// in the training of the weights, else high_byte]
    #[arg(long, value_name = "HOW")]
    sixteen_bit: Option<SixteenBit>,
}

/// What weights say about the images that they take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// How they are resized, if they say so.
    pub(crate) preprocess: Option<Preprocess>,
    /// How their files are decoded.
    pub(crate) decoding: Decoding,
    /// Channels that pictures show, if their recipe says so.
    pub(crate) picture: Option<[usize; 3]>,
    /// Channel statistics.
    pub(crate) normalization: Normalization,
}

impl Wanted {
    /// Images resized as others say.
    pub(crate) fn decoded(decoding: Decoding, normalization: Normalization) -> Self {
        Self {
            preprocess: None,
            decoding,
            picture: None,
            normalization,
        }
    }

    /// What `checkpoint` and the recipe in it say of images that get these statistics.
    pub(crate) fn of(
        checkpoint: &Checkpoint,
        normalization: Normalization,
    ) -> Result<Self, RecipeError> {
        let recipe = Recipe::of_checkpoint(checkpoint)?;
        Ok(Self {
            preprocess: preprocess_of(checkpoint),
            decoding: decoding_of(checkpoint),
            picture: recipe.and_then(|it| it.data.picture_channels()),
            normalization,
        })
    }

    /// Checks that `source` has such images.
    pub(crate) fn check(&self, source: &dyn Source) -> Result<(), DataError> {
        let plain = Decoding {
            channels: self.decoding.channels,
            ..Decoding::default()
        };
        check_channels(source, plain)
    }
}

/// How images become features.
#[derive(Debug)]
pub(crate) struct Extraction {
    pub(crate) config: ExtractConfig,
    pub(crate) resizing: Resizing,
}

impl Extraction {
    /// Checks that `source` has images of the channels that they are read with.
    pub(crate) fn check(&self, source: &dyn Source) -> Result<(), DataError> {
        check_channels(source, self.config.reading.decoding)
    }
}

impl ReadArgs {
    /// Its flags, and whether they were given.
    pub(crate) fn given(&self) -> [(&'static str, bool); 4] {
        [
            ("preprocess", self.preprocess.is_some()),
            ("decode", self.decode.is_some()),
            ("orientation", self.orientation.is_some()),
            ("sixteen-bit", self.sixteen_bit.is_some()),
        ]
    }

    /// How images become features of weights that want them so; resized as `needed` instead of as
    /// the weights say, unless a flag says otherwise.
    pub(crate) fn extraction(
        &self,
        pooling: Pooling,
        wanted: Wanted,
        needed: Option<Preprocess>,
        context: &Context,
    ) -> Extraction {
        let own = wanted.preprocess.filter(|_| needed.is_none());
        let (how, from) = match (self.preprocess, own) {
            (Some(asked), _) => (asked, "flag"),
            (None, Some(own)) => (own, "weights"),
            (None, None) => (needed.unwrap_or_default(), "default"),
        };
        let config = ExtractConfig {
            pooling,
            preprocess: how,
            normalization: wanted.normalization,
            batch_size: context.feature_batch(),
            workers: context.workers(),
            reading: self.reading(wanted, context),
        };
        let resizing = Resizing {
            from,
            ..Resizing::of_file(&config)
        };
        Extraction { config, resizing }
    }

    /// How files of images become the pixels that are wanted.
    pub(crate) fn reading(&self, wanted: Wanted, context: &Context) -> Reading {
        let Wanted {
            decoding, picture, ..
        } = wanted;
        Reading {
            decoding: Decoding {
                decode: self.decode.unwrap_or_default(),
                orientation: self.orientation.unwrap_or(decoding.orientation),
                sixteen_bit: self.sixteen_bit.unwrap_or(decoding.sixteen_bit),
                channels: decoding.channels,
            },
            picture,
            ..context.reading()
        }
    }
}

/// How images are decoded and get the size of an encoder, and what says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resizing {
    pub(crate) how: Preprocess,
    from: &'static str,
    decoding: Decoding,
    normalization: Normalization,
}

impl Resizing {
    /// That of a file of features, which says how its images were read.
    pub(crate) fn of_file(config: &ExtractConfig) -> Self {
        Self {
            how: config.preprocess,
            from: "index",
            decoding: config.reading.decoding,
            normalization: config.normalization,
        }
    }

    /// Adds all to the result of a command.
    pub(crate) fn add_to(self, result: &mut Value) {
        result["preprocess"] = json!(self.how.to_string());
        result["preprocess_from"] = json!(self.from);
        result["normalize"] = json!(Normalize::name_of(self.normalization));
        result["decode"] = json!(self.decoding.decode.to_string());
        result["orientation"] = json!(self.decoding.orientation.to_string());
        result["sixteen_bit"] = json!(self.decoding.sixteen_bit.to_string());
        result["channels"] = json!(self.decoding.channels);
    }
}

impl std::fmt::Display for Resizing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "preprocessing {} ({})", self.how, self.from)?;
        let Decoding {
            orientation,
            sixteen_bit,
            ..
        } = self.decoding;
        if orientation != Orientation::default() {
            write!(f, ", orientation {orientation}")?;
        }
        if sixteen_bit != SixteenBit::default() {
            write!(f, ", 16-bit samples {sixteen_bit}")?;
        }
        let statistics = Normalize::name_of(self.normalization);
        write!(f, ", normalisation {statistics}")
    }
}

fn preprocess(text: &str) -> Result<Preprocess, String> {
    text.parse().map_err(|error: DataError| error.to_string())
}

fn decode(text: &str) -> Result<Decode, String> {
    let decode: Decode = text.parse().map_err(|error: DataError| error.to_string())?;
    match decode.is_built() {
        true => Ok(decode),
        false => Err("needs a build with the Cargo feature `turbojpeg`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_may_have_what_stands_between_data_sets() {
        let folder = tempfile::tempdir().unwrap();
        let both = folder.path().join("cats + dogs");
        std::fs::create_dir(&both).unwrap();
        std::fs::write(both.join("a.ppm"), b"P6 2 1 255\n\xff\0\0\0\0\xff").unwrap();
        let spec = format!("folder:{}", both.display());
        assert_eq!(open_pictures(&[&spec]).unwrap().len(), 1);
        assert_eq!(open_remembered(&spec).unwrap().len(), 1);
        let two = ["scenes:n=3", "scenes:n=4,seed=1"];
        assert_eq!(open_pictures(&two).unwrap().len(), 7);
        assert_eq!(open_remembered(&two.join(BETWEEN)).unwrap().len(), 7);
        let url = "tar:https://example.org/a.tar";
        assert!(are_several(&[url, "scenes:n=3"]));
        assert!(!are_several(&[url]) && !are_several(&["cats", "dogs"]));
    }
}
