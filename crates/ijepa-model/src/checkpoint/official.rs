//! `.pth.tar` files of the reference.

use std::{collections::HashMap, fs::File, io::Read, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Checkpoint, CheckpointKind, GradScaler, OpenOptions, TrainingState,
    decode::FloatType,
    error::CheckpointError,
    infer, json,
    moments::{Moments, OptimizerGroup},
    names, order,
    safetensors_file::is_lfs_pointer,
    state_dict::{LazyTensor, StateDict},
    torch::{Dtype, Node, TensorMeta, TorchArchive},
};
use crate::IJepaConfig;

/// What distributed training put before every name.
pub(crate) const PREFIX: &str = "module.";

/// Where this library notes what the reference does not record; the reference ignores it.
pub(crate) const NOTE: &str = "ijepa";

/// What this library notes: head counts and image sizes, and how far a run is within an epoch.
#[derive(Serialize, Deserialize)]
pub(crate) struct Note {
    #[serde(flatten)]
    pub(crate) config: IJepaConfig,
    #[serde(default)]
    pub(crate) step: Option<u64>,
    #[serde(default)]
    pub(crate) images: Option<u64>,
}

/// Opens an official checkpoint, or a pickle of one encoder as others write it.
pub(crate) fn open(path: &Path, options: OpenOptions) -> Result<Checkpoint, CheckpointError> {
    let file = OfficialFile {
        archive: open_archive(path)?,
    };
    let Networks {
        encoder,
        target_encoder,
        predictor,
    } = file.networks()?;
    let any = encoder.as_ref().or(target_encoder.as_ref());
    let any = any.ok_or_else(|| CheckpointError::NoNetwork {
        path: path.into(),
        keys: file.keys(),
    })?;
    let noted = file.note()?;
    let (encoder_config, warnings) = match &noted {
        Some(noted) => (
            infer::checked(noted.config.encoder.clone(), path)?,
            Vec::new(),
        ),
        None => infer::encoder_config(any, options.num_heads, path)?,
    };
    let sizes = |dict| infer::predictor_config(dict, &encoder_config, None, path);
    let predictor_config = predictor.as_ref().map(sizes).transpose()?;
    let moments = match &encoder {
        Some(encoder) => file.moments(encoder, predictor.as_ref())?,
        None => None,
    };
    Ok(Checkpoint {
        moments,
        state: TrainingState {
            step: noted.as_ref().and_then(|noted| noted.step),
            images: noted.as_ref().and_then(|noted| noted.images),
            ..file.state()
        },
        predictor_config,
        context_encoder: encoder,
        target_encoder,
        predictor,
        warnings,
        ..Checkpoint::empty(path, CheckpointKind::Official, encoder_config)
    })
}

/// The tensors of a pickle that is a state dict.
pub(crate) fn state_dict(path: &Path) -> Result<StateDict, CheckpointError> {
    let file = OfficialFile {
        archive: open_archive(path)?,
    };
    file.dict("the file", file.archive.root())
}

fn open_archive(path: &Path) -> Result<Arc<TorchArchive>, CheckpointError> {
    let mut beginning = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut beginning));
    if read.is_ok() && is_lfs_pointer(&beginning) {
        return Err(CheckpointError::GitLfsPointer { path: path.into() });
    }
    Ok(Arc::new(TorchArchive::open(path)?))
}

/// The networks of a file, by role.
#[derive(Default)]
struct Networks {
    encoder: Option<StateDict>,
    target_encoder: Option<StateDict>,
    predictor: Option<StateDict>,
}

/// Keys under which others put the state dict of one model.
const WRAPPERS: [&str; 2] = ["state_dict", "model"];

struct OfficialFile {
    archive: Arc<TorchArchive>,
}

impl OfficialFile {
    fn entry(&self, key: &str) -> Option<Node<'_>> {
        self.archive.root().get(key).filter(|node| !node.is_none())
    }

    fn wrong(&self, key: &str, expected: &'static str, found: Option<Node<'_>>) -> CheckpointError {
        CheckpointError::Entry {
            path: self.archive.path().into(),
            key: key.to_owned(),
            expected,
            found: found
                .map_or("nothing", |node| node.value().kind())
                .to_owned(),
        }
    }

    /// The networks under the reference's keys, or the encoder that the file is.
    fn networks(&self) -> Result<Networks, CheckpointError> {
        let networks = Networks {
            encoder: self.network("encoder")?,
            target_encoder: self.network("target_encoder")?,
            predictor: self.network("predictor")?,
        };
        if networks.encoder.is_some() || networks.target_encoder.is_some() {
            return Ok(networks);
        }
        let wrapped = WRAPPERS
            .iter()
            .find_map(|key| Some((*key, self.entry(key)?)));
        let (key, node) = wrapped.unwrap_or(("", self.archive.root()));
        let holds_tensors = |node: Node<'_>| {
            let mut entries = node.entries();
            node.is_dict() && entries.any(|(_, value)| value.as_tensor().is_some())
        };
        if !holds_tensors(node) {
            return Ok(Networks::default());
        }
        self.by_role(key, node)
    }

    /// The networks of one state dict, apart if their names begin with their roles.
    fn by_role(&self, key: &str, node: Node<'_>) -> Result<Networks, CheckpointError> {
        let mut tensors: Vec<_> = self.dict(key, node)?.into_iter().collect();
        names::unwrap(&mut tensors);
        let mut role = |prefix| {
            let found = names::below(&mut tensors, prefix);
            (!found.is_empty()).then(|| names::unwrapped(found))
        };
        let (target_encoder, predictor) = (role("target_encoder."), role("predictor."));
        let encoder = names::unwrapped(StateDict::new(tensors));
        // Names that no prefix explains are a model that is no encoder of ours.
        let is_encoder = encoder.get("patch_embed.proj.weight").is_some();
        Ok(Networks {
            encoder: is_encoder.then_some(encoder),
            target_encoder,
            predictor,
        })
    }

    /// What there is instead of networks.
    fn keys(&self) -> String {
        let root = self.archive.root();
        let wrapped = WRAPPERS.iter().find_map(|key| self.entry(key));
        let names = wrapped.filter(|node| node.is_dict()).unwrap_or(root);
        let keys: Vec<&str> = names
            .entries()
            .filter_map(|(key, _)| key.as_str())
            .collect();
        let some = &keys[..keys.len().min(3)];
        match keys.len() {
            0 => root.value().kind().to_owned(),
            count => format!(
                "{count} entries ({}{})",
                some.join(", "),
                if count > 3 { ", ..." } else { "" }
            ),
        }
    }

    fn note(&self) -> Result<Option<Note>, CheckpointError> {
        let Some(note) = self.entry(NOTE).and_then(Node::as_str) else {
            return Ok(None);
        };
        json::parse_json(self.archive.path(), note.as_bytes()).map(Some)
    }

    /// The tensors of a network, without what is around their names.
    fn network(&self, key: &str) -> Result<Option<StateDict>, CheckpointError> {
        let Some(node) = self.entry(key) else {
            return Ok(None);
        };
        Ok(Some(names::unwrapped(self.dict(key, node)?)))
    }

    fn dict(&self, key: &str, node: Node<'_>) -> Result<StateDict, CheckpointError> {
        if !node.is_dict() {
            return Err(self.wrong(key, "a dict", Some(node)));
        }
        let tensors = node.entries().map(|(name, value)| {
            let name = name
                .as_str()
                .ok_or_else(|| self.wrong(key, "string keys", Some(name)))?;
            Ok((
                name.to_owned(),
                self.tensor(&format!("{key}.{name}"), value)?,
            ))
        });
        let tensors = tensors.collect::<Result<_, CheckpointError>>()?;
        Ok(StateDict::new(tensors))
    }

    fn tensor(&self, key: &str, node: Node<'_>) -> Result<LazyTensor, CheckpointError> {
        let meta = node
            .as_tensor()
            .ok_or_else(|| self.wrong(key, "a tensor", Some(node)))?;
        let (archive, meta): (_, TensorMeta) = (Arc::clone(&self.archive), meta.clone());
        let (shape, key) = (meta.shape.clone(), key.to_owned());
        // What is no weight, as a count of batches, is in nobody's way until it is read.
        let read = move || {
            let dtype = float_type(meta.dtype).ok_or_else(|| CheckpointError::Dtype {
                path: archive.path().into(),
                key: key.clone(),
                found: meta.dtype.name().to_owned(),
            })?;
            Ok(dtype.decode(&archive.read_tensor(&meta)?))
        };
        Ok(LazyTensor::new(shape, read))
    }

    /// Adam moments under the names of their parameters.
    ///
    /// The file numbers parameters through the four groups, in the order in which the networks
    /// list them; fixed positions have a number but no moments.
    fn moments(
        &self,
        encoder: &StateDict,
        predictor: Option<&StateDict>,
    ) -> Result<Option<Moments>, CheckpointError> {
        let state = self.entry("opt").and_then(|opt| opt.get("state"));
        let (Some(state), Some(predictor)) = (state, predictor) else {
            return Ok(None);
        };
        let by_id: HashMap<i64, Node<'_>> = state
            .entries()
            .filter_map(|(id, entry)| Some((id.as_i64()?, entry)))
            .collect();
        let mut tensors = Vec::new();
        let mut step = 0;
        for (id, name) in numbered_parameters(encoder, predictor)
            .into_iter()
            .enumerate()
        {
            let Some(entry) = by_id.get(&(id as i64)) else {
                continue;
            };
            for suffix in Moments::SUFFIXES {
                let key = format!("{name}.{suffix}");
                let node = entry
                    .get(suffix)
                    .ok_or_else(|| self.wrong(&key, "a tensor", None))?;
                tensors.push((key.clone(), self.tensor(&key, node)?));
            }
            let key = format!("{name}.step");
            let node = entry
                .get("step")
                .ok_or_else(|| self.wrong(&key, "a number", None))?;
            step = self.step(&key, node)?.max(step);
        }
        Ok((!tensors.is_empty()).then(|| Moments {
            step,
            tensors: StateDict::new(tensors),
        }))
    }

    /// Older versions of PyTorch write a number, newer ones a tensor without axes.
    fn step(&self, key: &str, node: Node<'_>) -> Result<u64, CheckpointError> {
        let value = match node.as_f64() {
            Some(value) => Some(value),
            None => self
                .tensor(key, node)?
                .read()?
                .first()
                .map(|&value| value.into()),
        };
        value
            .map(|value| value as u64)
            .ok_or_else(|| self.wrong(key, "a number", Some(node)))
    }

    fn state(&self) -> TrainingState {
        let number = |key| self.entry(key).and_then(Node::as_f64);
        let count = |key| number(key).map(|value| value as u64);
        TrainingState {
            epoch: count("epoch").unwrap_or(0),
            loss: number("loss"),
            lr: number("lr"),
            batch_size: count("batch_size"),
            world_size: count("world_size"),
            scaler: self.entry("scaler").and_then(scaler),
            ..TrainingState::default()
        }
    }
}

/// Full names of all parameters in the order of the optimizer's numbers.
pub(crate) fn numbered_parameters(encoder: &StateDict, predictor: &StateDict) -> Vec<String> {
    let group_names = |group: OptimizerGroup| {
        let mut names: Vec<&str> = group.names(encoder, predictor).collect();
        names.sort_by_key(|name| order::position(name));
        names
            .into_iter()
            .map(move |name| format!("{}.{name}", group.network()))
    };
    OptimizerGroup::ALL
        .into_iter()
        .flat_map(group_names)
        .collect()
}

fn scaler(node: Node<'_>) -> Option<GradScaler> {
    let number = |key| node.get(key).and_then(Node::as_f64);
    let count = |key| node.get(key).and_then(Node::as_i64);
    Some(GradScaler {
        scale: number("scale")?,
        growth_factor: number("growth_factor")?,
        backoff_factor: number("backoff_factor")?,
        growth_interval: count("growth_interval")?,
        growth_tracker: count("_growth_tracker")?,
    })
}

fn float_type(dtype: Dtype) -> Option<FloatType> {
    match dtype {
        Dtype::Float64 => Some(FloatType::F64),
        Dtype::Float32 => Some(FloatType::F32),
        Dtype::Float16 => Some(FloatType::F16),
        Dtype::BFloat16 => Some(FloatType::Bf16),
        _ => None,
    }
}
