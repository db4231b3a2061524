//! Checkpoints that are damaged, hostile or do not fit.

use std::{fs, path::PathBuf};

use ijepa_model::{
    Checkpoint, CheckpointError, VisionTransformerConfig,
    checkpoint::{EncoderRole, Format, OpenOptions},
};
use ijepa_testkit::device;
use safetensors::{Dtype, tensor::TensorView};

use crate::support::{golden, hugging_face, mismatch, official};

#[test]
fn everything_that_does_not_fit_is_listed() {
    let mut checkpoint = official();
    checkpoint.encoder_config.depth = 4;
    checkpoint.encoder_config.image_size = [64, 32];
    let message = mismatch(&checkpoint);
    assert!(
        message.contains("missing blocks.3.norm1.weight"),
        "{message}"
    );
    assert!(
        message.contains("missing blocks.3.mlp.fc2.bias"),
        "{message}"
    );
    assert!(
        message.contains("pos_embed has shape [1, 16, 48], expected [1, 32, 48]"),
        "{message}"
    );
    checkpoint.encoder_config = VisionTransformerConfig {
        depth: 2,
        ..official().encoder_config
    };
    assert!(mismatch(&checkpoint).contains("unexpected blocks.2.attn.qkv.weight"));
}

fn open_error(path: PathBuf) -> String {
    Checkpoint::open(path).unwrap_err().to_string()
}

#[test]
fn unreadable_checkpoints_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    assert!(open_error(at("none")).ends_with("` does not exist"));
    assert!(open_error(folder.path().into()).contains("is no checkpoint: expected a run"));
    #[cfg(unix)]
    assert!(open_error("/dev/null".into()).contains("is no checkpoint: expected a run"));
    fs::write(at("encoder.onnx"), [8, 8, 18, 5]).unwrap();
    assert!(open_error(at("encoder.onnx")).contains("which is written and not read"));
    let message = open_error(golden().join("torch/tiny_ckpt.pth.tar"));
    assert!(
        message.contains("width 48 is no published one; pass --num-heads"),
        "{message}"
    );

    let good = fs::read(golden().join("hf_tiny_saved/model.safetensors")).unwrap();
    for (name, bytes) in [
        ("short", &good[..5]),
        ("header", &good[..100]),
        ("cut", &good[..good.len() - 1]),
        ("huge", &[0xff; 64][..]),
    ] {
        let path = at(&format!("{name}.safetensors"));
        fs::write(&path, bytes).unwrap();
        assert!(
            open_error(path).contains("is no valid safetensors file"),
            "{name}"
        );
    }
    let native = at("native");
    official().save(&native, Format::Native, &device()).unwrap();
    let state = fs::read_to_string(native.join("state.json")).unwrap();
    let newer = state.replace("\"format_version\": 1", "\"format_version\": 2");
    fs::write(native.join("state.json"), newer).unwrap();
    let message = open_error(native);
    assert!(
        message.ends_with("has format version 2, this version reads up to 1"),
        "{message}"
    );
}

/// Nothing is allocated for what a file only claims.
#[test]
fn sizes_that_no_network_has_are_refused() {
    let most: usize = usize::MAX / 4 * 4;
    for (key, value) in [
        ("num_hidden_layers", most),
        ("hidden_size", most),
        ("image_size", most),
    ] {
        let folder = hugging_face("config.json", |text| {
            let mut config: serde_json::Value = serde_json::from_str(text).unwrap();
            config["patch_size"] = 4.into();
            config["num_attention_heads"] = 1.into();
            config[key] = value.into();
            config.to_string()
        });
        let error = Checkpoint::open(folder.path()).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("must be at most"), "{key}: {source}");
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep.safetensors");
    let encoder = official().target_encoder.unwrap();
    let bytes: Vec<(&str, Vec<usize>)> = encoder
        .iter()
        .map(|(name, tensor)| (name, tensor.shape().to_vec()))
        .chain([("blocks.4000000000.norm1.bias", vec![1])])
        .collect();
    let zeros = vec![
        0;
        4 * bytes
            .iter()
            .map(|(_, shape)| shape.iter().product())
            .max()
            .unwrap_or(0)
    ];
    let views = bytes.into_iter().map(|(name, shape)| {
        let len = 4 * shape.iter().product::<usize>();
        (
            name,
            TensorView::new(Dtype::F32, shape, &zeros[..len]).unwrap(),
        )
    });
    safetensors::serialize_to_file(views, None, &path).unwrap();
    let options = OpenOptions { num_heads: Some(3) };
    let error = Checkpoint::open_with(path, options).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "`depth` must be at most 1000, found 4000000001");
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hf");
    let mut checkpoint = official();
    checkpoint.target_encoder = None;
    let error = checkpoint
        .save(&path, Format::HuggingFace(EncoderRole::Target), &device())
        .unwrap_err();
    assert!(matches!(error, CheckpointError::Absent { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
