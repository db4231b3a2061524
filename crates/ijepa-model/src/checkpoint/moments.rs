//! Adam moments and the optimizer's parameter groups.

use std::{collections::HashMap, path::Path};

use super::{
    error::CheckpointError,
    params::NamedTensor,
    safetensors_file::SafetensorsFile,
    snapshot::TensorFile,
    state_dict::{LazyTensor, StateDict},
};

/// Metadata key of the number of updates in an optimizer file.
const STEP_METADATA: &str = "step";

/// Running averages of gradients and squared gradients.
///
/// Tensors are called `<network>.<parameter>.exp_avg` and `<network>.<parameter>.exp_avg_sq`,
/// with `encoder` or `predictor` as network.
#[derive(Debug)]
pub struct Moments {
    /// Updates that the averages have seen.
    pub step: u64,
    /// The averages.
    pub tensors: StateDict,
}

impl Moments {
    /// Name of the file in a checkpoint folder.
    pub const FILE: &str = "optimizer.safetensors";

    /// Ends of the names of first and second moments.
    pub const SUFFIXES: [&str; 2] = ["exp_avg", "exp_avg_sq"];

    /// Opens an optimizer file; its tensors stay there until they are read.
    ///
    /// # Errors
    ///
    /// A [`CheckpointError`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let file = SafetensorsFile::open(path)?;
        let step = file.metadata.get(STEP_METADATA);
        let wrong = || CheckpointError::Entry {
            path: path.into(),
            key: STEP_METADATA.to_owned(),
            expected: "a number of updates",
            found: step.map_or("nothing", String::as_str).to_owned(),
        };
        Ok(Self {
            step: step.and_then(|it| it.parse().ok()).ok_or_else(wrong)?,
            tensors: file.tensors,
        })
    }

    /// The optimizer file with the moments after `step` updates.
    pub fn file(tensors: Vec<NamedTensor>, step: u64) -> TensorFile {
        TensorFile {
            name: Self::FILE,
            tensors,
            metadata: HashMap::from([(STEP_METADATA.to_owned(), step.to_string())]),
        }
    }
}

/// The four parameter groups of the reference's AdamW, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptimizerGroup {
    /// Encoder parameters with weight decay.
    EncoderDecayed,
    /// Predictor parameters with weight decay, the mask token among them.
    PredictorDecayed,
    /// Norms and biases of the encoder.
    EncoderPlain,
    /// Norms and biases of the predictor.
    PredictorPlain,
}

impl OptimizerGroup {
    /// All groups in the order of the reference's parameter numbers.
    pub const ALL: [Self; 4] = [
        Self::EncoderDecayed,
        Self::PredictorDecayed,
        Self::EncoderPlain,
        Self::PredictorPlain,
    ];

    /// Whether weight decay applies.
    pub fn is_decayed(self) -> bool {
        matches!(self, Self::EncoderDecayed | Self::PredictorDecayed)
    }

    /// The network of the group, as it begins the names of moments.
    pub fn network(self) -> &'static str {
        match self {
            Self::EncoderDecayed | Self::EncoderPlain => "encoder",
            Self::PredictorDecayed | Self::PredictorPlain => "predictor",
        }
    }

    /// Whether a parameter of the group's network belongs to the group: decay is for parameters
    /// of more than one dimension that are no biases.
    pub fn contains(self, name: &str, rank: usize) -> bool {
        let decayed = rank != 1 && !name.contains("bias");
        decayed == self.is_decayed()
    }

    /// Names of its parameters in its network.
    pub(crate) fn names<'a>(
        self,
        encoder: &'a StateDict,
        predictor: &'a StateDict,
    ) -> impl Iterator<Item = &'a str> {
        let network = match self.network() {
            "encoder" => encoder,
            _ => predictor,
        };
        let own =
            move |(name, tensor): &(&str, &LazyTensor)| self.contains(name, tensor.shape().len());
        network.iter().filter(own).map(|(name, _)| name)
    }
}
