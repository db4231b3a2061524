//! Which images, and how they are read.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use ijepa_data::{
    DataError, DataSpec, Decoding, Orientation, Preprocess, Reading, SixteenBit, Source,
};

use crate::context::Context;

/// The images that a command goes through.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// Images: folder:PATH[,labels=FILE] or PATH, parquet:GLOB, cifar10:PATH, cifar100:PATH,
    /// clevr-count:PATH, clevr-distance:PATH, places205:PATH, inat18:PATH, scenes[:key=value,...]
    #[arg(long = "data", value_name = "SPEC")]
    pub(crate) spec: String,
    /// File with the names of the images of the folder to use, one a line
    #[arg(long, value_name = "FILE")]
    subset: Option<PathBuf>,
}

impl DataArgs {
    pub(crate) fn open(&self) -> Result<Arc<dyn Source>, DataError> {
        open_part(&self.spec, self.subset.as_deref())
    }
}

/// Opens what `spec` says.
pub(crate) fn open_data(spec: &str) -> Result<Arc<dyn Source>, DataError> {
    Ok(spec.parse::<DataSpec>()?.open()?.into())
}

/// As [`open_data`], with the images that a list names, if there is one.
pub(crate) fn open_part(spec: &str, list: Option<&Path>) -> Result<Arc<dyn Source>, DataError> {
    match list {
        Some(list) => Ok(spec.parse::<DataSpec>()?.open_subset(list)?.into()),
        None => open_data(spec),
    }
}

/// How images reach a frozen encoder.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// eval: short side to 8/7 of the size, then the centre; fill: short side to the size; squash:
    /// to the exact size; none [default: eval; squash for the probes on CLEVR]
    #[arg(long, value_name = "HOW", value_parser = preprocess)]
    pub(crate) preprocess: Option<Preprocess>,
    /// Whether pictures are turned upright as their EXIF data says: ignore, exif
    #[arg(long, value_name = "HOW", default_value_t)]
    orientation: Orientation,
    /// How 16-bit samples become 8: high_byte; scale to the bits that a picture uses
    #[arg(long, value_name = "HOW", default_value_t)]
    sixteen_bit: SixteenBit,
}

impl ReadArgs {
    /// How images are read.
    pub(crate) fn reading(&self, context: &Context) -> Reading {
        Reading {
            decoding: Decoding {
                orientation: self.orientation,
                sixteen_bit: self.sixteen_bit,
            },
            ..context.reading()
        }
    }
}

fn preprocess(text: &str) -> Result<Preprocess, String> {
    text.parse().map_err(|error: DataError| error.to_string())
}
