//! Weights as other people's programs leave them: wrapped, alone, renamed, half fetched.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{
    collections::HashMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Tensor;
use ijepa_model::{
    Checkpoint, CheckpointError, IJepaConfig, Initialization, PredictorConfig, VisionTransformer,
    VisionTransformerConfig,
    checkpoint::{
        EncoderRole, Format, ModuleFile, NamedTensor, OpenOptions, Resize, named_tensors,
        torch::{Dtype, Item, TensorBytesError, write_torch},
    },
};
use ijepa_testkit::{assert_close, device, noise_tensor, values};

fn config(image_size: [usize; 2]) -> VisionTransformerConfig {
    VisionTransformerConfig {
        image_size,
        patch_size: 8,
        in_chans: 3,
        embed_dim: 32,
        depth: 2,
        num_heads: 2,
        mlp_ratio: 4.0,
        drop_path: 0.0,
        layer_norm_eps: 1e-6,
    }
}

fn encoder() -> VisionTransformer {
    config([32, 32]).init(&device())
}

fn features(encoder: &VisionTransformer) -> Vec<f32> {
    let [height, width] = encoder.config().image_size;
    let images: Tensor<4> = noise_tensor(7, [2, 3, height, width], &device());
    values(encoder.forward_features(images))
}

/// Tensors under other names, written by number.
#[derive(Default)]
struct Pickle {
    tensors: Vec<NamedTensor>,
}

impl Pickle {
    fn dict(&mut self, tensors: Vec<NamedTensor>, rename: impl Fn(&str) -> String) -> Item {
        let entries = tensors.into_iter().map(|tensor| {
            let name = rename(&tensor.name);
            let shape = tensor.shape.clone();
            self.tensors.push(tensor);
            let (dtype, storage) = (Dtype::Float32, self.tensors.len() - 1);
            let item = Item::Tensor {
                dtype,
                shape,
                storage,
            };
            (name.into(), item)
        });
        Item::OrderedDict(entries.collect())
    }

    fn write(&self, path: &Path, root: &Item) {
        let bytes = |index: usize| -> Result<Vec<u8>, TensorBytesError> {
            let values = self.tensors[index].read()?;
            Ok(values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect())
        };
        write_torch(path, root, bytes).unwrap();
    }
}

fn under(key: &str, item: Item) -> Item {
    Item::Dict(vec![(key.into(), item)])
}

const TWO_HEADS: OpenOptions = OpenOptions { num_heads: Some(2) };

fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::open_with(path, TWO_HEADS)
}

/// The file opens and its encoder computes what `encoder` does.
fn assert_same(path: &Path, encoder: &VisionTransformer, what: &str) {
    let opened = open(path).unwrap_or_else(|error| panic!("{what}: {error}"));
    let loaded = opened.feature_encoder(&device()).unwrap();
    assert_eq!(features(&loaded), features(encoder), "{what}");
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = entries.map(|entry| name(entry).to_string_lossy().into_owned());
        names.collect()
    }
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

/// A folder with weights in safetensors and these other files.
fn folder_of(encoder: &VisionTransformer, others: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    let path = folder.at("model.safetensors");
    ModuleFile::save(&path, encoder, HashMap::new()).unwrap();
    for (name, text) in others {
        fs::write(folder.at(name), text).unwrap();
    }
    folder
}

const TIMM: &str = r#"{"architecture": "vit_huge_patch14_gap_224", "num_features": 32,
    "model_args": {"num_heads": 2}, "pretrained_cfg": {"crop_pct": 0.875, "crop_mode": "center",
    "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}"#;

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

#[test]
fn a_native_folder_may_hold_a_target_encoder_alone() {
    let (folder, encoder) = (Folder::new(), encoder());
    let path = folder.at("target_encoder.safetensors");
    ModuleFile::save(&path, &encoder, HashMap::new()).unwrap();
    assert_same(folder.0.path(), &encoder, "lone target");
}

#[test]
fn another_interpolation_than_the_weights_ask_for_is_said() {
    let warnings = |others: &[(&str, &str)]| {
        let folder = folder_of(&encoder(), others);
        open(folder.0.path()).unwrap().warnings
    };
    let bilinear = r#"{"size": {"shortest_edge": 40}, "crop_size": 32, "resample": 2}"#;
    let [warning] = &warnings(&[("preprocessor_config.json", bilinear)])[..] else {
        panic!("one warning")
    };
    let expected = "the weights ask for images resized by bilinear interpolation; they are \
                    resized by bicubic interpolation";
    assert_eq!(warning, expected);
    let bicubic = bilinear.replace(": 2", ": 3");
    assert!(warnings(&[("preprocessor_config.json", &bicubic)]).is_empty());
    let squash = TIMM.replace("center\",", "squash\", \"interpolation\": \"bicubic\",");
    assert_eq!(warnings(&[("config.json", &squash)]).len(), 1);
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

#[test]
fn an_image_size_beyond_reason_is_refused() {
    use ijepa_model::PositionResampling::{Bicubic, SinCos};
    for resampling in [Bicubic, SinCos] {
        let error = encoder().with_image_size([16_000_000; 2], resampling);
        assert!(error.unwrap_err().to_string().contains("must be at most"));
    }
}

#[test]
fn a_preprocessor_says_how_images_are_resized() {
    let resize = |text: &str| {
        let others = [("config.json", TIMM), ("preprocessor_config.json", text)];
        let config = r#"{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 128, "image_size": 32, "patch_size": 8, "layer_norm_eps": 1e-6,
            "hidden_act": "gelu"}"#;
        let folder = folder_of(&encoder(), &others);
        fs::write(folder.at("config.json"), config).unwrap();
        Checkpoint::open(folder.0.path()).map(|opened| opened.resize)
    };
    let squash = r#"{"do_resize": true, "size": {"height": 32, "width": 32}, "resample": 2}"#;
    let crop = r#"{"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}"#;
    assert_eq!(resize("{}").unwrap(), None);
    assert_eq!(resize(squash).unwrap(), Some(Resize::Squash));
    let margin = 256.0 / 224.0;
    assert_eq!(resize(crop).unwrap(), Some(Resize::Crop { margin }));
    assert_eq!(
        resize(r#"{"do_resize": false}"#).unwrap(),
        Some(Resize::None)
    );
    let zero = r#"{"image_mean": [0, 0, 0], "image_std": [0.5, 0, 0.5]}"#;
    let error = resize(zero).unwrap_err();
    assert!(error.to_string().contains("image_std"), "{error}");
    assert!(error.source().is_none());
}

#[test]
#[should_panic(expected = "images and patches of the masks and of the features")]
fn masks_of_other_images_are_refused() {
    let masks = ijepa_masking::PatchIndices::new(2, vec![0, 1, 2, 3]);
    let kept = ijepa_model::TokenIndices::new(&[masks], 16, &device());
    let images = Tensor::zeros([4, 3, 32, 32], &device());
    encoder().forward_masked(images, &kept, None);
}

#[test]
#[should_panic(expected = "patches of the masks and of the table")]
fn masks_of_another_grid_are_refused() {
    let masks = ijepa_masking::PatchIndices::new(2, vec![0, 1, 2, 3]);
    let kept = ijepa_model::TokenIndices::new(&[masks], 9, &device());
    let images = Tensor::zeros([2, 3, 32, 32], &device());
    encoder().forward_masked(images, &kept, None);
}

#[test]
#[should_panic(expected = "a mask keeps patch 16 of images with 16 patches")]
fn masks_beyond_the_grid_are_refused() {
    let masks = ijepa_masking::PatchIndices::new(2, vec![0, 16]);
    ijepa_model::TokenIndices::new(&[masks], 16, &device());
}

#[test]
fn positions_that_are_computed_late_are_the_same() {
    let encoder = encoder();
    let expected = ijepa_model::sin_cos_positions(encoder.grid(), 32);
    let expected: Vec<f32> = expected.try_into_vec().unwrap();
    assert_close(
        "positions",
        &values(encoder.pos_embed.val()),
        &expected,
        0.0,
    );
}
