//! Encoders of images with other channels than three.

use burn::module::Module;
use ijepa_masking::{MaskRng, MaskSampler, MultiBlockConfig};
use ijepa_model::{
    Checkpoint, CheckpointError, EmaTarget, IJepaConfig, Initialization, MaskTensors, Objective,
    PredictorConfig, Target, VisionTransformer, VisionTransformerConfig,
    checkpoint::{EncoderRole, Format},
};
use ijepa_testkit::{device, noise_tensor, values};

use crate::small;

fn with_channels(in_chans: usize) -> VisionTransformerConfig {
    VisionTransformerConfig {
        in_chans,
        ..small()
    }
}

#[test]
fn images_of_any_channels_are_encoded_saved_and_loaded() {
    let folder = tempfile::tempdir().unwrap();
    for in_chans in [1, 5] {
        let encoder = with_channels(in_chans).init(&device());
        let images = noise_tensor::<4>(3, [2, in_chans, 32, 48], &device());
        let expected = values(encoder.forward_features(images.clone()));
        let formats = [
            Format::Native,
            Format::HuggingFace(EncoderRole::Target),
            Format::HuggingFace(EncoderRole::Context),
        ];
        for (number, format) in formats.into_iter().enumerate() {
            let path = folder.path().join(format!("{in_chans}-{number}"));
            encoder.save(&path, format).unwrap();
            let loaded = VisionTransformer::from_pretrained(&path, &device()).unwrap();
            assert_eq!(loaded.config(), encoder.config());
            assert_eq!(values(loaded.forward_features(images.clone())), expected);
        }
    }
    let config = std::fs::read_to_string(folder.path().join("5-1/config.json")).unwrap();
    assert!(config.contains("\"num_channels\": 5"), "{config}");
}

/// The channels of a bare file are those of its weights.
#[test]
fn channels_of_files_without_sizes_are_found() {
    let config = VisionTransformerConfig {
        num_heads: 12,
        embed_dim: 384,
        depth: 1,
        ..with_channels(2)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bare");
    config
        .init(&device())
        .save(&path, Format::HuggingFace(EncoderRole::Context))
        .unwrap();
    std::fs::remove_file(path.join("config.json")).unwrap();
    let opened = Checkpoint::open(&path).unwrap();
    assert_eq!(opened.encoder_config.in_chans, 2);
}

#[test]
fn pixels_of_all_channels_are_predicted_and_networks_saved_from_memory() {
    let predictor = PredictorConfig::new(12, 1).with_target(Target::Pixels);
    let config = IJepaConfig {
        encoder: with_channels(2),
        predictor,
    };
    let masks = MultiBlockConfig {
        min_keep: 2,
        ..Default::default()
    };
    let masks = masks.build(config.encoder.grid().unwrap()).unwrap();
    let masks = masks.sample(2, &mut MaskRng::for_group(0, 0, 0));
    let masks = MaskTensors::new(&masks, &device());
    let model = config.init(Initialization::default(), &device());
    let target = EmaTarget::new(&model.encoder);
    let images = noise_tensor::<4>(3, [2, 2, 32, 48], &device());
    let objective = Objective {
        target: Target::Pixels,
        ..Objective::default()
    };
    let output = model.forward(images, &masks, &target, &objective, None);
    assert_eq!(output.targets.dims()[2], 2 * 8 * 8);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("native");
    model.save(&target, &path, Format::Native).unwrap();
    let opened = Checkpoint::open(&path).unwrap();
    assert_eq!(opened.config(), Some(model.config()));
    let predictor = opened.predictor(&device()).unwrap();
    assert_eq!(predictor.num_params(), model.predictor.num_params());
    let refused = model.save(&target, folder.path().join("official"), Format::Official);
    assert!(matches!(refused, Err(CheckpointError::Unsupported { .. })));
}

#[test]
#[should_panic(expected = "images must be [batch, 1, 32, 48]")]
fn images_of_other_channels_are_refused() {
    let images = noise_tensor(3, [1, 3, 32, 48], &device());
    let _ = with_channels(1).init(&device()).forward_features(images);
}

#[test]
fn impossible_channels_are_named() {
    let check = |in_chans| with_channels(in_chans).validate().unwrap_err().to_string();
    assert_eq!(check(0), "`in_chans` must be at least 1, found 0");
    assert_eq!(
        check(1 << 20),
        "`in_chans` must be at most 65536, found 1048576"
    );
}
