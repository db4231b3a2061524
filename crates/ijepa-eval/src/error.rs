//! Any error of this crate, for callers that do not tell them apart.

use ijepa_data::DataError;
use ijepa_model::files::FileError;
use ijepa_train::TrainError;

use crate::{
    dense::DenseError,
    features::{ExtractError, FeatureFileError, FeaturesError},
    finetune::FinetuneError,
    knn::KnnError,
    labels::LabelsError,
    probe::ProbeError,
};

/// Whatever can go wrong between a data set and a figure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The data cannot be opened.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Values that are no features.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// Features cannot be extracted.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// Features cannot be compared.
    #[error(transparent)]
    Knn(#[from] KnnError),
    /// An encoder cannot be fine-tuned.
    #[error(transparent)]
    Finetune(#[from] FinetuneError),
    /// Labels do not go together.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// Heads cannot be trained.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Segmentation or depths cannot be learned or judged.
    #[error(transparent)]
    Dense(#[from] DenseError),
    /// Features cannot be kept for the next time.
    #[error(transparent)]
    Cache(#[from] FileError),
    /// Processes cannot work together.
    #[error(transparent)]
    Ranks(TrainError),
    /// A file of features cannot be read or written.
    #[error(transparent)]
    File(#[from] FeatureFileError),
}
