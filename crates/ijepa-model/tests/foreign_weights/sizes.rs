//! Sizes of an encoder that a file says, and those that are guessed.

use std::collections::HashMap;

use ijepa_model::{
    Checkpoint, VisionTransformerConfig,
    checkpoint::{EncoderRole, Format, ModuleFile, OpenOptions},
};
use ijepa_testkit::device;

use crate::{Folder, assert_same, config, features, open};

#[test]
fn any_epsilon_is_computed_and_kept() {
    let folder = Folder::new();
    let mut unusual = config([32, 32]);
    unusual.layer_norm_eps = 0.1;
    let path = folder.at("vit.safetensors");
    let json = serde_json::to_string(&unusual).unwrap();
    let metadata = HashMap::from([("ijepa_encoder".to_owned(), json)]);
    let encoder = unusual.init(&device());
    ModuleFile::save(&path, &encoder, metadata).unwrap();
    let hf = folder.at("hf");
    let format = Format::HuggingFace(EncoderRole::Context);
    open(&path).unwrap().save(&hf, format, &device()).unwrap();
    assert_eq!(Checkpoint::open(&hf).unwrap().encoder_config, unusual);
    assert_same(&hf, &encoder, "hf");
    let usual = config([32, 32]).init(&device());
    assert_ne!(features(&usual), features(&encoder));
}

#[test]
fn a_guessed_number_of_heads_is_said() {
    let folder = Folder::new();
    let path = folder.at("vit.safetensors");
    let mut narrow = config([32, 32]);
    (narrow.embed_dim, narrow.num_heads) = (192, 6);
    ModuleFile::save(&path, &narrow.init(&device()), HashMap::new()).unwrap();
    let guessed = Checkpoint::open(&path).unwrap();
    assert_eq!(guessed.encoder_config.num_heads, 3);
    assert!(guessed.warnings[0].contains("pass --num-heads"));
    let said = OpenOptions { num_heads: Some(6) };
    assert!(
        Checkpoint::open_with(&path, said)
            .unwrap()
            .warnings
            .is_empty()
    );
}

/// A native folder says what of it is a guess, as any other file, and takes the true value.
#[test]
fn a_native_file_without_sizes_is_a_guess_that_is_said() {
    let folder = Folder::new();
    let wide = VisionTransformerConfig {
        embed_dim: 192,
        num_heads: 6,
        ..config([32, 32])
    };
    let encoder = wide.init(&device());
    ModuleFile::save(&folder.at("encoder.safetensors"), &encoder, HashMap::new()).unwrap();
    let guessed = Checkpoint::open(folder.0.path()).unwrap();
    assert_eq!(guessed.encoder_config.num_heads, 3);
    let [warning] = &guessed.warnings[..] else {
        panic!("{:?}", guessed.warnings)
    };
    assert!(warning.contains("pass --num-heads"), "{warning}");
    let options = OpenOptions { num_heads: Some(6) };
    let told = Checkpoint::open_with(folder.0.path(), options).unwrap();
    assert_eq!((told.encoder_config, told.warnings), (wide, vec![]));
}
