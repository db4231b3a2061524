//! Progress of a run, as far as checkpoints record it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Resize, error::CheckpointError, json};
use crate::{IJepaConfig, Normalization};

/// Version of the native format that this library writes.
pub const FORMAT_VERSION: u32 = 1;

/// Contents of `state.json`; what a format does not record is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingState {
    /// Version of the native format.
    pub format_version: u32,
    /// Sizes of the networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<IJepaConfig>,
    /// The normalisation that the weights ask for, where that is not ImageNet's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalization: Option<Normalization>,
    /// Identifier of the licence of the weights that these were made of, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// How they wanted images resized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// How files of images became pixels, as whoever reads them describes it, where that is not as by
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decoding: Option<serde_json::Value>,
    /// Parts of the run that its program made and no recipe says, as the trainer calls them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub own_parts: Vec<String>,
    /// Completed optimizer steps.
    #[serde(default)]
    pub step: Option<u64>,
    /// Completed epochs.
    #[serde(default)]
    pub epoch: u64,
    /// Images seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// Seed of the run.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The recipe as TOML.
    #[serde(default)]
    pub recipe: Option<String>,
    /// Loss when the checkpoint was written.
    #[serde(default)]
    pub loss: Option<f64>,
    /// Losses of the steps since the last one that was logged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<f32>,
    /// Peak learning rate.
    #[serde(default)]
    pub lr: Option<f64>,
    /// Decay rates of the moments of AdamW, where they are not PyTorch's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub betas: Option<[f64; 2]>,
    /// What AdamW adds to the root of the second moment, where it is not PyTorch's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
    /// Images per step; in official files per device.
    #[serde(default)]
    pub batch_size: Option<u64>,
    /// Devices of an official run.
    #[serde(default)]
    pub world_size: Option<u64>,
    /// Gradient scaler of an official run; kept, not used.
    #[serde(default)]
    pub scaler: Option<GradScaler>,
    /// Where the data loader stands, and its data, as the trainer describes them.
    #[serde(default)]
    pub loader: Option<serde_json::Value>,
}

impl TrainingState {
    /// Name of the file in a checkpoint folder.
    pub const FILE: &str = "state.json";

    /// Reads a `state.json`.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Version`] if a newer version wrote it, [`CheckpointError::Io`] or
    /// [`CheckpointError::Json`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        json::read_json::<Self>(path)?.known(path)
    }

    /// That of the folder in which `path` lies; the default if it has none.
    pub(crate) fn beside(path: &Path) -> Result<Self, CheckpointError> {
        let file = path.with_file_name(Self::FILE);
        match file.is_file() {
            true => Self::open(&file),
            false => Ok(Self::default()),
        }
    }

    /// As [`open`](Self::open), of the bytes of a file in memory.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let path = Path::new(Self::FILE);
        json::parse_json::<Self>(path, bytes)?.known(path)
    }

    /// Itself, unless a newer version wrote it.
    fn known(self, path: &Path) -> Result<Self, CheckpointError> {
        if self.format_version > FORMAT_VERSION {
            let (found, supported) = (self.format_version, FORMAT_VERSION);
            return Err(CheckpointError::Version {
                path: path.into(),
                found,
                supported,
            });
        }
        Ok(self)
    }

    /// Writes a `state.json`, which appears as a whole.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        json::write_json(path, self)
    }
}

impl Default for TrainingState {
    fn default() -> Self {
        Self {
            format_version: FORMAT_VERSION,
            model: None,
            normalization: None,
            licence: None,
            resize: None,
            decoding: None,
            own_parts: Vec::new(),
            step: None,
            epoch: 0,
            images: None,
            seed: None,
            recipe: None,
            loss: None,
            losses: Vec::new(),
            lr: None,
            betas: None,
            eps: None,
            batch_size: None,
            world_size: None,
            scaler: None,
            loader: None,
        }
    }
}

/// State of PyTorch's gradient scaler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GradScaler {
    /// Factor of the loss.
    pub scale: f64,
    /// Growth of the factor.
    pub growth_factor: f64,
    /// Shrinkage of the factor.
    pub backoff_factor: f64,
    /// Steps between growths.
    pub growth_interval: i64,
    /// Steps since the last change.
    pub growth_tracker: i64,
}
