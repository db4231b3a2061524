//! Checkpoints: our own, the reference's `.pth.tar` and Hugging Face folders.
//!
//! | kind | holds | written by |
//! |---|---|---|
//! | native folder | both encoders, predictor, optimizer, state | [`Checkpoint::save`], training |
//! | official `.pth.tar` | the same | the reference, [`Checkpoint::save`] |
//! | classifier | one encoder with a head, see [`Classifier`](crate::Classifier) | fine-tuning |
//! | Hugging Face folder | one encoder | `transformers`, [`Checkpoint::save`] |
//! | ONNX file, not read | one encoder | [`Checkpoint::save`] |
//!
//! Whatever the kind, tensors have the official names (`blocks.0.attn.qkv.weight`) and stay in
//! their files until a network asks for them. Loading is strict: a checkpoint that does not fit
//! is refused with the list of everything that does not.

mod classifier;
mod decode;
mod error;
mod export;
mod folder;
mod folder_config;
#[cfg(feature = "hub")]
pub(crate) mod hub_files;
mod hugging_face;
mod infer;
mod json;
mod model_card;
mod module_file;
mod moments;
mod named;
mod names;
mod native;
mod networks;
mod official;
mod onnx;
mod order;
mod params;
pub mod run_folder;
mod safetensors_file;
mod save;
mod snapshot;
mod state;
mod state_dict;
pub mod torch;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use burn::tensor::Device;

pub use decode::f32_bytes;
pub use error::{CheckpointError, Mismatch};
pub use folder_config::Resize;
pub use module_file::ModuleFile;
pub use moments::{Moments, OptimizerGroup};
pub use named::{ParameterMapper, ParameterVisitor, map_parameters, visit_parameters};
pub use native::{NATIVE_FILES, Parts, native_files};
pub use params::{
    NamedTensor, named_gradients, named_tensors, official_shape, tensor_from_official,
};
pub use save::Format;
pub use snapshot::{Snapshot, TensorFile};
pub use state::{FORMAT_VERSION, GradScaler, TrainingState};
pub use state_dict::{LazyTensor, StateDict};

use crate::{
    IJepa, IJepaConfig, Initialization, Normalization, PredictorConfig, VisionTransformer,
    VisionTransformerConfig, VisionTransformerPredictor,
};

/// Begins the name of weights on the hub.
pub(crate) const HUB_PREFIX: &str = "hf:";

/// Where a checkpoint came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointKind {
    /// A folder of this library.
    Native,
    /// A `.pth.tar` of the reference.
    Official,
    /// A folder or `.safetensors` file of `transformers`.
    HuggingFace,
}

/// One of the two encoders of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderRole {
    /// The average that the paper evaluates.
    Target,
    /// The trained one, which `timm` and `transformers` ship.
    Context,
}

impl EncoderRole {
    /// `target` or `context`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Context => "context",
        }
    }
}

impl FromStr for EncoderRole {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "target" => Ok(Self::Target),
            "context" => Ok(Self::Context),
            other => Err(format!(
                "unknown encoder `{other}`, expected target or context"
            )),
        }
    }
}

/// What a checkpoint does not say about itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions {
    /// Attention heads, for files that do not record them, such as official ones; a file that
    /// records others is refused.
    pub num_heads: Option<usize>,
}

/// An opened checkpoint; tensors are read when a network is asked for.
#[derive(Debug)]
pub struct Checkpoint {
    /// The path that was opened, after following a run directory to its newest checkpoint.
    pub path: PathBuf,
    /// Where it came from.
    pub kind: CheckpointKind,
    /// Sizes of the encoders.
    pub encoder_config: VisionTransformerConfig,
    /// Sizes of the predictor, if there is one.
    pub predictor_config: Option<PredictorConfig>,
    /// Context encoder.
    pub context_encoder: Option<StateDict>,
    /// Target encoder.
    pub target_encoder: Option<StateDict>,
    /// Predictor.
    pub predictor: Option<StateDict>,
    /// Adam moments.
    pub moments: Option<Moments>,
    /// Progress of the run.
    pub state: TrainingState,
    /// The normalisation that the checkpoint asks for, if it says so.
    pub normalization: Option<Normalization>,
    /// How it wants images resized, if it says so.
    pub resize: Option<Resize>,
    /// Identifier of the licence, if the card beside the weights names one.
    pub licence: Option<String>,
    /// What was guessed and what is not computed as the checkpoint says; a sentence each.
    pub warnings: Vec<String>,
}

impl Checkpoint {
    /// Opens a checkpoint of any kind: a run directory (of a fine-tuned one the encoder without its
    /// head), a native folder, an official `.pth.tar`,
    /// a folder of `transformers` or `timm`, a `.safetensors` file, or a pickle of one encoder
    /// (bare, under `model` or `state_dict`, as PyTorch Lightning has it). With the Cargo feature
    /// `hub` also one that `hf:ORG/NAME[@REVISION][/FILE]` names, downloaded if need be.
    ///
    /// # Errors
    ///
    /// Any [`CheckpointError`] about the files themselves; whether networks fit is found when
    /// they are asked for.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        Self::open_with(path, OpenOptions::default())
    }

    /// As [`open`](Self::open), with what the checkpoint does not say about itself.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(
        path: impl AsRef<Path>,
        options: OpenOptions,
    ) -> Result<Self, CheckpointError> {
        let opened = Self::open_any(path.as_ref(), options)?;
        let found = opened.encoder_config.num_heads;
        match options.num_heads.filter(|&asked| asked != found) {
            Some(asked) => Err(CheckpointError::OtherHeads {
                path: opened.path,
                found,
                asked,
            }),
            None => Ok(opened),
        }
    }

    /// As [`open`](Self::open), of a folder of ours whose files are in memory, by their names
    /// ([`NATIVE_FILES`]): for places without a file system. Moments are left out.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn from_memory(files: HashMap<String, Vec<u8>>) -> Result<Self, CheckpointError> {
        native::in_memory(files)
    }

    fn open_any(path: &Path, options: OpenOptions) -> Result<Self, CheckpointError> {
        if path
            .to_str()
            .is_some_and(|path| path.starts_with(HUB_PREFIX))
        {
            return Self::open_any(&downloaded(path)?, options);
        }
        if let Some(classifier) = classifier::inside(path) {
            return folder::open_file(&classifier, options);
        }
        if let Some(folder) = run_folder::find(path, native::is_native) {
            return native::open(&folder, options);
        }
        if path.is_dir() {
            return if folder::is_folder(path) {
                folder::open_folder(path, options)
            } else if run_folder::steps(path).is_ok_and(|steps| steps.is_empty()) {
                Err(CheckpointError::NoneYet { path: path.into() })
            } else {
                Err(CheckpointError::UnknownKind { path: path.into() })
            };
        }
        if !path.exists() {
            return Err(CheckpointError::NotFound { path: path.into() });
        }
        // Who opens a pipe waits for whoever writes to it, and cannot go back in it.
        if !path.is_file() {
            return Err(CheckpointError::UnknownKind { path: path.into() });
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("safetensors") => folder::open_file(path, options),
            Some("onnx") => Err(CheckpointError::WrittenOnly { path: path.into() }),
            _ => official::open(path, options),
        }
    }

    /// An encoder of the checkpoint.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Absent`] if it has no such encoder, [`CheckpointError::Mismatch`] with
    /// the whole list if tensors do not fit, [`CheckpointError::NotFinite`] with the first that is
    /// not.
    pub fn encoder(
        &self,
        role: EncoderRole,
        device: &Device,
    ) -> Result<VisionTransformer, CheckpointError> {
        let (dict, what) = match role {
            EncoderRole::Target => (&self.target_encoder, role.network()),
            EncoderRole::Context => (&self.context_encoder, role.network()),
        };
        let dict = self.present(dict.as_ref(), what)?;
        params::load(self.encoder_config.init(device), dict, what, &self.path)
    }

    /// Which encoder to use for features: the target encoder, or the only one there is.
    pub fn feature_role(&self) -> EncoderRole {
        match self.target_encoder {
            Some(_) => EncoderRole::Target,
            None => EncoderRole::Context,
        }
    }

    /// The encoder to use for features, see [`feature_role`](Self::feature_role).
    ///
    /// # Errors
    ///
    /// As [`encoder`](Self::encoder).
    pub fn feature_encoder(&self, device: &Device) -> Result<VisionTransformer, CheckpointError> {
        self.encoder(self.feature_role(), device)
    }

    /// The networks that are trained: context encoder and predictor.
    ///
    /// # Errors
    ///
    /// As [`encoder`](Self::encoder), of the predictor first: it is what most checkpoints lack.
    pub fn networks(&self, device: &Device) -> Result<IJepa, CheckpointError> {
        let predictor = self.predictor(device)?;
        Ok(IJepa {
            encoder: self.encoder(EncoderRole::Context, device)?,
            predictor,
        })
    }

    /// The predictor of the checkpoint.
    ///
    /// # Errors
    ///
    /// As [`encoder`](Self::encoder).
    pub fn predictor(
        &self,
        device: &Device,
    ) -> Result<VisionTransformerPredictor, CheckpointError> {
        let dict = self.present(self.predictor.as_ref(), "predictor")?;
        let config = self.present(self.predictor_config.as_ref(), "predictor")?;
        let predictor = config.init(&self.encoder_config, Initialization::default(), device);
        params::load(predictor, dict, "predictor", &self.path)
    }

    /// Sizes of both networks, if the checkpoint has a predictor.
    pub fn config(&self) -> Option<IJepaConfig> {
        let predictor = self.predictor_config.clone()?;
        Some(IJepaConfig {
            encoder: self.encoder_config.clone(),
            predictor,
        })
    }

    /// A checkpoint without networks.
    fn empty(path: &Path, kind: CheckpointKind, encoder_config: VisionTransformerConfig) -> Self {
        Self {
            path: path.into(),
            kind,
            encoder_config,
            predictor_config: None,
            context_encoder: None,
            target_encoder: None,
            predictor: None,
            moments: None,
            state: TrainingState::default(),
            normalization: None,
            resize: None,
            licence: None,
            warnings: Vec::new(),
        }
    }

    fn present<'a, T>(
        &self,
        part: Option<&'a T>,
        what: &'static str,
    ) -> Result<&'a T, CheckpointError> {
        part.ok_or_else(|| CheckpointError::Absent {
            path: self.path.clone(),
            what,
        })
    }
}

/// The local path of weights on the hub.
#[cfg(feature = "hub")]
fn downloaded(path: &Path) -> Result<PathBuf, CheckpointError> {
    let name = path.to_string_lossy().parse()?;
    Ok(crate::hub::Hub::from_env().fetch(&name, |_| {})?)
}

#[cfg(not(feature = "hub"))]
fn downloaded(path: &Path) -> Result<PathBuf, CheckpointError> {
    Err(CheckpointError::NoHub { path: path.into() })
}

impl VisionTransformer {
    /// Loads the encoder to use for features from a checkpoint of any kind: the target encoder,
    /// or the only one there is.
    ///
    /// What else the weights say is lost: the statistics of their images, how these are resized, and
    /// what was guessed ([`Checkpoint::normalization`], [`resize`](Checkpoint::resize),
    /// [`warnings`](Checkpoint::warnings)).
    ///
    /// With the Cargo feature `hub`, a path `ORG/NAME` where nothing lies is a name on the hub.
    ///
    /// # Errors
    ///
    /// Any [`CheckpointError`].
    pub fn from_pretrained(
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        #[cfg(feature = "hub")]
        if let Some(name) = crate::hub::HubName::of_missing(path) {
            return Checkpoint::open(name.to_string())?.feature_encoder(device);
        }
        Checkpoint::open(path)?.feature_encoder(device)
    }
}
