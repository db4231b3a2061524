//! Exit codes, stable for scripts, and the errors that they stand for.

use std::io::ErrorKind;

use ijepa_data::{DataError, ImageError, PackError};
use ijepa_eval::{
    DenseError, ExtractError, FeatureFileError, FinetuneError, KnnError, ProbeError,
    study::StudyError,
};
use ijepa_train::TrainError;
use ijepa_viz::{VizError, rcdm::RcdmError};

use crate::error::CliError;

/// The command did what it was told.
pub(crate) const SUCCESS: u8 = 0;
/// Anything without a code of its own, such as a file that cannot be written.
pub(crate) const FAILURE: u8 = 1;
/// The command line makes no sense, as clap's own code.
pub(crate) const USAGE: u8 = 2;
/// A recipe that cannot be read or carried out, or images of other channels than it or weights take.
pub(crate) const RECIPE: u8 = 3;
/// Data that cannot be read.
pub(crate) const DATA: u8 = 4;
/// A checkpoint that cannot be read, written or used, or a file of a run that is damaged.
pub(crate) const CHECKPOINT: u8 = 5;
/// A bug of this program.
pub(crate) const BUG: u8 = 70;
/// The run diverged or collapsed.
pub(crate) const DIVERGED: u8 = 6;
/// Stopped by the user after a clean checkpoint.
pub(crate) const INTERRUPTED: u8 = 130;

impl CliError {
    /// What the process exits with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Recipe(_)
            | Self::Resolve(_)
            | Self::Views { .. }
            | Self::PaperMasks(_)
            | Self::Data(DataError::Image(ImageError::Channels { .. })) => RECIPE,
            Self::Pack(PackError::Data(DataError::BadValue { .. })) => USAGE,
            Self::Data(_)
            | Self::Report(_)
            | Self::BadImages { .. }
            | Self::NotWhole { .. }
            | Self::Pack(PackError::Data(_)) => DATA,
            Self::Checkpoint(_) | Self::OnlyColors { .. } | Self::Projector => CHECKPOINT,
            Self::Train(error) => training(error),
            Self::Eval(error) => evaluation(error),
            Self::Viz(error) => drawing(error),
            Self::Study(error) => comparing(error),
            Self::Rcdm(error) => decoding(error),
            Self::Interrupted { .. } | Self::CutShort => INTERRUPTED,
            Self::Device(_)
            | Self::OneProcess { .. }
            | Self::SeveralDevices { .. }
            | Self::RemoteAddress { .. }
            | Self::Precision { .. }
            | Self::Flag { .. }
            | Self::MissingFlag { .. }
            | Self::ArchWithoutRandom
            | Self::EncoderOfWholeCheckpoint
            | Self::FeaturePrecision
            | Self::OutIsFolder { .. }
            | Self::OtherEnding { .. }
            | Self::VariantFile { .. }
            | Self::TaskPairs { .. }
            | Self::ChangesNothing { .. }
            | Self::NothingToCompare
            | Self::PoolOfFile { .. }
            | Self::NeedsTokens { .. }
            | Self::NeedsWholeImages { .. }
            | Self::Statistics { .. }
            | Self::NoBand { .. }
            | Self::MissingFeatures => USAGE,
            Self::Exists { .. }
            | Self::File(_)
            | Self::Pack(_)
            | Self::NoCache
            | Self::Listen { .. }
            | Self::Print(_)
            | Self::Signals(_)
            | Self::Threads { .. } => FAILURE,
        }
    }
}

fn evaluation(error: &ijepa_eval::Error) -> u8 {
    use ijepa_eval::Error;
    match error {
        Error::Data(_) | Error::Features(_) | Error::Labels(_) => DATA,
        Error::Knn(
            KnnError::Labels(_)
            | KnnError::Width(_)
            | KnnError::TooManyNeighbours { .. }
            | KnnError::TooFewToWhiten { .. }
            | KnnError::FewerThanVote { .. },
        ) => DATA,
        Error::File(
            FeatureFileError::Read { .. }
            | FeatureFileError::OtherWeights { .. }
            | FeatureFileError::Unlike { .. },
        ) => DATA,
        Error::File(FeatureFileError::Extension { .. } | FeatureFileError::TokensToParquet) => {
            USAGE
        }
        Error::Extract(error) => extraction(error),
        Error::Probe(error) | Error::Dense(DenseError::Probe(error)) => probing(error),
        Error::Dense(_) => DATA,
        Error::Finetune(error) => fine_tuning(error),
        Error::Ranks(error) => training(error),
        _ => FAILURE,
    }
}

fn extraction(error: &ExtractError) -> u8 {
    match error {
        ExtractError::Images { .. }
        | ExtractError::NothingReadable { .. }
        | ExtractError::NotFinite { .. }
        | ExtractError::Data(_)
        | ExtractError::Features(_) => DATA,
        ExtractError::Channels { .. } => RECIPE,
        ExtractError::Shallow { .. } | ExtractError::NoSuchImage { .. } => USAGE,
        _ => FAILURE,
    }
}

fn drawing(error: &VizError) -> u8 {
    match error {
        VizError::Extract(error) => extraction(error),
        VizError::Attention { .. } => DATA,
        VizError::PredictsPixels | VizError::TargetBlocks(_) => CHECKPOINT,
        _ => USAGE,
    }
}

fn fine_tuning(error: &FinetuneError) -> u8 {
    match error {
        FinetuneError::Recipe(_)
        | FinetuneError::ImageSize(_)
        | FinetuneError::Blocks { .. }
        | FinetuneError::Rank { .. }
        | FinetuneError::RankOfNothing { .. }
        | FinetuneError::Colors { .. }
        | FinetuneError::Batch { .. } => RECIPE,
        FinetuneError::Data(_) => DATA,
        FinetuneError::Checkpoint(_) | FinetuneError::OtherEncoder { .. } => CHECKPOINT,
        FinetuneError::Evaluate(ExtractError::NotFinite { .. }) => DIVERGED,
        FinetuneError::Evaluate(error) => extraction(error),
        FinetuneError::Run(error) => training(error),
        _ => FAILURE,
    }
}

fn probing(error: &ProbeError) -> u8 {
    match error {
        ProbeError::Empty { .. } | ProbeError::Value { .. } => USAGE,
        ProbeError::Quarters { .. }
        | ProbeError::Tokens { .. }
        | ProbeError::Width(_)
        | ProbeError::Labels(_)
        | ProbeError::Data(_) => DATA,
        ProbeError::Extract(error) => extraction(error),
        ProbeError::Diverged { .. } => DIVERGED,
        _ => FAILURE,
    }
}

fn decoding(error: &RcdmError) -> u8 {
    match error {
        RcdmError::Recipe(_) | RcdmError::Sizes { .. } => RECIPE,
        RcdmError::Kind { .. } | RcdmError::TooFew { .. } => USAGE,
        RcdmError::Width { .. }
        | RcdmError::Unreadable { .. }
        | RcdmError::Rows { .. }
        | RcdmError::OtherImages { .. }
        | RcdmError::Data(_) => DATA,
        RcdmError::Extract(error) => extraction(error),
        RcdmError::Checkpoint(_) | RcdmError::OtherWeights => CHECKPOINT,
        RcdmError::Run(error) => training(error),
        _ => FAILURE,
    }
}

fn comparing(error: &StudyError) -> u8 {
    match error {
        StudyError::Variant { .. } => RECIPE,
        StudyError::OtherRun { .. } | StudyError::TooFar { .. } | StudyError::Damaged { .. } => {
            CHECKPOINT
        }
        _ => USAGE,
    }
}

fn training(error: &TrainError) -> u8 {
    match error {
        TrainError::Recipe(_) | TrainError::FewPasses { .. } => RECIPE,
        TrainError::Data(_) => DATA,
        // A table of the run that is none.
        TrainError::Io(error) if error.source.kind() == ErrorKind::InvalidData => CHECKPOINT,
        TrainError::Checkpoint(_)
        | TrainError::OtherRecipe { .. }
        | TrainError::OtherRun { .. }
        | TrainError::OtherKind { .. }
        | TrainError::Unclear { .. } => CHECKPOINT,
        TrainError::Diverged { .. } | TrainError::Collapsed { .. } => DIVERGED,
        TrainError::Evaluation(source) => match source.downcast_ref() {
            Some(ijepa_eval::Error::Extract(ExtractError::NotFinite { .. })) => DIVERGED,
            Some(error) => evaluation(error),
            None => FAILURE,
        },
        _ => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let labels = ijepa_eval::Error::Knn(ijepa_eval::WidthError { train: 8, test: 9 }.into());
        let hook = CliError::Train(TrainError::Evaluation(labels.into()));
        assert_eq!(hook.exit_code(), 4);
        let print = CliError::Print(std::io::Error::other("disk is full"));
        assert_eq!(print.exit_code(), 1);
    }
}
