//! Checkpoints of every kind and features, of a network of a few hundred numbers.

use std::{error::Error, fs, io::Read, path::PathBuf};

use burn::tensor::{Device, Tensor};
use ijepa_data::{DataSpec, Reading};
use ijepa_eval::{ExtractConfig, embed};
use ijepa_model::{
    Checkpoint, IJepaConfig, Initialization, PredictorConfig, VisionTransformerConfig,
    checkpoint::{
        EncoderRole, Format, NamedTensor, Parts, Snapshot, TrainingState, named_tensors,
        native_files,
    },
};
use ijepa_viz::rcdm::{ConditionKind, Decoder, DecoderConfig, Standardization, UnetConfig};
use zip::ZipArchive;

use crate::{Corpus, header, joined};

const TIMM: &[u8] = br#"{"architecture": "vit", "model_args": {"num_heads": 1}, "pretrained_cfg": {
"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 0.9, "crop_mode": "center",
"interpolation": "bicubic"}}"#;
const SHARDS: &[u8] =
    br#"{"weight_map": {"embeddings.patch_embeddings.weight": "model-1.safetensors"}}"#;
const BARE: &[u8] = b"{\"format_version\": 1}";
const CARD: &[u8] = b"---\nlicense: mit\ntags:\n- vision\n---\n# A model\n";

pub(crate) fn seeds(corpus: &Corpus) -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let native = native(corpus, &device)?;
    let state = fs::read(native.join("state.json"))?;
    let names = ["encoder", "predictor", "optimizer"];
    let headers = names.map(|name| header(&native.join(format!("{name}.safetensors"))));
    let [encoder, predictor, optimizer] = headers;
    let encoder = encoder?;
    corpus.add(
        "native",
        "all",
        joined(&[&state, &encoder, &predictor?, &optimizer?]),
    )?;
    corpus.add("native", "encoder", joined(&[BARE, &encoder]))?;
    corpus.add("safetensors", "header", &encoder)?;
    let file = fs::read(native.join("encoder.safetensors"))?;
    corpus.add("safetensors", "file", file)?;

    let official = corpus.scratch("a.pth.tar");
    Checkpoint::open(&native)?.save(&official, Format::Official, &device)?;
    corpus.add("torch_file", "official", fs::read(&official)?)?;
    let mut pickle = Vec::new();
    let mut archive = ZipArchive::new(fs::File::open(&official)?)?;
    archive
        .by_name("a.pth/data.pkl")?
        .read_to_end(&mut pickle)?;
    corpus.add("torch_pickle", "official", joined(&[&pickle, &[0; 64]]))?;

    let folder = corpus.scratch("hf");
    let role = Format::HuggingFace(EncoderRole::Target);
    Checkpoint::open(&native)?.save(&folder, role, &device)?;
    let config = fs::read(folder.join("config.json"))?;
    let preprocessor = fs::read(folder.join("preprocessor_config.json")).unwrap_or_default();
    let weights = header(&folder.join("model.safetensors"))?;
    let parts: [&[u8]; 4] = [&config, &preprocessor, CARD, &weights];
    corpus.add("folder", "transformers", joined(&parts))?;
    corpus.add("folder", "timm", joined(&[TIMM, b"", CARD, &encoder]))?;
    corpus.add(
        "folder",
        "shards",
        joined(&[&config, b"", b"", &weights, SHARDS]),
    )?;
    corpus.add("decoder", "tiny", decoder(corpus, &device)?)?;
    features(corpus, &device)
}

/// The header of a decoder of vectors of one value.
fn decoder(corpus: &Corpus, device: &Device) -> Result<Vec<u8>, Box<dyn Error>> {
    let sizes = UnetConfig {
        image_size: 4,
        channels: 4,
        multipliers: vec![1],
        attention: Vec::new(),
        groups: 2,
        ..UnetConfig::px32(1)
    };
    let unet = sizes.init(0, device);
    let vectors = Tensor::<2>::from_data([[1.0], [2.0]], device);
    let config = DecoderConfig::new(sizes, ConditionKind::File, Standardization::of(vectors));
    let path = corpus.scratch(Decoder::FILE);
    Decoder::new(unet, config).file().write(&path)?;
    header(&path)
}

/// A checkpoint of a run, in our own form.
fn native(corpus: &Corpus, device: &Device) -> Result<PathBuf, Box<dyn Error>> {
    let encoder = VisionTransformerConfig {
        image_size: [4, 4],
        patch_size: 2,
        in_chans: 3,
        embed_dim: 4,
        depth: 1,
        num_heads: 1,
        mlp_ratio: 1.0,
        drop_path: 0.0,
        layer_norm_eps: 1e-6,
    };
    let predictor = PredictorConfig::new(4, 1);
    let network = named_tensors(&encoder.init(device));
    let predicts = predictor.init(&encoder, Initialization::default(), device);
    let moment = |tensor: &NamedTensor, suffix: &str| {
        let mut moment = tensor.clone();
        moment.name = format!("encoder.{}.{suffix}", tensor.name);
        moment
    };
    let suffixes = ["exp_avg", "exp_avg_sq"];
    let moments = network
        .iter()
        .flat_map(|it| suffixes.map(|suffix| moment(it, suffix)));
    let parts = Parts {
        moments: moments.collect(),
        encoder: network.clone(),
        target_encoder: network,
        predictor: named_tensors(&predicts),
        moment_step: 3,
    };
    let state = TrainingState {
        step: Some(3),
        seed: Some(0),
        loss: Some(0.5),
        model: Some(IJepaConfig {
            encoder: encoder.clone(),
            predictor,
        }),
        ..TrainingState::default()
    };
    let folder = corpus.scratch("native");
    fs::create_dir_all(&folder)?;
    Snapshot::take(native_files(&encoder, parts), state)?.write(&folder)?;
    Ok(folder)
}

fn features(corpus: &Corpus, device: &Device) -> Result<(), Box<dyn Error>> {
    let encoder = Checkpoint::open(corpus.scratch("native"))?.feature_encoder(device)?;
    let source = "scenes:n=3,size=8".parse::<DataSpec>()?.open()?;
    let config = ExtractConfig {
        workers: 0,
        reading: Reading::default(),
        ..ExtractConfig::default()
    };
    for ending in ["safetensors", "npy", "parquet"] {
        let path = corpus.scratch(&format!("a.{ending}"));
        let encoder = (&encoder, "target");
        embed(encoder, source.as_ref(), &config, device, &path, |_| ())?;
    }
    let read = |name: &str| fs::read(corpus.scratch(name));
    let values = [&b"n"[..], &read("a.npy")?].concat();
    let npy = joined(&[&values, &read("a.labels.npy")?, &read("a.meta.json")?]);
    corpus.add("features", "npy", npy)?;
    corpus.add(
        "features",
        "parquet",
        [&b"p"[..], &read("a.parquet")?].concat(),
    )?;
    corpus.add(
        "features",
        "safetensors",
        [&b"s"[..], &read("a.safetensors")?].concat(),
    )?;
    let header = header(&corpus.scratch("a.safetensors"))?;
    corpus.add("features", "header", [&b"h"[..], &header].concat())
}
