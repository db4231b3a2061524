//! Names of `transformers`, in both spellings, and folders that it loads.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    EncoderRole,
    error::CheckpointError,
    folder::WEIGHTS,
    folder_config::{self, Resize},
    params::NamedTensor,
    safetensors_file,
    state_dict::{LazyTensor, StateDict},
};
use crate::{Normalization, VisionTransformerConfig};

/// Metadata key under which weights that this library wrote say which encoder they are.
pub(super) const ROLE_METADATA: &str = "ijepa_role";

/// Heads that classification models add and encoders have not.
const OTHER_HEADS: [&str; 3] = ["classifier.", "pooler.", "head."];

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

/// Renames tensors and joins queries, keys and values; names that are official already, as those
/// of `timm` are, stay. What is left over keeps its name and is reported as unexpected when a
/// network is loaded.
pub(crate) fn official_names(found: StateDict) -> StateDict {
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
    // `timm` calls the norm of pooled features so.
    let norms = [("norm", FINAL_NORM), ("norm", "fc_norm")];
    for (official, name) in [("patch_embed.proj", PATCHES)].into_iter().chain(norms) {
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
    let mut others: Vec<_> = found.into_iter().collect();
    others.sort_by(|(one, _), (other, _)| one.cmp(other));
    named.extend(others);
    StateDict::new(named)
}

/// Writes an encoder as a folder that `transformers` loads; `folder` must exist and be empty.
pub(crate) fn write(
    folder: &Path,
    config: &VisionTransformerConfig,
    encoder: &[NamedTensor],
    role: EncoderRole,
    normalization: Normalization,
    resize: Resize,
) -> Result<(), CheckpointError> {
    folder_config::write(folder, config, normalization, resize)?;
    let tensors: Vec<NamedTensor> = encoder.iter().flat_map(hugging_face_tensors).collect();
    let metadata = [("format", "pt"), (ROLE_METADATA, role.name())];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let metadata = HashMap::from(metadata);
    safetensors_file::write(&folder.join(WEIGHTS), &tensors, metadata, &|_| {})
}

/// A tensor under its Hugging Face name; queries, keys and values are taken apart.
fn hugging_face_tensors(tensor: &NamedTensor) -> Vec<NamedTensor> {
    let names = hugging_face_names(&tensor.name);
    let parts = names.len();
    // Read once for all parts, and forgotten with the last of them.
    let kept = Arc::new(Mutex::new(Vec::new()));
    let rename = |(part, name): (usize, String)| {
        let (source, kept) = (tensor.clone(), Arc::clone(&kept));
        let mut shape = tensor.shape.clone();
        shape[0] /= parts;
        let len: usize = shape.iter().product();
        NamedTensor::new(name, shape, move || {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.is_empty() {
                *kept = source.read()?;
            }
            let own = kept[part * len..][..len].to_vec();
            if part + 1 == parts {
                *kept = Vec::new();
            }
            Ok(own)
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
