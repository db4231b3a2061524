//! What can go wrong in a command, and the exit code that says so.

use std::{error::Error, net::SocketAddr, path::PathBuf};

use ijepa_data::{DataError, ImageError, PackError};
use ijepa_eval::{
    DenseError, ExtractError, FeatureFileError, FinetuneError, KnnError, ProbeError,
    study::StudyError,
};
use ijepa_model::{CheckpointError, ConfigError, checkpoint::Mismatch, files::FileError};
use ijepa_train::{DeviceError, RecipeError, ResolveError, TrainError};
use ijepa_viz::{VizError, rcdm::RcdmError};

use crate::exit_code;

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
    #[error("`--{flag} {}`: pictures are PNG files, expected a name that ends in .png", path.display())]
    NoPngName { flag: &'static str, path: PathBuf },
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

    /// What the process exits with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Recipe(_)
            | Self::Resolve(_)
            | Self::Data(DataError::Image(ImageError::Channels { .. })) => exit_code::RECIPE,
            Self::Data(_)
            | Self::Report(_)
            | Self::BadImages { .. }
            | Self::Pack(PackError::Data(_)) => exit_code::DATA,
            Self::Checkpoint(_) | Self::OnlyColors { .. } => exit_code::CHECKPOINT,
            Self::Train(error) => training(error),
            Self::Eval(error) => evaluation(error),
            Self::Viz(error) => drawing(error),
            Self::Study(error) => comparing(error),
            Self::Rcdm(error) => decoding(error),
            Self::Interrupted { .. } | Self::CutShort => exit_code::INTERRUPTED,
            Self::Device(_)
            | Self::OneProcess { .. }
            | Self::SeveralDevices { .. }
            | Self::RemoteAddress { .. }
            | Self::Precision { .. }
            | Self::Flag { .. }
            | Self::MissingFlag { .. }
            | Self::ArchWithoutRandom
            | Self::EncoderOfWholeCheckpoint
            | Self::OutIsFolder { .. }
            | Self::NoPngName { .. }
            | Self::VariantFile { .. }
            | Self::TaskPairs { .. }
            | Self::ChangesNothing { .. }
            | Self::NothingToCompare
            | Self::PoolOfFile { .. }
            | Self::NeedsTokens { .. }
            | Self::NeedsWholeImages { .. }
            | Self::Statistics { .. }
            | Self::NoBand { .. }
            | Self::MissingFeatures => exit_code::USAGE,
            Self::Exists { .. }
            | Self::File(_)
            | Self::Pack(_)
            | Self::NoCache
            | Self::Listen { .. }
            | Self::Print(_)
            | Self::Signals(_)
            | Self::Threads { .. } => exit_code::FAILURE,
        }
    }
}

fn evaluation(error: &ijepa_eval::Error) -> u8 {
    use ijepa_eval::Error;
    match error {
        Error::Data(_) | Error::Features(_) | Error::Labels(_) => exit_code::DATA,
        Error::Knn(
            KnnError::Labels(_)
            | KnnError::Width { .. }
            | KnnError::TooManyNeighbours { .. }
            | KnnError::FewerThanVote { .. },
        ) => exit_code::DATA,
        Error::File(
            FeatureFileError::Read { .. }
            | FeatureFileError::OtherWeights { .. }
            | FeatureFileError::Unlike { .. },
        ) => exit_code::DATA,
        Error::File(FeatureFileError::Extension { .. } | FeatureFileError::TokensToParquet) => {
            exit_code::USAGE
        }
        Error::Extract(error) => extraction(error),
        Error::Probe(error) | Error::Dense(DenseError::Probe(error)) => probing(error),
        Error::Dense(_) => exit_code::DATA,
        Error::Finetune(error) => fine_tuning(error),
        Error::Ranks(error) => training(error),
        _ => exit_code::FAILURE,
    }
}

fn extraction(error: &ExtractError) -> u8 {
    match error {
        ExtractError::Images { .. }
        | ExtractError::NothingReadable { .. }
        | ExtractError::NotFinite { .. }
        | ExtractError::Data(_)
        | ExtractError::Features(_) => exit_code::DATA,
        ExtractError::Channels { .. } => exit_code::RECIPE,
        ExtractError::Shallow { .. } | ExtractError::NoSuchImage { .. } => exit_code::USAGE,
        _ => exit_code::FAILURE,
    }
}

fn drawing(error: &VizError) -> u8 {
    match error {
        VizError::Extract(error) => extraction(error),
        VizError::PredictsPixels => exit_code::CHECKPOINT,
        _ => exit_code::USAGE,
    }
}

fn fine_tuning(error: &FinetuneError) -> u8 {
    match error {
        FinetuneError::Recipe(_)
        | FinetuneError::ImageSize(_)
        | FinetuneError::Blocks { .. }
        | FinetuneError::Rank { .. }
        | FinetuneError::Colors { .. }
        | FinetuneError::Batch { .. } => exit_code::RECIPE,
        FinetuneError::Data(_) => exit_code::DATA,
        FinetuneError::Checkpoint(_) | FinetuneError::OtherEncoder { .. } => exit_code::CHECKPOINT,
        FinetuneError::Evaluate(ExtractError::NotFinite { .. }) => exit_code::DIVERGED,
        FinetuneError::Evaluate(error) => extraction(error),
        FinetuneError::Run(error) => training(error),
        _ => exit_code::FAILURE,
    }
}

fn probing(error: &ProbeError) -> u8 {
    match error {
        ProbeError::Empty { .. } | ProbeError::Value { .. } => exit_code::USAGE,
        ProbeError::Quarters { .. }
        | ProbeError::Tokens { .. }
        | ProbeError::Width { .. }
        | ProbeError::Labels(_)
        | ProbeError::Data(_) => exit_code::DATA,
        ProbeError::Extract(error) => extraction(error),
        ProbeError::Diverged { .. } => exit_code::DIVERGED,
        _ => exit_code::FAILURE,
    }
}

fn decoding(error: &RcdmError) -> u8 {
    match error {
        RcdmError::Recipe(_) | RcdmError::Sizes { .. } => exit_code::RECIPE,
        RcdmError::Kind { .. } | RcdmError::TooFew { .. } => exit_code::USAGE,
        RcdmError::Width { .. } | RcdmError::Rows { .. } | RcdmError::Data(_) => exit_code::DATA,
        RcdmError::Extract(error) => extraction(error),
        RcdmError::Checkpoint(_) => exit_code::CHECKPOINT,
        RcdmError::Run(error) => training(error),
        _ => exit_code::FAILURE,
    }
}

fn comparing(error: &StudyError) -> u8 {
    match error {
        StudyError::Variant { .. } => exit_code::RECIPE,
        StudyError::OtherRun { .. } | StudyError::TooFar { .. } => exit_code::CHECKPOINT,
        _ => exit_code::USAGE,
    }
}

fn training(error: &TrainError) -> u8 {
    match error {
        TrainError::Recipe(_) | TrainError::FewPasses { .. } => exit_code::RECIPE,
        TrainError::Data(_) => exit_code::DATA,
        TrainError::Checkpoint(_)
        | TrainError::OtherRecipe { .. }
        | TrainError::OtherRun { .. }
        | TrainError::Unclear { .. } => exit_code::CHECKPOINT,
        TrainError::Diverged { .. } | TrainError::Collapsed { .. } => exit_code::DIVERGED,
        TrainError::Evaluation(source) => match source.downcast_ref() {
            Some(ijepa_eval::Error::Extract(ExtractError::NotFinite { .. })) => exit_code::DIVERGED,
            Some(error) => evaluation(error),
            None => exit_code::FAILURE,
        },
        _ => exit_code::FAILURE,
    }
}

/// An error and its causes, with `verbose` one a line and everything of weights that does not fit.
pub(crate) fn describe(error: &(dyn Error + 'static), verbose: bool) -> String {
    if !verbose {
        return format!("error: {}", on_one_line(error));
    }
    let mut text = format!("error: {error}");
    for cause in causes(error) {
        text += &format!("\ncaused by: {cause}");
        if let Some(mismatch) = cause.downcast_ref::<Box<Mismatch>>() {
            let lines = mismatch.lines();
            text.extend(lines.iter().map(|line| format!("\n  {line}")));
        }
    }
    text
}

/// An error and its causes on one line, whatever they say.
pub(crate) fn on_one_line(error: &(dyn Error + 'static)) -> String {
    let causes = causes(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", causes.collect::<String>()).replace('\n', " ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
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

    #[test]
    fn wrong_command_lines_and_failed_writes_have_their_codes() {
        let precision = CliError::Precision {
            device: "wgpu".to_owned(),
            precision: "bf16",
        };
        assert_eq!(
            precision.to_string(),
            "device wgpu cannot compute in bf16; use --precision f32"
        );
        assert_eq!(precision.exit_code(), 2);
        let labels = ijepa_eval::Error::Knn(KnnError::Width { train: 8, test: 9 });
        let hook = CliError::Train(TrainError::Evaluation(labels.into()));
        assert_eq!(hook.exit_code(), 4);
        let print = CliError::Print(std::io::Error::other("disk is full"));
        assert_eq!(print.exit_code(), 1);
    }
}
