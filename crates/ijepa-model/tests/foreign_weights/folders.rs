//! Folders, and which of their files counts.

use std::{collections::HashMap, fs};

use ijepa_model::{
    Checkpoint,
    checkpoint::{ModuleFile, Resize, named_tensors},
};

use crate::{Folder, Pickle, TIMM, assert_same, config, encoder, folder_of};

#[test]
fn timm_folders_load_with_their_own_preprocessing() {
    let encoder = encoder();
    let folder = folder_of(&encoder, &[("config.json", TIMM)]);
    let opened = Checkpoint::open(folder.0.path()).unwrap();
    assert_eq!(opened.encoder_config, config([32, 32]));
    assert_eq!(
        opened.resize,
        Some(Resize::Crop {
            margin: 1.0 / 0.875
        })
    );
    assert_eq!(*opened.normalization.unwrap().mean, [0.5; 3]);
    assert_same(folder.0.path(), &encoder, "timm");
}

#[test]
fn a_complete_file_wins_over_an_index_and_a_pickle_stands_in_for_both() {
    let encoder = encoder();
    let stale = r#"{"weight_map": {"pos_embed": "model-00001-of-00002.safetensors"}}"#;
    let files = [
        ("config.json", TIMM),
        ("model.safetensors.index.json", stale),
    ];
    let folder = folder_of(&encoder, &files);
    assert_same(folder.0.path(), &encoder, "stale index");

    let folder = folder_of(&encoder, &[("config.json", TIMM)]);
    fs::remove_file(folder.at("model.safetensors")).unwrap();
    let mut pickle = Pickle::default();
    let dict = pickle.dict(named_tensors(&encoder), str::to_owned);
    pickle.write(&folder.at("pytorch_model.bin"), &dict);
    assert_same(folder.0.path(), &encoder, "pickle");
}

#[test]
fn a_native_folder_may_hold_a_target_encoder_alone() {
    let (folder, encoder) = (Folder::new(), encoder());
    let path = folder.at("target_encoder.safetensors");
    ModuleFile::save(&path, &encoder, HashMap::new()).unwrap();
    assert_same(folder.0.path(), &encoder, "lone target");
}
