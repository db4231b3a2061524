//! What can go wrong in a command.

use std::{error::Error, iter::successors, net::SocketAddr, path::PathBuf};

use ijepa_data::{DataError, PackError};
use ijepa_eval::{FinetuneError, study::StudyError};
use ijepa_masking::MaskError;
use ijepa_model::{
    CheckpointError, ConfigError,
    checkpoint::Mismatch,
    files::{FileError, on_one_line},
};
use ijepa_train::{DeviceError, RecipeError, ResolveError, TrainError};
use ijepa_viz::{VizError, rcdm::RcdmError};

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error("device {device} cannot compute in {precision}; use --precision f32")]
    Precision {
        device: String,
        precision: &'static str,
    },
    #[error("`--precision int8` is for features; train in f32 or bf16")]
    FeaturePrecision,
    #[error("cannot use `--{flag}`")]
    Flag {
        flag: &'static str,
        #[source]
        source: ConfigError,
    },
    #[error("{encoder} encoder: `--{needed}` is missing")]
    MissingFlag {
        encoder: &'static str,
        needed: &'static str,
    },
    #[error("`--arch` gives sizes only, use it with --encoder random or pass --weights")]
    ArchWithoutRandom,
    #[error("`--encoder` chooses the one encoder of an export, use it with --to hf or onnx")]
    EncoderOfWholeCheckpoint,
    #[error("`--{flag} {}` is a folder, expected a file name", path.display())]
    OutIsFolder { flag: &'static str, path: PathBuf },
    #[error("`--{flag} {}`: expected a name that ends in .{ending}", path.display())]
    OtherEnding {
        flag: &'static str,
        path: PathBuf,
        ending: &'static str,
    },
    #[error("`{command}` is about masks, and LeJEPA has views instead")]
    Views { command: &'static str },
    #[error(
        "the weights do not say which masks they were trained with, and the paper's do not fit their \
         grid; `visualize predictor` takes a --block instead"
    )]
    PaperMasks(#[source] MaskError),
    #[error("the weights were trained with LeJEPA, which has a projector and no predictor")]
    Projector,
    #[error("`{}` already exists, choose another name", path.display())]
    Exists { path: PathBuf },
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Eval(#[from] ijepa_eval::Error),
    #[error(transparent)]
    Viz(#[from] VizError),
    #[error(transparent)]
    Rcdm(#[from] RcdmError),
    #[error("`--condition file`: `--features` is missing")]
    MissingFeatures,
    #[error("`--{flag}` changes nothing {place}, leave it out")]
    ChangesNothing { flag: &'static str, place: String },
    #[error(transparent)]
    Report(#[from] ijepa_report::ReportError),
    #[error(transparent)]
    Study(StudyError),
    #[error("cannot read variants from `{}`: {why}", path.display())]
    VariantFile { path: PathBuf, why: String },
    #[error("{train} times `--eval-data` and {test} times `--eval-test`, expected as many of each")]
    TaskPairs { train: usize, test: usize },
    #[error("interrupted after step {step}; {again} goes on from `{}`", run.display())]
    Interrupted {
        step: u64,
        run: PathBuf,
        again: &'static str,
    },
    #[error(
        "`ijepa {command}` is for one process, not for {size}; start it without mpirun or srun"
    )]
    OneProcess { command: &'static str, size: usize },
    #[error(
        "a process computes on one device; for {count} start as many: mpirun -n {count} ijepa ..."
    )]
    SeveralDevices { count: usize },
    #[error(
        "`--address {address}` is reached from other machines; say --allow-remote if it is meant"
    )]
    RemoteAddress { address: SocketAddr },
    #[error("cannot serve at {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("stopped before all requests were answered")]
    CutShort,
    #[error("cannot listen for Ctrl-C")]
    Signals(#[source] std::io::Error),
    #[error(
        "nothing to compare; pass --weights W --train SPEC --test SPEC, or --features-train FILE \
         --features-test FILE"
    )]
    NothingToCompare,
    #[error("`--pool {pool}` does not go with files of --pool {found}")]
    PoolOfFile { pool: String, found: String },
    #[error(
        "`--protocol {protocol}` needs the patch tokens of an encoder, which neither pixels nor \
         files of features have"
    )]
    NeedsTokens { protocol: String },
    #[error(
        "masks and depths are of whole images: `--protocol {protocol}` goes with --preprocess squash \
         or none"
    )]
    NeedsWholeImages { protocol: String },
    #[error("{bad} of {images} images cannot be used")]
    BadImages { bad: usize, images: usize },
    #[error("files of the data that stop early: {files}")]
    NotWhole { files: usize },
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(
        "there are no such statistics for images of {channels} channels: `--normalize` names those \
         of colours, and images have at most 16 channels"
    )]
    Statistics { channels: usize },
    #[error(
        "`--bands` names channel {band}, the encoder takes images of {channels}, counted from 0"
    )]
    NoBand { band: usize, channels: usize },
    #[error("decoders draw red, green and blue, the encoder takes images of {channels} channels")]
    OnlyColors { channels: usize },
    #[error("there is no folder of the user for caches; set XDG_CACHE_HOME")]
    NoCache,
    #[error("cannot print the result")]
    Print(#[source] std::io::Error),
    #[error("cannot start {threads} compute threads")]
    Threads {
        threads: usize,
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
}

impl CliError {
    /// Whether the files of a checkpoint are at fault, rather than what is asked of them.
    pub(crate) fn is_of_checkpoint(&self) -> bool {
        use ijepa_eval::Error;
        matches!(
            self,
            Self::Checkpoint(_)
                | Self::Train(TrainError::Checkpoint(_))
                | Self::Eval(Error::Finetune(
                    FinetuneError::Checkpoint(_) | FinetuneError::Run(TrainError::Checkpoint(_))
                ))
        )
    }
}

/// An error and its causes, with `verbose` one a line and everything of weights that does not fit.
pub(crate) fn describe(error: &(dyn Error + 'static), verbose: bool) -> String {
    if !verbose {
        return format!("error: {}", on_one_line(error));
    }
    let mut text = format!("error: {error}");
    for cause in successors(error.source(), |&cause| cause.source()) {
        text += &format!("\ncaused by: {cause}");
        if let Some(mismatch) = cause.downcast_ref::<Box<Mismatch>>() {
            let lines = mismatch.lines();
            text.extend(lines.iter().map(|line| format!("\n  {line}")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use ijepa_model::files::cannot;

    use super::*;

    #[test]
    fn causes_are_listed_once_each() {
        let full = std::io::Error::other("disk is full");
        let error = CliError::from(cannot("write", "a/b.npy".as_ref())(full));
        assert_eq!(
            describe(&error, false),
            "error: cannot write `a/b.npy`: disk is full"
        );
        assert_eq!(
            describe(&error, true),
            "error: cannot write `a/b.npy`\ncaused by: disk is full"
        );
        assert_eq!(on_one_line(&error), "cannot write `a/b.npy`: disk is full");
        let wrapped = CliError::from(DeviceError::NoBackend);
        assert_eq!(
            describe(&wrapped, true),
            "error: no backend is compiled in; rebuild with --features flex"
        );
    }
}
