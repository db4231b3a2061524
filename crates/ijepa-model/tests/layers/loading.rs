//! Weights from memory to files, and by name back.

use burn::module::Module;
use ijepa_model::{
    Checkpoint, CheckpointError, Classifier, EmaTarget, IJepaConfig, Initialization, Normalization,
    PredictorConfig, VisionTransformer, VisionTransformerConfig,
    checkpoint::{EncoderRole, Format, StateDict, named_tensors},
};
use ijepa_testkit::device;

use crate::{encoder, small};

fn weights<M: Module>(module: &M) -> Vec<(String, Vec<f32>)> {
    let named = named_tensors(module).into_iter();
    named
        .map(|it| (it.name.clone(), it.read().unwrap()))
        .collect()
}

#[test]
fn an_encoder_in_memory_is_saved_in_every_format_that_holds_one() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = encoder(&small());
    for (name, format) in [
        ("native", Format::Native),
        ("hf", Format::HuggingFace(EncoderRole::Context)),
    ] {
        let path = folder.path().join(name);
        encoder.save(&path, format).unwrap();
        let loaded = VisionTransformer::from_pretrained(&path, &device()).unwrap();
        assert_eq!(weights(&loaded), weights(&encoder), "{name}");
        let again = encoder.save(&path, format).unwrap_err();
        assert!(matches!(again, CheckpointError::Io(_)), "{again}");
    }
    let path = folder.path().join("official.pth.tar");
    let error = encoder.save(&path, Format::Official).unwrap_err();
    assert!(error.to_string().ends_with("has no predictor"), "{error}");
    assert!(!path.exists());
}

#[test]
fn networks_in_memory_are_saved_in_the_official_format() {
    let config = IJepaConfig {
        encoder: VisionTransformerConfig {
            in_chans: 2,
            ..small()
        },
        predictor: PredictorConfig::new(12, 1),
    };
    let seeded = |seed| {
        let init = Initialization {
            seed,
            ..Initialization::default()
        };
        config.init(init, &device().autodiff())
    };
    let (model, target) = (seeded(1), EmaTarget::new(&seeded(2).encoder));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ours.pth.tar");
    model.save(&target, &path, Format::Official).unwrap();
    let opened = Checkpoint::open(&path).unwrap();
    assert_eq!(opened.config(), Some(config.clone()));
    let context = opened.encoder(EncoderRole::Context, &device()).unwrap();
    assert_eq!(weights(&context), weights(&model.encoder));
    let found = opened.encoder(EncoderRole::Target, &device()).unwrap();
    assert_eq!(weights(&found), weights(target.encoder()));
    let predictor = opened.predictor(&device()).unwrap();
    assert_eq!(weights(&predictor), weights(&model.predictor));
}

#[test]
fn what_fits_is_loaded_by_name_and_the_rest_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let saved = encoder(&small());
    saved
        .save(folder.path().join("saved"), Format::Native)
        .unwrap();
    // Less deep, with wider MLPs; only the last block is taken, as the second.
    let other = VisionTransformerConfig {
        depth: 3,
        mlp_ratio: 3.0,
        ..small()
    };
    let fresh = other.init(&device());
    let dict = StateDict::open(folder.path().join("saved/encoder.safetensors")).unwrap();
    let dict = dict.renamed(|name| match name.split_once("blocks.4.") {
        Some((_, part)) => Some(format!("blocks.1.{part}")),
        None if name.starts_with("blocks.") => None,
        None => Some(name.to_owned()),
    });
    let (loaded, left) = dict.load_fitting(fresh.clone()).unwrap();
    let (fresh, saved) = (weights(&fresh), weights(&saved));
    for ((name, found), (_, initial)) in weights(&loaded).into_iter().zip(fresh) {
        let of_saved = name.replace("blocks.1.", "blocks.4.");
        let saved = saved.iter().find(|(other, _)| *other == of_saved);
        let is_kept = name.starts_with("blocks.0.")
            || name.starts_with("blocks.2.")
            || ["fc1.weight", "fc1.bias", "fc2.weight"]
                .iter()
                .any(|it| name.ends_with(it));
        match is_kept {
            true => assert_eq!(found, initial, "{name}"),
            false => assert_eq!(Some(&found), saved.map(|(_, values)| values), "{name}"),
        }
    }
    assert_eq!(left.missing.len(), 2 * 12);
    let misshaped = left.misshaped.iter().map(|(name, ..)| name.as_str());
    assert!(misshaped.eq([
        "blocks.1.mlp.fc1.weight",
        "blocks.1.mlp.fc1.bias",
        "blocks.1.mlp.fc2.weight"
    ]));
    assert!(left.unexpected.is_empty());
}

#[test]
fn a_classifier_is_written_and_read() {
    let classes = ["cat", "dog"].map(str::to_owned).to_vec();
    let classifier = Classifier::new(encoder(&small()), classes, Normalization::IMAGENET, 3);
    let folder = tempfile::tempdir().unwrap();
    classifier
        .save(&folder.path().join(Classifier::FILE))
        .unwrap();
    let read = Classifier::from_pretrained(folder.path(), &device()).unwrap();
    assert_eq!(read.config(), classifier.config());
    assert_eq!(weights(&read), weights(&classifier));
}
