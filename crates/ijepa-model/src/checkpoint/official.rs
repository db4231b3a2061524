//! `.pth.tar` files of the reference.

use std::{path::Path, sync::Arc};

use super::{
    Checkpoint, CheckpointKind, GradScaler, OpenOptions, TrainingState,
    decode::FloatType,
    error::CheckpointError,
    infer,
    moments::{Moments, OptimizerGroup},
    order,
    state_dict::{LazyTensor, StateDict},
    torch::{Dtype, Node, TensorMeta, TorchArchive},
};

/// What distributed training put before every name.
pub(crate) const PREFIX: &str = "module.";

/// Opens an official checkpoint.
pub(crate) fn open(path: &Path, options: OpenOptions) -> Result<Checkpoint, CheckpointError> {
    let file = OfficialFile {
        archive: Arc::new(TorchArchive::open(path)?),
    };
    let encoder = file
        .network("encoder")?
        .ok_or_else(|| file.wrong("encoder", "a dict", None))?;
    let predictor = file.network("predictor")?;
    let encoder_config = infer::encoder_config(&encoder, options.num_heads, path)?;
    let sizes = |dict| infer::predictor_config(dict, &encoder_config, None, path);
    let predictor_config = predictor.as_ref().map(sizes).transpose()?;
    Ok(Checkpoint {
        path: path.into(),
        kind: CheckpointKind::Official,
        moments: file.moments(&encoder, predictor.as_ref())?,
        state: file.state(),
        encoder_config,
        predictor_config,
        context_encoder: Some(encoder),
        target_encoder: file.network("target_encoder")?,
        predictor,
        normalization: None,
    })
}

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

    /// The tensors of a network, without the prefix of their names.
    fn network(&self, key: &str) -> Result<Option<StateDict>, CheckpointError> {
        let Some(node) = self.entry(key) else {
            return Ok(None);
        };
        if !node.is_dict() {
            return Err(self.wrong(key, "a dict", Some(node)));
        }
        let tensors = node.entries().map(|(name, value)| {
            let name = name
                .as_str()
                .ok_or_else(|| self.wrong(key, "string keys", Some(name)))?;
            let tensor = self.tensor(&format!("{key}.{name}"), value)?;
            Ok((name.strip_prefix(PREFIX).unwrap_or(name).to_owned(), tensor))
        });
        Ok(Some(StateDict::new(
            tensors.collect::<Result<_, CheckpointError>>()?,
        )))
    }

    fn tensor(&self, key: &str, node: Node<'_>) -> Result<LazyTensor, CheckpointError> {
        let meta = node
            .as_tensor()
            .ok_or_else(|| self.wrong(key, "a tensor", Some(node)))?;
        let dtype = float_type(meta.dtype).ok_or_else(|| CheckpointError::Dtype {
            path: self.archive.path().into(),
            key: key.to_owned(),
            found: meta.dtype.name().to_owned(),
        })?;
        let (archive, meta): (_, TensorMeta) = (Arc::clone(&self.archive), meta.clone());
        let read = move || Ok(dtype.decode(&archive.read_tensor(&meta)?));
        Ok(LazyTensor::new(
            node.as_tensor().map_or(vec![], |meta| meta.shape.clone()),
            read,
        ))
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
        let mut tensors = Vec::new();
        let mut step = 0;
        for (id, name) in numbered_parameters(encoder, predictor)
            .into_iter()
            .enumerate()
        {
            let Some(entry) = state.get_index(id as i64) else {
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
        let dict = if group.network() == "encoder" {
            encoder
        } else {
            predictor
        };
        let mut names: Vec<&str> = dict
            .iter()
            .filter(|(name, tensor)| group.contains(name, tensor.shape().len()))
            .map(|(name, _)| name)
            .collect();
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
