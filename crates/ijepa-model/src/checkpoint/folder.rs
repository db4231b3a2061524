//! Folders and single files with the weights of one encoder, as `transformers` and `timm` write
//! them.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use serde::Deserialize;

use super::{
    Checkpoint, CheckpointKind, EncoderRole, OpenOptions, classifier,
    error::CheckpointError,
    folder_config::{self, FolderConfig, Preprocessing},
    hugging_face, infer, json, model_card, names, native, official,
    safetensors_file::SafetensorsFile,
    state_dict::StateDict,
};
use crate::VisionTransformerConfig;

/// What people are told.
pub(crate) const README: &str = "README.md";
/// Sizes of the network.
pub(crate) const CONFIG: &str = "config.json";
/// Weights in one file.
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const SHARDS: &str = "model.safetensors.index.json";
pub(crate) const PICKLED: &str = "pytorch_model.bin";

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

/// Whether `path` holds weights under a usual name.
pub(crate) fn is_folder(path: &Path) -> bool {
    let names = [CONFIG, WEIGHTS, SHARDS, PICKLED];
    names.iter().any(|name| path.join(name).is_file())
}

/// Opens a folder with `config.json`.
pub(crate) fn open_folder(
    folder: &Path,
    options: OpenOptions,
) -> Result<Checkpoint, CheckpointError> {
    let (tensors, role) = read_tensors(folder)?;
    open_parts(folder, tensors, role, &folder.join(CONFIG), options)
}

/// Opens a single file: one of ours, or of `transformers` or `timm` with `config.json` beside it.
pub(crate) fn open_file(path: &Path, options: OpenOptions) -> Result<Checkpoint, CheckpointError> {
    let file = SafetensorsFile::open(path)?;
    if let Some(config) = classifier::config_of(&file, path)? {
        return classifier::encoder_of(config, file.tensors, path);
    }
    if let Some(config) = native::config_of(&file, path)? {
        return native::open_encoder(path, config, names::unwrapped(file.tensors));
    }
    let role = role_of(&file);
    open_parts(
        path,
        file.tensors,
        role,
        &path.with_file_name(CONFIG),
        options,
    )
}

/// Which encoder a file of ours says that it is.
fn role_of(file: &SafetensorsFile) -> Option<EncoderRole> {
    file.metadata.get(hugging_face::ROLE_METADATA)?.parse().ok()
}

/// The checkpoint of these tensors, with what the files beside `config` say.
fn open_parts(
    path: &Path,
    tensors: StateDict,
    role: Option<EncoderRole>,
    config: &Path,
    options: OpenOptions,
) -> Result<Checkpoint, CheckpointError> {
    let tensors = hugging_face::official_names(names::unwrapped(tensors));
    let described = config
        .is_file()
        .then(|| folder_config::read(config))
        .transpose()?;
    let beside = folder_config::read_preprocessing(config)?;
    let mut opened = match described {
        Some(FolderConfig::Transformers(sizes)) => {
            infer::check_grid(&tensors, &sizes, config)?;
            checkpoint(path, sizes, tensors, beside)
        }
        Some(FolderConfig::Timm(timm)) => {
            let num_heads = timm.num_heads.or(options.num_heads);
            let (config, warnings) = infer::encoder_config(&tensors, num_heads, path)?;
            let mut opened = checkpoint(path, config, tensors, timm.preprocessing);
            opened.warnings.extend(warnings);
            opened
        }
        None => {
            let (config, warnings) = infer::encoder_config(&tensors, options.num_heads, path)?;
            let mut opened = checkpoint(path, config, tensors, beside);
            opened.warnings.extend(warnings);
            opened
        }
    };
    opened.licence = model_card::licence_in(&config.with_file_name(README));
    if role == Some(EncoderRole::Target) {
        opened.target_encoder = opened.context_encoder.take();
    }
    Ok(opened)
}

fn checkpoint(
    path: &Path,
    encoder_config: VisionTransformerConfig,
    encoder: StateDict,
    preprocessing: Preprocessing,
) -> Checkpoint {
    let channels = encoder_config.in_chans;
    Checkpoint {
        normalization: preprocessing.normalization.filter(|it| it.fits(channels)),
        resize: preprocessing.resize,
        warnings: preprocessing.warnings,
        context_encoder: Some(encoder),
        ..Checkpoint::empty(path, CheckpointKind::HuggingFace, encoder_config)
    }
}

/// All tensors of a folder: of the complete file if there is one, else of the shards of an index,
/// else of a pickle. A complete file of ours says which encoder it is.
fn read_tensors(folder: &Path) -> Result<(StateDict, Option<EncoderRole>), CheckpointError> {
    let whole = folder.join(WEIGHTS);
    let index = folder.join(SHARDS);
    let pickled = folder.join(PICKLED);
    if whole.is_file() || !(index.is_file() || pickled.is_file()) {
        let file = SafetensorsFile::open(&whole)?;
        let role = role_of(&file);
        return Ok((file.tensors, role));
    }
    if !index.is_file() {
        return Ok((official::state_dict(&pickled)?, None));
    }
    let mut found = Vec::new();
    for name in shards(&index)? {
        found.extend(SafetensorsFile::open(&folder.join(name))?.tensors);
    }
    Ok((StateDict::new(found), None))
}

pub(crate) fn shards(index: &Path) -> Result<BTreeSet<String>, CheckpointError> {
    let shards: ShardIndex = json::read_json(index)?;
    let files: BTreeSet<String> = shards.weight_map.into_values().collect();
    // A shard is a file of the folder, never a path out of it.
    match files.iter().find(|name| name.contains(['/', '\\'])) {
        Some(name) => Err(CheckpointError::Unsupported {
            path: index.into(),
            key: "weight_map",
            found: name.clone(),
            expected: "file names without a folder",
        }),
        None => Ok(files),
    }
}
