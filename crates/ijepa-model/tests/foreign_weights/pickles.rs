//! Pickles of every wrapping.

use ijepa_model::{
    IJepaConfig, Initialization, PredictorConfig,
    checkpoint::{EncoderRole, NamedTensor, named_tensors, torch::Item},
};
use ijepa_testkit::device;

use crate::{Folder, Pickle, assert_same, config, encoder, features, open};

fn under(key: &str, item: Item) -> Item {
    Item::Dict(vec![(key.into(), item)])
}

#[test]
fn pickles_of_one_encoder_load_however_they_are_wrapped() {
    let (folder, encoder) = (Folder::new(), encoder());
    let layouts: [(&str, &str, Option<&str>); 9] = [
        ("compiled", "_orig_mod.", Some("encoder")),
        (
            "compiled and distributed",
            "module._orig_mod.",
            Some("encoder"),
        ),
        (
            "distributed and compiled",
            "_orig_mod.module.",
            Some("encoder"),
        ),
        ("lone target", "module.", Some("target_encoder")),
        ("bare", "", None),
        ("bare and wrapped", "model.backbone.", None),
        ("model", "", Some("model")),
        ("lightning", "backbone.", Some("state_dict")),
        (
            "lightning with a name of its own",
            "net.vit.",
            Some("state_dict"),
        ),
    ];
    for (what, prefix, key) in layouts {
        let path = folder.at("weights.ckpt");
        let mut pickle = Pickle::default();
        let dict = pickle.dict(named_tensors(&encoder), |name| format!("{prefix}{name}"));
        pickle.write(
            &path,
            &key.map_or(dict.clone(), |key| under(key, dict.clone())),
        );
        assert_same(&path, &encoder, what);
    }
}

#[test]
fn one_state_dict_may_hold_all_networks() {
    let folder = Folder::new();
    let config = IJepaConfig {
        encoder: config([32, 32]),
        predictor: PredictorConfig::new(16, 1),
    };
    let seeded = |seed| Initialization {
        seed,
        ..Initialization::default()
    };
    let context = config.encoder.init_with(seeded(1), &device());
    let target = config.encoder.init_with(seeded(2), &device());
    let predictor = config.predictor;
    let predictor = predictor.init(&config.encoder, seeded(3), &device());
    let mut pickle = Pickle::default();
    let mut entries = Vec::new();
    for (role, tensors) in [
        ("encoder", named_tensors(&context)),
        ("target_encoder", named_tensors(&target)),
        ("predictor", named_tensors(&predictor)),
    ] {
        let dict = pickle.dict(tensors, |name| format!("model.{role}._orig_mod.{name}"));
        let Item::OrderedDict(dict) = dict else {
            unreachable!("a state dict is ordered")
        };
        entries.extend(dict);
    }
    let path = folder.at("last.ckpt");
    pickle.write(&path, &under("state_dict", Item::OrderedDict(entries)));
    let opened = open(&path).unwrap();
    for (role, expected) in [
        (EncoderRole::Context, &context),
        (EncoderRole::Target, &target),
    ] {
        let loaded = opened.encoder(role, &device()).unwrap();
        assert_eq!(features(&loaded), features(expected), "{role:?}");
    }
    assert!(opened.predictor(&device()).is_ok());
}

#[test]
fn a_pickle_without_an_encoder_says_what_it_has() {
    let folder = Folder::new();
    let path = folder.at("other.ckpt");
    let mut pickle = Pickle::default();
    let dict = pickle.dict(named_tensors(&encoder()), |name| {
        format!("resnet.{}", name.len())
    });
    pickle.write(&path, &under("state_dict", dict));
    let message = open(&path).unwrap_err().to_string();
    assert!(message.contains("has no encoder"), "{message}");
    assert!(
        message.contains("found 29 entries (resnet.9, "),
        "{message}"
    );
}

/// Checkpoints of stochastic positional embeddings: the reference's names in another order, a mask
/// token that was never trained, and entries that the reference has not.
#[test]
fn checkpoints_of_stochastic_positions_load() {
    let folder = Folder::new();
    let config = IJepaConfig {
        encoder: config([32, 32]),
        predictor: PredictorConfig::new(16, 1),
    };
    let model = config.init(Initialization::default(), &device());
    let mut pickle = Pickle::default();
    let mut predictor = named_tensors(&model.predictor);
    predictor.sort_by_key(|tensor| tensor.name == "mask_token");
    let module = |name: &str| format!("module.{name}");
    let encoder = pickle.dict(named_tensors(&model.encoder), module);
    let target = pickle.dict(named_tensors(&model.encoder), module);
    let predictor = pickle.dict(predictor, module);
    let root = Item::Dict(vec![
        ("encoder".into(), encoder),
        ("predictor".into(), predictor),
        ("opt".into(), under("state", Item::Dict(vec![]))),
        ("scaler".into(), Item::None),
        ("target_encoder".into(), target),
        ("epoch".into(), Item::Int(600)),
        ("stop_params".into(), under("var", Item::Float(0.25))),
        ("momentum".into(), Item::Float(0.996)),
    ]);
    let path = folder.at("latest.pth.tar");
    pickle.write(&path, &root);
    assert_same(&path, &model.encoder, "stochastic positions");
    let opened = open(&path).unwrap();
    assert_eq!(opened.state.epoch, 600);
    assert!(opened.moments.is_none());
    let loaded = opened.predictor(&device()).unwrap();
    let values = |tensors: Vec<NamedTensor>| -> Vec<Vec<f32>> {
        tensors
            .iter()
            .map(|tensor| tensor.read().unwrap())
            .collect()
    };
    let expected = values(named_tensors(&model.predictor));
    assert_eq!(values(named_tensors(&loaded)), expected);
}
