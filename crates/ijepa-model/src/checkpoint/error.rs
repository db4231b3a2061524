//! What can be wrong with a checkpoint.

use std::{fmt, path::PathBuf};

use super::torch::TorchError;
use crate::{config::ConfigError, files::FileError};

/// A checkpoint that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Reading or writing a file failed.
    #[error(transparent)]
    Io(#[from] FileError),
    /// There is nothing at the path.
    #[error("`{}` does not exist", path.display())]
    NotFound {
        /// The path given.
        path: PathBuf,
    },
    /// Weights cannot be had from the hub.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] crate::hub::HubError),
    /// The path names weights on the hub, which this build does not know.
    #[error("`{}` is on the hub, and this program is built without the Cargo feature `hub`", path.display())]
    NoHub {
        /// The name given.
        path: PathBuf,
    },
    /// The path is no checkpoint of a known kind.
    #[error("`{}` is no checkpoint: expected a run directory, a folder with encoder.safetensors, config.json or weights, an official .pth.tar or a .safetensors file", path.display())]
    UnknownKind {
        /// The folder given.
        path: PathBuf,
    },
    /// The file is a graph of operators.
    #[error("`{}` is a graph for ONNX runtimes, which is written and not read; give the weights that it was made of", path.display())]
    WrittenOnly {
        /// The file given.
        path: PathBuf,
    },
    /// A run that has not come to its first checkpoint.
    #[error("`{}` is a run without a checkpoint yet", path.display())]
    NoneYet {
        /// The run.
        path: PathBuf,
    },
    /// The file was never downloaded.
    #[error("`{}` is a Git LFS pointer instead of the weights; fetch them with `git lfs pull`", path.display())]
    GitLfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// A PyTorch archive is damaged or of another kind.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// Weights or moments that are no numbers, as of a damaged file or a run that diverged.
    #[error("`{}` is no use: {tensor} is not finite", path.display())]
    NotFinite {
        /// The checkpoint.
        path: PathBuf,
        /// The first tensor with such a value.
        tensor: String,
    },
    /// A safetensors file is damaged.
    #[error("`{}` is no valid safetensors file: {reason}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A JSON file does not say what it should.
    #[error("`{}` is not as expected", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A pickle holds no encoder under any name that is known.
    #[error("`{}` has no encoder: expected `encoder` or `target_encoder`, or one state dict, bare or under `model` or `state_dict`, found {keys}", path.display())]
    NoNetwork {
        /// The file.
        path: PathBuf,
        /// Number and first of the entries that are there.
        keys: String,
    },
    /// An entry of an official checkpoint is absent or of another type.
    #[error("`{}` has no usable entry `{key}`: expected {expected}, found {found}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The entry.
        key: String,
        /// The type needed.
        expected: &'static str,
        /// The type present.
        found: String,
    },
    /// A tensor has a number type that weights cannot have.
    #[error("`{}`: tensor `{key}` has type {found}, expected a float type", path.display())]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        key: String,
        /// Its type.
        found: String,
    },
    /// The head count is not recorded and the width is no published one.
    #[error("`{}` does not record its number of attention heads and width {embed_dim} is no published one; pass --num-heads", path.display())]
    NumHeads {
        /// The file.
        path: PathBuf,
        /// Width of the encoder.
        embed_dim: usize,
    },
    /// The head count is recorded and is another one than was asked for.
    #[error("`{}` has {found} attention heads, {asked} were asked for", path.display())]
    OtherHeads {
        /// The file.
        path: PathBuf,
        /// Heads that it records.
        found: usize,
        /// Heads asked for.
        asked: usize,
    },
    /// The sizes found make no network.
    #[error("`{}` describes no valid network", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The broken rule.
        #[source]
        source: ConfigError,
    },
    /// A value of the configuration is one that this implementation does not compute.
    #[error("`{}`: `{key}` is {found}, but only {expected} is supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The configuration key.
        key: &'static str,
        /// The value found.
        found: String,
        /// The supported value.
        expected: &'static str,
    },
    /// A configuration says another size than its tensors have.
    #[error("`{}`: `{key}` is {said}, but the weights are for {found}", path.display())]
    OtherSize {
        /// The file.
        path: PathBuf,
        /// The configuration key.
        key: &'static str,
        /// Its value.
        said: String,
        /// What the tensors have.
        found: String,
    },
    /// The checkpoint was written by a newer version.
    #[error("`{}` has format version {found}, this version reads up to {supported}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Newest version that can be read.
        supported: u32,
    },
    /// The checkpoint does not contain a network that was asked for.
    #[error("`{}` has no {what}", path.display())]
    Absent {
        /// The checkpoint.
        path: PathBuf,
        /// The network or state.
        what: &'static str,
    },
    /// Keys or shapes do not fit the network; the source has all of them.
    #[error("the {what} of `{}` does not fit", path.display())]
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// Which network.
        what: &'static str,
        /// Everything that does not fit.
        #[source]
        mismatch: Box<Mismatch>,
    },
}

/// Everything about a checkpoint that does not fit a network; shown as a line with the first few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Parameters of the network that the checkpoint lacks.
    pub missing: Vec<String>,
    /// Tensors of the checkpoint that the network lacks.
    pub unexpected: Vec<String>,
    /// Name, shape in the checkpoint, shape in the network.
    pub misshaped: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Mismatch {
    /// Whether everything fits.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.misshaped.is_empty()
    }
}

/// Names that are written out; [`Mismatch::lines`] has all.
const NAMED: usize = 3;

impl Mismatch {
    /// Everything that does not fit, one a line.
    pub fn lines(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|name| format!("missing {name}"));
        let unexpected = self.unexpected.iter();
        let unexpected = unexpected.map(|name| format!("unexpected {name}"));
        let misshaped = self.misshaped.iter().map(misshaped);
        missing.chain(unexpected).chain(misshaped).collect()
    }
}

fn misshaped((name, found, expected): &(String, Vec<usize>, Vec<usize>)) -> String {
    format!("{name} has shape {found:?}, expected {expected:?}")
}

impl std::error::Error for Mismatch {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let misshaped: Vec<String> = self.misshaped.iter().map(misshaped).collect();
        let kinds = [
            ("missing", &self.missing),
            ("unexpected", &self.unexpected),
            ("of another shape", &misshaped),
        ];
        let said: Vec<_> = kinds.iter().filter(|(_, all)| !all.is_empty()).collect();
        let named = NAMED / said.len().max(1);
        let some = |all: &[String]| {
            let more = if all.len() > named { ", ..." } else { "" };
            format!("{}{more}", all[..all.len().min(named)].join(", "))
        };
        let said = said
            .iter()
            .map(|(kind, all)| format!("{} {kind} ({})", all.len(), some(all)));
        f.write_str(&said.collect::<Vec<_>>().join(", "))
    }
}
