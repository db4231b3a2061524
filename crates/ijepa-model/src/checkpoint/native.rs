//! Our own folders: safetensors with official names and a JSON state.

use std::{collections::HashMap, path::Path};

use super::{
    Checkpoint, CheckpointKind, OpenOptions, Resize, TrainingState, error::CheckpointError, infer,
    json, moments::Moments, params::NamedTensor, safetensors_file::SafetensorsFile,
    snapshot::TensorFile, state_dict::StateDict,
};
use crate::{VisionTransformerConfig, files::cannot};

/// Context encoder.
pub(crate) const ENCODER: &str = "encoder.safetensors";
pub(crate) const TARGET_ENCODER: &str = "target_encoder.safetensors";
pub(crate) const PREDICTOR: &str = "predictor.safetensors";

/// Metadata key under which an encoder file carries its sizes, so that it can stand alone.
pub(crate) const CONFIG_METADATA: &str = "ijepa_encoder";

/// Whether `folder` holds an encoder under one of our names.
pub(crate) fn is_native(folder: &Path) -> bool {
    [ENCODER, TARGET_ENCODER]
        .iter()
        .any(|name| folder.join(name).is_file())
}

/// The files of a folder of ours but the moments.
pub const NATIVE_FILES: [&str; 4] = [TrainingState::FILE, ENCODER, TARGET_ENCODER, PREDICTOR];

/// Opens a native folder; a lone target encoder will do.
pub(crate) fn open(folder: &Path, options: OpenOptions) -> Result<Checkpoint, CheckpointError> {
    let folder = &folder.canonicalize().map_err(cannot("open", folder))?;
    let state = TrainingState::beside(&folder.join(ENCODER))?;
    let optional = |name: &str| {
        let path = folder.join(name);
        let file = path.is_file().then(|| SafetensorsFile::open(&path));
        file.transpose()
    };
    Ok(Checkpoint {
        moments: moments(&folder.join(Moments::FILE))?,
        ..of_files(folder, state, optional, options)?
    })
}

/// A single encoder file, which its name says the role of, with what `state.json` beside it says.
pub(crate) fn open_encoder(
    path: &Path,
    config: VisionTransformerConfig,
    tensors: StateDict,
) -> Result<Checkpoint, CheckpointError> {
    let state = TrainingState::beside(path)?;
    let is_target = path.file_name().is_some_and(|name| name == TARGET_ENCODER);
    let (context_encoder, target_encoder) = match is_target {
        true => (None, Some(tensors)),
        false => (Some(tensors), None),
    };
    Ok(Checkpoint {
        context_encoder,
        target_encoder,
        ..described(path, config, state)
    })
}

/// A checkpoint without networks, of which `state` says the rest.
pub(super) fn described(
    path: &Path,
    config: VisionTransformerConfig,
    state: TrainingState,
) -> Checkpoint {
    let channels = config.in_chans;
    Checkpoint {
        normalization: state.normalization.filter(|it| it.fits(channels)),
        resize: state.resize.filter(Resize::is_possible),
        licence: state.licence.clone(),
        state,
        ..Checkpoint::empty(path, CheckpointKind::Native, config)
    }
}

/// As [`open`], of files in memory; moments are left out.
pub(crate) fn in_memory(
    mut files: HashMap<String, Vec<u8>>,
) -> Result<Checkpoint, CheckpointError> {
    let state = files.remove(TrainingState::FILE);
    let state = state.map(|bytes| TrainingState::from_bytes(&bytes));
    let state = state.transpose()?.unwrap_or_default();
    let optional = |name: &str| {
        let bytes = files.remove(name);
        let file = bytes.map(|bytes| SafetensorsFile::in_memory(Path::new(name), bytes));
        file.transpose()
    };
    of_files(Path::new("memory"), state, optional, OpenOptions::default())
}

/// The checkpoint that a state and the files are that `optional` gives by their names.
fn of_files(
    folder: &Path,
    state: TrainingState,
    mut optional: impl FnMut(&str) -> Result<Option<SafetensorsFile>, CheckpointError>,
    options: OpenOptions,
) -> Result<Checkpoint, CheckpointError> {
    let encoder = optional(ENCODER)?;
    let target_encoder = optional(TARGET_ENCODER)?;
    let any = encoder.as_ref().or(target_encoder.as_ref());
    let any = any.ok_or_else(|| CheckpointError::UnknownKind {
        path: folder.into(),
    })?;
    let (encoder_config, warnings) = match (&state.model, config_of(any, folder)?) {
        (Some(model), _) => (infer::checked(model.encoder.clone(), folder)?, Vec::new()),
        (None, Some(config)) => (config, Vec::new()),
        (None, None) => infer::encoder_config(&any.tensors, options.num_heads, folder)?,
    };
    let predictor = optional(PREDICTOR)?.map(|file| file.tensors);
    let recorded = state.model.as_ref().map(|model| &model.predictor);
    let predictor_path = folder.join(PREDICTOR);
    let sizes = |dict| infer::predictor_config(dict, &encoder_config, recorded, &predictor_path);
    let predictor_config = predictor.as_ref().map(sizes).transpose()?;
    Ok(Checkpoint {
        predictor_config,
        context_encoder: encoder.map(|file| file.tensors),
        target_encoder: target_encoder.map(|file| file.tensors),
        predictor,
        warnings,
        ..described(folder, encoder_config, state)
    })
}

/// The sizes that an encoder file carries.
pub(crate) fn config_of(
    file: &SafetensorsFile,
    path: &Path,
) -> Result<Option<VisionTransformerConfig>, CheckpointError> {
    let Some(text) = file.metadata.get(CONFIG_METADATA) else {
        return Ok(None);
    };
    let config = json::parse_json(path, text.as_bytes())?;
    infer::checked(config, path).map(Some)
}

fn moments(path: &Path) -> Result<Option<Moments>, CheckpointError> {
    path.is_file().then(|| Moments::open(path)).transpose()
}

/// Tensors of the networks and of the optimizer, as they go into a checkpoint.
#[derive(Debug, Default)]
pub struct Parts {
    /// Context encoder.
    pub encoder: Vec<NamedTensor>,
    /// Target encoder; may be empty.
    pub target_encoder: Vec<NamedTensor>,
    /// Predictor; may be empty.
    pub predictor: Vec<NamedTensor>,
    /// Adam moments by full name; may be empty.
    pub moments: Vec<NamedTensor>,
    /// Updates that the moments have seen.
    pub moment_step: u64,
}

/// The files of a folder of ours but its state.
pub fn native_files(config: &VisionTransformerConfig, parts: Parts) -> Vec<TensorFile> {
    let sizes = serde_json::to_string(config).expect("it is plain data");
    let sizes = HashMap::from([(CONFIG_METADATA.to_owned(), sizes)]);
    let networks = [
        (ENCODER, parts.encoder, sizes.clone()),
        (TARGET_ENCODER, parts.target_encoder, sizes),
        (PREDICTOR, parts.predictor, HashMap::new()),
    ];
    let networks = networks.map(|(name, tensors, metadata)| TensorFile {
        name,
        tensors,
        metadata,
    });
    let moments = Moments::file(parts.moments, parts.moment_step);
    let files = networks.into_iter().chain([moments]);
    files.filter(|file| !file.tensors.is_empty()).collect()
}

/// Fills an existing, empty folder.
pub(super) fn write_native(
    folder: &Path,
    config: &VisionTransformerConfig,
    parts: Parts,
    state: &TrainingState,
) -> Result<(), CheckpointError> {
    for file in native_files(config, parts) {
        file.write(&folder.join(file.name))?;
    }
    state.save(&folder.join(TrainingState::FILE))
}
