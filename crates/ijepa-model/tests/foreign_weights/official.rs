//! Files in the official format, of any grid and incomplete.

use std::{error::Error, path::PathBuf};

use ijepa_model::{
    Checkpoint, Initialization, PredictorConfig,
    checkpoint::{EncoderRole, Format, named_tensors, torch::Item},
};
use ijepa_testkit::device;

use crate::{Folder, Pickle, config, open};

/// All networks in the official format, with positions of `image_size` and without one tensor.
fn official(image_size: [usize; 2], without: Option<&str>) -> (Folder, PathBuf) {
    let folder = Folder::new();
    let config = config(image_size);
    let predictor = PredictorConfig::new(16, 1);
    let predictor = predictor.init(&config, Initialization::default(), &device());
    let mut pickle = Pickle::default();
    let mut entries = Vec::new();
    for (role, mut tensors) in [
        ("encoder", named_tensors(&config.init(&device()))),
        ("target_encoder", named_tensors(&config.init(&device()))),
        ("predictor", named_tensors(&predictor)),
    ] {
        tensors.retain(|tensor| Some(tensor.name.as_str()) != without);
        let dict = pickle.dict(tensors, |name| format!("module.{name}"));
        entries.push((role.into(), dict));
    }
    let path = folder.at("all.pth.tar");
    pickle.write(&path, &Item::Dict(entries));
    (folder, path)
}

#[test]
fn the_grid_of_an_official_file_is_that_of_its_positions() {
    // 2 x 8 patches are as many as 4 x 4.
    for image_size in [[32, 64], [16, 64], [64, 16], [8, 40], [32, 32]] {
        let (_folder, path) = official(image_size, None);
        let opened = open(&path).unwrap();
        assert_eq!(opened.encoder_config.image_size, image_size);
        assert!(opened.encoder(EncoderRole::Target, &device()).is_ok());
    }
}

#[test]
fn heads_and_sizes_survive_the_official_format() {
    let (folder, path) = official([32, 64], None);
    let opened = open(&path).unwrap();
    let expected = opened.config();
    let copy = folder.at("copy.pth.tar");
    opened.save(&copy, Format::Official, &device()).unwrap();
    // Without the note the width would have to be a published one.
    let copied = Checkpoint::open(&copy).unwrap();
    assert_eq!(copied.config(), expected);
    assert!(copied.warnings.is_empty());
}

#[test]
fn what_does_not_fit_is_not_converted() {
    let (folder, path) = official([32, 32], Some("blocks.1.norm2.bias"));
    for (name, format) in [
        ("native", Format::Native),
        ("copy.pth.tar", Format::Official),
        ("hf", Format::HuggingFace(EncoderRole::Target)),
    ] {
        let error = open(&path).unwrap();
        let error = error.save(&folder.at(name), format, &device()).unwrap_err();
        let expected = "1 missing (blocks.1.norm2.bias)";
        assert_eq!(error.source().unwrap().to_string(), expected, "{name}");
    }
    assert_eq!(folder.names(), ["all.pth.tar"]);
}
