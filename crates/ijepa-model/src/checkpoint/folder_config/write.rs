//! `config.json` and `preprocessor_config.json` of a new folder.

use std::path::Path;

use serde_json::json;

use super::{BICUBIC, BILINEAR, PREPROCESSOR, Resize, Side, edge};
use crate::{
    Normalization, VisionTransformerConfig,
    checkpoint::{error::CheckpointError, folder::CONFIG, json},
};

/// Writes both files for `transformers`, the second if `normalization` has the encoder's channels.
pub(crate) fn write(
    folder: &Path,
    config: &VisionTransformerConfig,
    normalization: Normalization,
    resize: Resize,
) -> Result<(), CheckpointError> {
    let [height, width] = config.image_size;
    let image_size = match height == width {
        true => Side::Square(height),
        false => Side::Rectangle([height, width]),
    };
    let sizes = json!({
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
        "layer_norm_eps": config.layer_norm_eps,
        "image_size": image_size,
        "patch_size": config.patch_size,
        "num_channels": config.in_chans,
        "qkv_bias": true,
        "pooler_output_size": config.embed_dim,
        "pooler_act": "tanh",
        "dtype": "float32",
    });
    json::write_json(&folder.join(CONFIG), &sizes)?;
    if !normalization.fits(config.in_chans) {
        return Ok(());
    }
    let mut preprocessor = json!({
        "image_processor_type": "ViTImageProcessor",
        "do_resize": resize != Resize::None,
        "size": {"height": height, "width": width},
        "resample": BILINEAR,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": decimals(&normalization.mean),
        "image_std": decimals(&normalization.std),
    });
    if let Resize::Crop { margin } = resize {
        preprocessor["image_processor_type"] = "CLIPImageProcessor".into();
        preprocessor["size"] = json!({ "shortest_edge": edge(height.max(width), margin) });
        preprocessor["do_center_crop"] = true.into();
        preprocessor["crop_size"] = json!({"height": height, "width": width});
        preprocessor["resample"] = BICUBIC.into();
    }
    json::write_json(&folder.join(PREPROCESSOR), &preprocessor)
}

/// The numbers as they were once written: 0.485 and not 0.48500001430511475.
fn decimals(values: &[f32]) -> Vec<f64> {
    let values = values.iter().map(ToString::to_string);
    values
        .map(|text| text.parse().expect("it is a number"))
        .collect()
}
