//! Classifiers in safetensors files with timm's names.

use std::{collections::HashMap, path::Path};

use burn::tensor::Device;

use super::{
    error::CheckpointError, infer, params, safetensors_file::SafetensorsFile, snapshot::TensorFile,
    state_dict::StateDict,
};
use crate::{Classifier, ClassifierConfig};

/// Metadata key under which a file carries everything but weights.
const CONFIG_METADATA: &str = "ijepa_classifier";

impl Classifier {
    /// Name of the file in a checkpoint folder.
    pub const FILE: &str = "classifier.safetensors";

    /// All weights and the configuration, as one safetensors file.
    pub fn file(&self) -> TensorFile {
        let config = serde_json::to_string(&self.config()).expect("it is plain data");
        let metadata = HashMap::from([(CONFIG_METADATA.to_owned(), config)]);
        let mut file = TensorFile::of_module(Self::FILE, self, metadata);
        for tensor in &mut file.tensors {
            tensor.name = name_in_file(&tensor.name);
        }
        file
    }

    /// Writes [`file`](Self::file) to `path`, where it appears as a whole.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        self.file().write(path)
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
            serde_json::from_str(config).map_err(|source| CheckpointError::Json {
                path: path.into(),
                source,
            })?;
        infer::checked(config.encoder.clone(), path)?;
        let renamed = file.tensors.into_iter();
        let renamed = renamed.map(|(name, tensor)| (name_in_module(&name), tensor));
        let dict = StateDict::new(renamed.collect());
        params::load(Self::of_config(config, device), &dict, what, path)
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
