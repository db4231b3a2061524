//! Files without the weights that they should have.

use std::{collections::HashMap, fs};

use ijepa_model::{
    Checkpoint, CheckpointError,
    checkpoint::{EncoderRole, Format, ModuleFile, NamedTensor, named_tensors},
};
use ijepa_testkit::device;

use crate::{Folder, encoder, folder_of, open};

#[test]
fn what_git_lfs_has_not_fetched_is_called_by_name() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    for name in ["model.safetensors", "vit.pth.tar"] {
        let folder = Folder::new();
        fs::write(folder.at(name), pointer).unwrap();
        let message = open(&folder.at(name)).unwrap_err().to_string();
        assert!(message.contains("Git LFS pointer"), "{message}");
    }
}

#[test]
fn scalars_are_no_weights_and_no_panic() {
    let folder = Folder::new();
    let path = folder.at("scalar.safetensors");
    let mut tensors = named_tensors(&encoder());
    let shape = |tensor: &NamedTensor| match tensor.name.as_str() {
        "blocks.0.attn.qkv.bias" => vec![],
        _ => tensor.shape.clone(),
    };
    let zeros = vec![0; 4 * 32 * 192];
    let views = tensors.drain(..).map(|tensor| {
        let shape = shape(&tensor);
        let len = 4 * shape.iter().product::<usize>();
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &zeros[..len]);
        (tensor.name, view.unwrap())
    });
    safetensors::serialize_to_file(views, None, &path).unwrap();
    let format = Format::HuggingFace(EncoderRole::Context);
    let error = open(&path).unwrap();
    let error = error.save(&folder.at("hf"), format, &device()).unwrap_err();
    assert!(matches!(error, CheckpointError::Mismatch { .. }), "{error}");
    assert_eq!(folder.names(), ["scalar.safetensors"]);
}

#[test]
fn long_lists_are_cut_and_keep_their_order() {
    let folder = Folder::new();
    let path = folder.at("vit.safetensors");
    ModuleFile::save(&path, &encoder(), HashMap::new()).unwrap();
    let mut opened = open(&path).unwrap();
    opened.encoder_config.depth = 3;
    let error = opened.encoder(EncoderRole::Context, &device()).unwrap_err();
    let CheckpointError::Mismatch { mismatch, .. } = &error else {
        panic!("another error")
    };
    let expected = "12 missing (blocks.2.norm1.weight, blocks.2.norm1.bias, \
                    blocks.2.attn.qkv.weight, ...)";
    assert_eq!(mismatch.to_string(), expected);
    assert_eq!(mismatch.lines().len(), 12);

    // Three names in all, whatever is wrong with them.
    let mut several = (**mismatch).clone();
    several.unexpected = vec!["one".into(), "two".into()];
    several.misshaped = vec![("three".into(), vec![1], vec![2])];
    let expected = "12 missing (blocks.2.norm1.weight, ...), 2 unexpected (one, ...), \
                    1 of another shape (three has shape [1], expected [2])";
    assert_eq!(several.to_string(), expected);
    assert_eq!(several.lines().len(), 15);
}

/// What a folder claims is compared with its tensors before anything of that size is made.
#[test]
fn a_small_file_that_claims_much_costs_little() {
    let json = r#"{"hidden_size": 16384, "num_hidden_layers": 1000, "num_attention_heads": 1,
        "intermediate_size": 4, "image_size": 127, "patch_size": 1, "layer_norm_eps": 1e-6,
        "hidden_act": "gelu"}"#;
    let folder = folder_of(&encoder(), &[("config.json", json)]);
    let error = Checkpoint::open(folder.0.path()).unwrap();
    let error = error.feature_encoder(&device()).unwrap_err();
    assert!(matches!(error, CheckpointError::Mismatch { .. }), "{error}");
}
