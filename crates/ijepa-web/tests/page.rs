//! What the page shows is what the networks give.

use std::{collections::HashMap, fs, path::Path};

use burn::tensor::{Device, Tensor, read_sync};
use ijepa_model::{
    Checkpoint, IJepa, IJepaConfig, Initialization, MaskTensors, Normalization, Objective,
    PredictorConfig, VisionTransformerConfig,
    checkpoint::{NATIVE_FILES, Parts, Snapshot, TrainingState, named_tensors, native_files},
};
use ijepa_patches::{cosine_map, mean_row};
use ijepa_testkit::device;
use ijepa_web::{Model, WebError, computes};

const SIDE: usize = 32;

fn config() -> IJepaConfig {
    let encoder = VisionTransformerConfig {
        patch_size: 4,
        embed_dim: 16,
        depth: 2,
        num_heads: 2,
        ..VisionTransformerConfig::variant("vit_ti16").expect("it is one")
    };
    IJepaConfig {
        encoder: encoder.with_image_size([SIDE, SIDE]),
        predictor: PredictorConfig::new(8, 1),
    }
}

/// Networks whose encoders differ, in a folder.
fn saved(folder: &Path, device: &Device) -> IJepa {
    let init = |seed| Initialization {
        seed,
        ..Initialization::default()
    };
    let (config, model) = (config(), config().init(init(1), device));
    let target = config.encoder.init_with(init(2), device);
    let parts = Parts {
        encoder: named_tensors(&model.encoder),
        target_encoder: named_tensors(&target),
        predictor: named_tensors(&model.predictor),
        ..Parts::default()
    };
    let state = TrainingState {
        model: Some(config.clone()),
        ..TrainingState::default()
    };
    let files = native_files(&config.encoder, parts);
    let snapshot = Snapshot::take(files, state).expect("it is in memory");
    snapshot.write(folder).expect("the folder is there");
    model
}

/// The files that the page is given.
fn files(folder: &Path) -> HashMap<String, Vec<u8>> {
    let read = |name: &str| fs::read(folder.join(name)).expect("it was saved");
    NATIVE_FILES
        .map(|name| (name.to_owned(), read(name)))
        .into()
}

fn open(files: HashMap<String, Vec<u8>>) -> Result<Model, WebError> {
    Model::open(&Checkpoint::from_memory(files)?, &device())
}

fn picture() -> Vec<u8> {
    let pixel = |at: usize| [(at * 7) as u8, (at / SIDE * 5) as u8, (at * at) as u8, 255];
    (0..SIDE * SIDE).flat_map(pixel).collect()
}

#[test]
fn the_page_shows_what_the_networks_give() {
    let (folder, device) = (tempfile::tempdir().unwrap(), device());
    let networks = saved(folder.path(), &device);
    let model = open(files(folder.path())).unwrap();
    let picture_bytes = picture();
    let picture = read_sync(model.look(&picture_bytes)).unwrap();
    let masks = model.masks(3);
    let shown = read_sync(model.predict(&picture, &masks, 1)).unwrap();

    let rgb: Vec<u8> = picture_bytes
        .chunks_exact(4)
        .flat_map(|it| it[..3].to_vec())
        .collect();
    let images = Normalization::IMAGENET.images(&rgb, [1, SIDE, SIDE], &device);
    let target = Checkpoint::open(folder.path()).unwrap();
    let target = target.feature_encoder(&device).unwrap();
    let values = |x: Tensor<3>| -> Vec<f32> { x.into_data().iter::<f32>().collect() };
    let features = values(Objective::default().normed(target.forward_features(images.clone())));
    // All blocks at once, of which the second is what was asked for.
    let predicted = values(networks.predict(images, &MaskTensors::new(&masks, &device), None));
    let block = predicted.len() / 4;
    let predicted = &predicted[block..2 * block];
    let mean: Vec<f32> = mean_row(predicted, 16)
        .iter()
        .map(|&it| it as f32)
        .collect();
    for (shown, expected) in shown.mean.iter().zip(cosine_map(&mean, &features)) {
        assert!((shown - expected).abs() < 1e-5, "{shown} {expected}");
    }
    let patches = masks.targets[1].row(0);
    assert_eq!(shown.nearest.len(), patches.len());
    for (nearest, row) in shown.nearest.iter().zip(predicted.chunks_exact(16)) {
        let map = cosine_map(row, &features);
        assert!(map.iter().all(|&other| other <= map[*nearest] + 1e-5));
    }
    assert_eq!(picture.colors.patches.len(), 64);
}

#[test]
fn a_device_that_computes_passes_the_trial() {
    assert!(read_sync(computes(&device())));
}

#[test]
fn what_cannot_be_shown_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    saved(folder.path(), &device());
    let whole = files(folder.path());
    let model = open(whole.clone()).unwrap();
    let error = read_sync(model.look(&picture()[1..]))
        .unwrap_err()
        .to_string();
    assert!(error.contains("32x32"), "{error}");
    let picture = read_sync(model.look(&picture())).unwrap();
    let error = read_sync(model.predict(&picture, &model.masks(0), 4)).unwrap_err();
    assert!(error.to_string().contains("no block 4"), "{error}");
    for name in &NATIVE_FILES[1..] {
        let mut cut = whole.clone();
        cut.get_mut(*name).unwrap().truncate(100);
        let error = open(cut).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        let mut missing = whole.clone();
        missing.remove(*name);
        assert!(open(missing).is_err(), "{name}");
    }
    let mut swapped = whole.clone();
    swapped.insert(NATIVE_FILES[1].to_owned(), whole[NATIVE_FILES[3]].clone());
    assert!(open(swapped).is_err());
    for state in ["{\"format_version\": 1}", "{"] {
        let mut empty = whole.clone();
        empty.insert(NATIVE_FILES[0].to_owned(), state.into());
        let error = open(empty).unwrap_err().to_string();
        assert!(error.contains("state.json"), "{error}");
    }
}

/// Cosines with features that the predictor never learned would mean nothing.
#[test]
fn features_are_those_that_the_predictor_learned() {
    let folder = tempfile::tempdir().unwrap();
    saved(folder.path(), &device());
    let with = |objective: &str| {
        let mut files = files(folder.path());
        let state = files.get_mut(NATIVE_FILES[0]).unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(state).unwrap();
        json["recipe"] = format!("[model]\ndepth = 2\n[objective]\n{objective}\n").into();
        *state = json.to_string().into_bytes();
        open(files)
    };
    let mean = |objective: &str| {
        let model = with(objective).unwrap();
        let picture = read_sync(model.look(&picture())).unwrap();
        read_sync(model.predict(&picture, &model.masks(0), 0))
            .unwrap()
            .mean
    };
    let usual = mean("kind = \"jepa\"\ntarget_norm = true\nglobal_views = 2");
    assert_ne!(mean("target_norm = false"), usual);
    assert_ne!(mean("target_blocks = 2"), usual);
    for (objective, why) in [
        ("kind = \"lejepa\"", "LeJEPA"),
        ("target_blocks = 3", "the encoder has 2"),
        ("target_norm = 1", "the recipe"),
    ] {
        let error = with(objective).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

/// Statistics of another number of channels than the encoder's are left out, as on a disk.
#[test]
fn a_normalisation_that_does_not_fit_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    saved(folder.path(), &device());
    let mut files = files(folder.path());
    let state = files.get_mut(NATIVE_FILES[0]).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(state).unwrap();
    json["normalization"] = serde_json::json!({"mean": [0.5], "std": [0.5]});
    *state = json.to_string().into_bytes();
    assert!(read_sync(open(files).unwrap().look(&picture())).is_ok());
}

#[test]
fn the_page_and_what_assembles_it_know_the_files_of_a_model() {
    let files = NATIVE_FILES.map(|name| format!("{name:?}")).join(", ");
    for script in [
        include_str!("../page/page.js"),
        include_str!("../page/assemble.py"),
    ] {
        assert!(script.contains(&format!("FILES = [{files}]")));
    }
}
