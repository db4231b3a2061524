//! Which images, and how they are read.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use ijepa_data::{DataError, DataSpec, Preprocess, Source};

use crate::{context::Context, report};

/// Stands between data sets that are one.
const BETWEEN: &str = " + ";

/// The images that a command goes through.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Images: folder:PATH[,labels=FILE|none] or PATH, list:FILE, parquet:GLOB, cifar10:PATH, cifar100:PATH,
    /// clevr-count:PATH, clevr-distance:PATH, places205:PATH, inat18:PATH, scenes[:key=value,...];
    /// several times for all in turn
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
        let specs = self.specs.iter().map(|spec| Ok(form(spec.parse()?)));
        let specs = specs.collect::<Result<Vec<DataSpec>, DataError>>()?;
        let source = match (&self.subset, &specs[..]) {
            (None, specs) => DataSpec::open_all(specs),
            (Some(list), [spec]) => spec.open_subset(list),
            (Some(_), _) => Err(DataError::SubsetOfOther { spec: self.spec() }),
        };
        Ok(noted(source?.into(), context))
    }
}

/// Says what there is to say about a source.
fn noted(source: Arc<dyn Source>, context: &Context) -> Arc<dyn Source> {
    if !context.quiet {
        source.notes().iter().for_each(|note| report::line(note));
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
    let spec: DataSpec = spec.parse()?;
    let source = match list {
        Some(list) => spec.open_subset(list),
        None => spec.open(),
    };
    Ok(noted(source?.into(), context))
}

/// Opens what `spec` says, which may be that of several data sets, for what needs no labels, and
/// says nothing about it.
pub(crate) fn open_pictures(spec: &str) -> Result<Arc<dyn Source>, DataError> {
    let specs = spec.split(BETWEEN).map(str::parse::<DataSpec>);
    let specs = specs.map(|spec| Ok(spec?.without_labels()));
    Ok(DataSpec::open_all(&specs.collect::<Result<Vec<_>, DataError>>()?)?.into())
}

/// How images reach a frozen encoder.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// eval: short side to 8/7 of the size, then the centre; fill: short side to the size; squash:
    /// to the exact size; none [default: eval; squash for the probes on CLEVR]
    #[arg(long, value_name = "HOW", value_parser = preprocess)]
    pub(crate) preprocess: Option<Preprocess>,
}

fn preprocess(text: &str) -> Result<Preprocess, String> {
    text.parse().map_err(|error: DataError| error.to_string())
}
