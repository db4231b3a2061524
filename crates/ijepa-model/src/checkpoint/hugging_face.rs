//! Folders of `transformers`, in both spellings of their keys.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    Checkpoint, CheckpointKind, OpenOptions, TrainingState,
    error::CheckpointError,
    infer, json, native,
    params::NamedTensor,
    safetensors_file::{self, SafetensorsFile},
    state_dict::{LazyTensor, StateDict},
};
use crate::{Normalization, VisionTransformerConfig, init::LAYER_NORM_EPSILON};

/// Sizes of the network.
pub(crate) const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const SHARDS: &str = "model.safetensors.index.json";
const PREPROCESSOR: &str = "preprocessor_config.json";

/// Heads that classification models add and encoders have not.
const OTHER_HEADS: [&str; 2] = ["classifier.", "pooler."];

/// What we need of `config.json`.
#[derive(Deserialize)]
struct Config {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    image_size: Side,
    patch_size: usize,
    layer_norm_eps: f64,
    hidden_act: String,
}

/// `image_size` is a number or a pair.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Side {
    Square(usize),
    Rectangle([usize; 2]),
}

#[derive(Deserialize)]
struct Preprocessor {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    do_normalize: Option<bool>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
}

impl Preprocessor {
    /// The statistics for values in `[0, 1]`, whatever range the processor scales bytes to.
    fn normalization(&self) -> Option<Normalization> {
        let Normalization { mean, std } = match self.do_normalize {
            Some(false) => Normalization::NONE,
            _ => {
                let (mean, std) = self.image_mean.zip(self.image_std)?;
                Normalization { mean, std }
            }
        };
        let factor = match self.do_rescale {
            Some(false) => 1.0,
            _ => self.rescale_factor.unwrap_or(1.0 / 255.0),
        };
        let rescaled =
            |values: [f32; 3]| values.map(|value| (f64::from(value) / (255.0 * factor)) as f32);
        let (mean, std) = (rescaled(mean), rescaled(std));
        Some(Normalization { mean, std })
    }
}

#[derive(Deserialize)]
struct ShardIndex {
    weight_map: HashMap<String, String>,
}

/// Opens a folder with `config.json`.
pub(crate) fn open_folder(folder: &Path) -> Result<Checkpoint, CheckpointError> {
    let config = read_config(&folder.join(CONFIG))?;
    let mut found = HashMap::new();
    for name in weight_files(folder)? {
        found.extend(SafetensorsFile::open(&folder.join(name))?.tensors);
    }
    let normalization = read_normalization(&folder.join(PREPROCESSOR))?;
    checkpoint(folder, config, official_names(found), normalization)
}

/// Opens a single file: one of ours, or of `transformers` with `config.json` beside it.
pub(crate) fn open_file(path: &Path, options: OpenOptions) -> Result<Checkpoint, CheckpointError> {
    let file = SafetensorsFile::open(path)?;
    if file.tensors.get("pos_embed").is_some() {
        let config = match native::config_of(&file, path)? {
            Some(config) => config,
            None => infer::encoder_config(&file.tensors, options.num_heads, path)?,
        };
        let mut opened = checkpoint(path, config, file.tensors, None)?;
        opened.kind = CheckpointKind::Native;
        return Ok(opened);
    }
    let beside = path.with_file_name(CONFIG);
    let names = official_names(file.tensors.into_iter().collect());
    let config = if beside.is_file() {
        read_config(&beside)?
    } else {
        infer::encoder_config(&names, options.num_heads, path)?
    };
    let normalization = read_normalization(&path.with_file_name(PREPROCESSOR))?;
    checkpoint(path, config, names, normalization)
}

fn checkpoint(
    path: &Path,
    encoder_config: VisionTransformerConfig,
    encoder: StateDict,
    normalization: Option<Normalization>,
) -> Result<Checkpoint, CheckpointError> {
    Ok(Checkpoint {
        path: path.into(),
        kind: CheckpointKind::HuggingFace,
        encoder_config,
        predictor_config: None,
        context_encoder: Some(encoder),
        target_encoder: None,
        predictor: None,
        moments: None,
        state: TrainingState::default(),
        normalization,
    })
}

fn read_config(path: &Path) -> Result<VisionTransformerConfig, CheckpointError> {
    let config: Config = json::read_json(path)?;
    let unsupported = |key, found: String, expected| {
        Err(CheckpointError::Unsupported {
            path: path.into(),
            key,
            found,
            expected,
        })
    };
    if config.layer_norm_eps != LAYER_NORM_EPSILON {
        return unsupported("layer_norm_eps", config.layer_norm_eps.to_string(), "1e-6");
    }
    if config.hidden_act != "gelu" {
        return unsupported("hidden_act", config.hidden_act, "gelu");
    }
    if config.hidden_size == 0 {
        return unsupported("hidden_size", "0".into(), "a positive width");
    }
    let image_size = match config.image_size {
        Side::Square(side) => [side, side],
        Side::Rectangle(sides) => sides,
    };
    let config = VisionTransformerConfig {
        image_size,
        patch_size: config.patch_size,
        embed_dim: config.hidden_size,
        depth: config.num_hidden_layers,
        num_heads: config.num_attention_heads,
        mlp_ratio: infer::mlp_ratio(config.hidden_size, config.intermediate_size),
        drop_path: 0.0,
    };
    infer::checked(config, path)
}

fn weight_files(folder: &Path) -> Result<BTreeSet<String>, CheckpointError> {
    let index = folder.join(SHARDS);
    if !index.is_file() {
        return Ok(BTreeSet::from([WEIGHTS.to_owned()]));
    }
    let shards: ShardIndex = json::read_json(&index)?;
    let files: BTreeSet<String> = shards.weight_map.into_values().collect();
    // A shard is a file of the folder, never a path out of it.
    match files.iter().find(|name| name.contains(['/', '\\'])) {
        Some(name) => Err(CheckpointError::Unsupported {
            path: index,
            key: "weight_map",
            found: name.clone(),
            expected: "file names without a folder",
        }),
        None => Ok(files),
    }
}

fn read_normalization(path: &Path) -> Result<Option<Normalization>, CheckpointError> {
    if !path.is_file() {
        return Ok(None);
    }
    let found: Preprocessor = json::read_json(path)?;
    Ok(found.normalization())
}

/// The two spellings of a part of a block, by its official name.
const BLOCK_PARTS: [(&str, &[[&str; 2]]); 6] = [
    ("norm1", &[["layernorm_before", "layernorm_before"]]),
    (
        "attn.qkv",
        &[
            ["attention.attention.query", "attention.q_proj"],
            ["attention.attention.key", "attention.k_proj"],
            ["attention.attention.value", "attention.v_proj"],
        ],
    ),
    (
        "attn.proj",
        &[["attention.output.dense", "attention.o_proj"]],
    ),
    ("norm2", &[["layernorm_after", "layernorm_after"]]),
    ("mlp.fc1", &[["intermediate.dense", "mlp.fc1"]]),
    ("mlp.fc2", &[["output.dense", "mlp.fc2"]]),
];

const POSITIONS: &str = "embeddings.position_embeddings";
const PATCHES: &str = "embeddings.patch_embeddings.projection";
const FINAL_NORM: &str = "layernorm";

/// Renames tensors and joins queries, keys and values; what is left over keeps its name and is
/// reported as unexpected when a network is loaded.
fn official_names(found: HashMap<String, LazyTensor>) -> StateDict {
    let strip = |name: String| {
        name.strip_prefix("ijepa.")
            .map(str::to_owned)
            .unwrap_or(name)
    };
    let mut found: HashMap<String, LazyTensor> = found
        .into_iter()
        .map(|(name, tensor)| (strip(name), tensor))
        .collect();
    found.retain(|name, _| !OTHER_HEADS.iter().any(|head| name.starts_with(head)));

    let mut named = Vec::new();
    let mut rename = |official: String, names: &[String]| {
        let shapes: Option<Vec<&[usize]>> = names
            .iter()
            .map(|name| found.get(name).map(LazyTensor::shape))
            .collect();
        let joinable = shapes.is_some_and(|shapes| {
            shapes.len() == 1 || shapes.iter().all(|s| !s.is_empty() && *s == shapes[0])
        });
        if joinable {
            let parts = names.iter().filter_map(|name| found.remove(name)).collect();
            named.push((official, LazyTensor::stacked(parts)));
        }
        joinable
    };
    rename("pos_embed".into(), &[POSITIONS.into()]);
    for (official, name) in [("patch_embed.proj", PATCHES), ("norm", FINAL_NORM)] {
        for kind in ["weight", "bias"] {
            rename(format!("{official}.{kind}"), &[format!("{name}.{kind}")]);
        }
    }
    for block in 0.. {
        let mut any = false;
        for (official, parts) in BLOCK_PARTS {
            for kind in ["weight", "bias"] {
                for (spelling, prefix) in ["encoder.layer", "layers"].into_iter().enumerate() {
                    let names: Vec<String> = parts
                        .iter()
                        .map(|part| format!("{prefix}.{block}.{}.{kind}", part[spelling]))
                        .collect();
                    any |= rename(format!("blocks.{block}.{official}.{kind}"), &names);
                }
            }
        }
        if !any {
            break;
        }
    }
    named.extend(found);
    StateDict::new(named)
}

/// Writes an encoder as a folder that `transformers` loads; `folder` must exist and be empty.
pub(crate) fn write(
    folder: &Path,
    config: &VisionTransformerConfig,
    encoder: &[NamedTensor],
    normalization: Normalization,
) -> Result<(), CheckpointError> {
    let image_size = match config.image_size {
        [height, width] if height == width => Side::Square(height),
        sides => Side::Rectangle(sides),
    };
    let json = json!({
        "architectures": ["IJepaModel"],
        "model_type": "ijepa",
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.hidden_dim(),
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "layer_norm_eps": LAYER_NORM_EPSILON,
        "image_size": image_size,
        "patch_size": config.patch_size,
        "num_channels": 3,
        "qkv_bias": true,
        "pooler_output_size": config.embed_dim,
        "pooler_act": "tanh",
        "dtype": "float32",
    });
    json::write_json(&folder.join(CONFIG), &json)?;
    let [height, width] = config.image_size;
    let preprocessor = json!({
        "image_processor_type": "ViTImageProcessor",
        "do_resize": true,
        "size": {"height": height, "width": width},
        "resample": 2,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": normalization.mean,
        "image_std": normalization.std,
    });
    json::write_json(&folder.join(PREPROCESSOR), &preprocessor)?;
    let tensors: Vec<NamedTensor> = encoder.iter().flat_map(hugging_face_tensors).collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors_file::write(&folder.join(WEIGHTS), &tensors, metadata)
}

/// A tensor under its Hugging Face name; queries, keys and values are taken apart.
fn hugging_face_tensors(tensor: &NamedTensor) -> Vec<NamedTensor> {
    let names = hugging_face_names(&tensor.name);
    let parts = names.len();
    let rename = |(part, name): (usize, String)| {
        let source = tensor.clone();
        let mut shape = tensor.shape.clone();
        shape[0] /= parts;
        let len: usize = shape.iter().product();
        NamedTensor::new(name, shape, move || {
            Ok(source.read()?[part * len..][..len].to_vec())
        })
    };
    names.into_iter().enumerate().map(rename).collect()
}

fn hugging_face_names(official: &str) -> Vec<String> {
    if official == "pos_embed" {
        return vec![POSITIONS.into()];
    }
    let (layer, kind) = official.rsplit_once('.').unwrap_or((official, ""));
    match layer {
        "patch_embed.proj" => return vec![format!("{PATCHES}.{kind}")],
        "norm" => return vec![format!("{FINAL_NORM}.{kind}")],
        _ => {}
    }
    let in_block = || {
        let (block, part) = layer.strip_prefix("blocks.")?.split_once('.')?;
        let (_, names) = BLOCK_PARTS.iter().find(|(official, _)| *official == part)?;
        let full = |name: &[&str; 2]| format!("encoder.layer.{block}.{}.{kind}", name[0]);
        Some(names.iter().map(full).collect())
    };
    in_block().unwrap_or_else(|| vec![official.to_owned()])
}
