//! From any kind of checkpoint to any other.

use std::path::Path;

use burn::tensor::Device;

use super::{
    Checkpoint, CheckpointKind, EncoderRole, NamedTensor,
    error::CheckpointError,
    moments::{Moments, OptimizerGroup},
    native::{Parts, write_native},
    official::{NOTE, Note, PREFIX},
    order, params,
    state::{GradScaler, TrainingState},
    state_dict::StateDict,
    torch::{Dtype, Item, write_torch},
};
use crate::{
    EmaTarget, IJepa, Initialization, PredictorConfig, PredictorContext, Target, VisionTransformer,
    files::create_folder,
};

/// A format to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Our own folder.
    Native,
    /// A `.pth.tar` that the reference resumes from.
    Official,
    /// A folder that `transformers` loads, with a model card; holds the given encoder only.
    HuggingFace(EncoderRole),
    /// An ONNX file that computes features of the given encoder, for any runtime; weights of more
    /// than 2 GB lie in a file beside it, `NAME.data`. It cannot be read back.
    Onnx(EncoderRole),
}

impl Checkpoint {
    /// Writes the checkpoint in another format; tensors are copied one at a time.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if `path` exists (for folders) or cannot be written,
    /// [`CheckpointError::Absent`] if the format needs a network that the checkpoint lacks,
    /// [`CheckpointError::Unsupported`] for a predictor of pixels, of centred targets or with a shared
    /// context in the official format,
    /// [`CheckpointError::Mismatch`] if a network of the checkpoint does not fit its own sizes;
    /// `device` is where their shapes come from, nothing is computed on it.
    pub fn save(self, path: &Path, format: Format, device: &Device) -> Result<(), CheckpointError> {
        self.check(device)?;
        match format {
            Format::Native => self.save_native(path),
            Format::Official => self.save_official(path),
            Format::HuggingFace(role) => self.save_hugging_face(path, role),
            Format::Onnx(role) => self.save_onnx(path, role),
        }
    }

    /// As strict as loading: every network that is there fits.
    fn check(&self, device: &Device) -> Result<(), CheckpointError> {
        let encoder = self.encoder_config.init(device);
        let encoders = [
            ("context encoder", &self.context_encoder),
            ("target encoder", &self.target_encoder),
        ];
        for (what, dict) in encoders {
            if let Some(dict) = dict {
                params::check(&encoder, dict, what, &self.path)?;
            }
        }
        if let (Some(config), Some(dict)) = (&self.predictor_config, &self.predictor) {
            let predictor = config.init(&self.encoder_config, Initialization::default(), device);
            params::check(&predictor, dict, "predictor", &self.path)?;
        }
        Ok(())
    }

    fn save_native(self, path: &Path) -> Result<(), CheckpointError> {
        let named = |dict: Option<StateDict>| dict.map(NamedTensor::from_dict).unwrap_or_default();
        let state = TrainingState {
            model: self.config(),
            normalization: self.normalization,
            licence: self.licence,
            resize: self.resize,
            ..self.state
        };
        let moment_step = self.moments.as_ref().map_or(0, |moments| moments.step);
        let parts = Parts {
            encoder: named(self.context_encoder),
            target_encoder: named(self.target_encoder),
            predictor: named(self.predictor),
            moments: named(self.moments.map(|moments| moments.tensors)),
            moment_step,
        };
        create_folder(path, |folder| {
            write_native(folder, &self.encoder_config, parts, &state)
        })
    }

    /// What the official format does not record.
    fn note(&self) -> Result<Item, CheckpointError> {
        let Some(config) = self.config() else {
            return Ok(Item::None);
        };
        let note = Note {
            config,
            step: self.state.step,
            images: self.state.images,
        };
        let json = serde_json::to_string(&note).map_err(|source| CheckpointError::Json {
            path: self.path.clone(),
            source,
        })?;
        Ok(json.into())
    }

    fn save_official(self, path: &Path) -> Result<(), CheckpointError> {
        let note = self.note()?;
        let absent = |what| CheckpointError::Absent {
            path: self.path.clone(),
            what,
        };
        let encoder = self
            .context_encoder
            .ok_or_else(|| absent("context encoder"))?;
        let predictor = self.predictor.ok_or_else(|| absent("predictor"))?;
        if let Some((key, found, expected)) = self.predictor_config.and_then(|it| beyond(&it)) {
            let (path, found) = (self.path, found.into());
            return Err(CheckpointError::Unsupported {
                path,
                key,
                found,
                expected,
            });
        }
        let target = self
            .target_encoder
            .ok_or_else(|| absent("target encoder"))?;
        let mut tensors = Tensors::default();
        let optimizer = optimizer(
            &encoder,
            &predictor,
            self.moments,
            &self.state,
            &mut tensors,
        );
        let state = &self.state;
        let root = dict([
            ("encoder", tensors.network(encoder)),
            ("predictor", tensors.network(predictor)),
            ("target_encoder", tensors.network(target)),
            ("opt", optimizer),
            ("scaler", state.scaler.as_ref().map_or(Item::None, scaler)),
            ("epoch", Item::Int(state.epoch as i64)),
            ("loss", state.loss.map_or(Item::None, Item::Float)),
            ("batch_size", state.batch_size.map_or(Item::None, int)),
            ("world_size", int(state.world_size.unwrap_or(1))),
            ("lr", state.lr.map_or(Item::None, Item::Float)),
            (NOTE, note),
        ]);
        let bytes = |index: usize| -> Result<Vec<u8>, super::torch::TensorBytesError> {
            Ok(super::decode::encode_f32(&tensors.values[index].read()?))
        };
        Ok(write_torch(path, &root, bytes)?)
    }
}

fn int(value: u64) -> Item {
    Item::Int(value as i64)
}

impl VisionTransformer {
    /// Writes the encoder alone, for [`from_pretrained`](Self::from_pretrained) and others.
    ///
    /// ```no_run
    /// use ijepa_model::{VisionTransformerConfig, checkpoint::{EncoderRole, Format}};
    ///
    /// # let device = burn::tensor::Device::flex();
    /// let encoder = VisionTransformerConfig::variant("vit_s16")?.init(&device);
    /// encoder.save("ours", Format::Native)?;
    /// encoder.save("for_transformers", Format::HuggingFace(EncoderRole::Target))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if `path` exists or cannot be written, [`CheckpointError::Absent`]
    /// in the official format, which holds all networks: see [`IJepa::save`].
    pub fn save(&self, path: impl AsRef<Path>, format: Format) -> Result<(), CheckpointError> {
        let path = path.as_ref();
        let dict = Some(StateDict::of_module(self));
        let (target_encoder, context_encoder) = match format {
            Format::HuggingFace(EncoderRole::Target) | Format::Onnx(EncoderRole::Target) => {
                (dict, None)
            }
            _ => (None, dict),
        };
        let checkpoint = Checkpoint {
            context_encoder,
            target_encoder,
            ..Checkpoint::empty(path, CheckpointKind::Native, self.config().clone())
        };
        checkpoint.save(path, format, &self.pos_embed.lazy_device())
    }
}

impl IJepa {
    /// Writes all networks, with fresh optimizer state.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::save`].
    pub fn save(
        &self,
        target: &EmaTarget,
        path: impl AsRef<Path>,
        format: Format,
    ) -> Result<(), CheckpointError> {
        let path = path.as_ref();
        let checkpoint = Checkpoint {
            predictor_config: Some(self.predictor.config().clone()),
            context_encoder: Some(StateDict::of_module(&self.encoder)),
            target_encoder: Some(StateDict::of_module(target.encoder())),
            predictor: Some(StateDict::of_module(&self.predictor)),
            ..Checkpoint::empty(path, CheckpointKind::Native, self.encoder.config().clone())
        };
        checkpoint.save(path, format, &self.encoder.pos_embed.lazy_device())
    }
}

/// Key, value and supported value of what official checkpoints cannot say about a predictor.
fn beyond(config: &PredictorConfig) -> Option<(&'static str, &'static str, &'static str)> {
    let PredictorConfig {
        target,
        context,
        center_targets,
        ..
    } = config;
    if *target == Target::Pixels {
        Some(("objective.target", "pixels", "features"))
    } else if *context == PredictorContext::Shared {
        Some(("predictor.context", "shared", "separate"))
    } else {
        center_targets.then_some(("objective.center_targets", "true", "false"))
    }
}

fn dict<const N: usize>(entries: [(&str, Item); N]) -> Item {
    Item::Dict(
        entries
            .into_iter()
            .map(|(key, value)| (key.into(), value))
            .collect(),
    )
}

fn scaler(scaler: &GradScaler) -> Item {
    dict([
        ("scale", Item::Float(scaler.scale)),
        ("growth_factor", Item::Float(scaler.growth_factor)),
        ("backoff_factor", Item::Float(scaler.backoff_factor)),
        ("growth_interval", Item::Int(scaler.growth_interval)),
        ("_growth_tracker", Item::Int(scaler.growth_tracker)),
    ])
}

/// Tensors that the file refers to by number.
#[derive(Default)]
struct Tensors {
    values: Vec<NamedTensor>,
}

impl Tensors {
    fn item(&mut self, tensor: NamedTensor) -> Item {
        let shape = tensor.shape.clone();
        self.values.push(tensor);
        Item::Tensor {
            dtype: Dtype::Float32,
            shape,
            storage: self.values.len() - 1,
        }
    }

    fn network(&mut self, dict: StateDict) -> Item {
        let entry = |tensor: NamedTensor| {
            let name = format!("{PREFIX}{}", tensor.name);
            (name.into(), self.item(tensor))
        };
        let mut tensors = NamedTensor::from_dict(dict);
        tensors.sort_by_key(|tensor| order::position(&tensor.name));
        Item::OrderedDict(tensors.into_iter().map(entry).collect())
    }
}

/// The optimizer's state and groups as PyTorch's AdamW keeps them.
fn optimizer(
    encoder: &StateDict,
    predictor: &StateDict,
    moments: Option<Moments>,
    state: &TrainingState,
    tensors: &mut Tensors,
) -> Item {
    let parameters = super::official::numbered_parameters(encoder, predictor);
    let step = moments.as_ref().map_or(0, |moments| moments.step);
    let mut by_name: std::collections::HashMap<String, NamedTensor> = moments
        .map(|moments| NamedTensor::from_dict(moments.tensors))
        .unwrap_or_default()
        .into_iter()
        .map(|tensor| (tensor.name.clone(), tensor))
        .collect();
    let mut entries = Vec::new();
    for (id, parameter) in parameters.iter().enumerate() {
        let found =
            Moments::SUFFIXES.map(|suffix| by_name.remove(&format!("{parameter}.{suffix}")));
        let [Some(first), Some(second)] = found else {
            continue;
        };
        let count = NamedTensor::new("step".into(), vec![], move || Ok(vec![step as f32]));
        let entry = dict([
            ("step", tensors.item(count)),
            (Moments::SUFFIXES[0], tensors.item(first)),
            (Moments::SUFFIXES[1], tensors.item(second)),
        ]);
        entries.push((Item::Int(id as i64), entry));
    }
    let groups = param_groups(encoder, predictor, state);
    dict([
        ("state", Item::Dict(entries)),
        ("param_groups", Item::List(groups)),
    ])
}

/// The reference sets learning rate and decay of every step itself; the values here are those it
/// starts from.
fn param_groups(encoder: &StateDict, predictor: &StateDict, state: &TrainingState) -> Vec<Item> {
    let betas = state.betas.unwrap_or([0.9, 0.999]);
    let mut next = 0;
    let group = |group: OptimizerGroup| {
        let count = group.names(encoder, predictor).count();
        let params = (next..next + count)
            .map(|id| Item::Int(id as i64))
            .collect();
        next += count;
        let mut entries = vec![
            ("lr".into(), Item::Float(state.lr.unwrap_or(0.0))),
            ("betas".into(), Item::Tuple(betas.map(Item::Float).to_vec())),
            ("eps".into(), Item::Float(state.eps.unwrap_or(1e-8))),
            ("weight_decay".into(), Item::Float(0.0)),
            ("amsgrad".into(), Item::Bool(false)),
            ("maximize".into(), Item::Bool(false)),
            ("foreach".into(), Item::None),
            ("capturable".into(), Item::Bool(false)),
            ("differentiable".into(), Item::Bool(false)),
            ("fused".into(), Item::None),
            ("decoupled_weight_decay".into(), Item::Bool(true)),
            ("params".into(), Item::List(params)),
        ];
        if !group.is_decayed() {
            entries.insert(0, ("WD_exclude".into(), Item::Bool(true)));
        }
        Item::Dict(entries)
    };
    OptimizerGroup::ALL.into_iter().map(group).collect()
}
