//! Classifiers in safetensors files with timm's names.

use std::{collections::HashMap, path::Path};

use burn::tensor::Device;

use super::{
    error::CheckpointError,
    infer,
    params::{self, named_tensors},
    safetensors_file::{self, SafetensorsFile},
    state_dict::StateDict,
};
use crate::{Classifier, ClassifierConfig};

/// Metadata key under which a file carries everything but weights.
const CONFIG_METADATA: &str = "ijepa_classifier";

impl Classifier {
    /// Name of the file in a checkpoint folder.
    pub const FILE: &str = "classifier.safetensors";

    /// Writes all weights and the configuration to one safetensors file, which appears as a whole.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        let config =
            serde_json::to_string(&self.config()).map_err(|source| json_error(path, source))?;
        let mut tensors = named_tensors(self);
        for tensor in &mut tensors {
            tensor.name = name_in_file(&tensor.name);
        }
        let metadata = HashMap::from([(CONFIG_METADATA.to_owned(), config)]);
        safetensors_file::write(path, &tensors, metadata)
    }

    /// Loads a classifier from its file, a checkpoint folder or a run directory.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Absent`] if the file does not describe a classifier,
    /// [`CheckpointError::Mismatch`] if its weights are others, other variants if it cannot be read.
    pub fn from_pretrained(
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        let candidates = [
            path.join("checkpoints").join("latest").join(Self::FILE),
            path.join(Self::FILE),
        ];
        let inside = candidates.iter().find(|candidate| candidate.is_file());
        let path = inside.map_or(path, |inside| inside);
        let file = SafetensorsFile::open(path)?;
        let what = "classifier";
        let absent = || CheckpointError::Absent {
            path: path.into(),
            what,
        };
        let config = file.metadata.get(CONFIG_METADATA).ok_or_else(absent)?;
        let config: ClassifierConfig =
            serde_json::from_str(config).map_err(|source| json_error(path, source))?;
        infer::checked(config.encoder.clone(), path)?;
        let renamed = file.tensors.into_iter();
        let renamed = renamed.map(|(name, tensor)| (name_in_module(&name), tensor));
        let dict = StateDict::new(renamed.collect());
        params::load(Self::of_config(config, device), &dict, what, path)
    }
}

fn json_error(path: &Path, source: serde_json::Error) -> CheckpointError {
    CheckpointError::Json {
        path: path.into(),
        source,
    }
}

fn name_in_file(name: &str) -> String {
    let name = name.strip_prefix("encoder.").unwrap_or(name);
    match name.strip_prefix("norm.") {
        Some(end) => format!("fc_norm.{end}"),
        None => name.to_owned(),
    }
}

fn name_in_module(name: &str) -> String {
    match name.strip_prefix("fc_norm.") {
        Some(end) => format!("encoder.norm.{end}"),
        None if name.starts_with("head.") => name.to_owned(),
        None => format!("encoder.{name}"),
    }
}
