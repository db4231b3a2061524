//! The official format and the native one.

use std::path::Path;

use ijepa_model::{
    Checkpoint,
    checkpoint::{
        CheckpointKind, EncoderRole, Format, NamedTensor, OpenOptions, named_tensors,
        torch::TorchArchive,
    },
};
use ijepa_testkit::device;

use crate::support::{contents, golden, official};

fn assert_same(a: &Checkpoint, b: &Checkpoint) {
    let networks = |checkpoint: &Checkpoint| {
        [
            &checkpoint.context_encoder,
            &checkpoint.target_encoder,
            &checkpoint.predictor,
        ]
        .map(|dict| contents(dict.as_ref()))
    };
    assert_eq!(networks(a), networks(b));
    let moments = |checkpoint: &Checkpoint| {
        let moments = checkpoint.moments.as_ref().unwrap();
        (moments.step, contents(Some(&moments.tensors)))
    };
    assert_eq!(moments(a), moments(b));
    assert_eq!(a.config(), b.config());
    assert_eq!((a.state.epoch, a.state.lr), (b.state.epoch, b.state.lr));
}

#[test]
fn an_official_file_holds_everything() {
    let checkpoint = official();
    assert_eq!(checkpoint.kind, CheckpointKind::Official);
    assert_eq!(checkpoint.encoder_config.image_size, [32, 32]);
    assert_eq!(checkpoint.predictor_config.as_ref().unwrap().dim, 24);
    assert_eq!(checkpoint.state.epoch, 2);
    let moments = checkpoint.moments.as_ref().unwrap();
    // 73 parameters, two of them fixed positions, two moments each.
    assert_eq!((moments.step, moments.tensors.len()), (10, 142));
    // Numbered in the order of groups: 14 opens the predictor's decayed group.
    let shape = |name: &str| moments.tensors.get(name).unwrap().shape().to_vec();
    assert_eq!(shape("predictor.mask_token.exp_avg"), [1, 1, 24]);
    assert_eq!(
        shape("encoder.blocks.2.mlp.fc2.weight.exp_avg_sq"),
        [48, 192]
    );
    assert!(moments.tensors.get("encoder.pos_embed.exp_avg").is_none());

    let path = golden().join("torch/tiny_ckpt_step0_with_scaler.pth.tar");
    let first = Checkpoint::open_with(path, OpenOptions { num_heads: Some(3) }).unwrap();
    assert!(first.moments.is_none());
    assert_eq!(first.state.scaler.unwrap().scale, 65536.0);
}

#[test]
fn official_and_native_turn_into_each_other_without_loss() {
    let folder = tempfile::tempdir().unwrap();
    let (native, back) = (
        folder.path().join("native"),
        folder.path().join("back.pth.tar"),
    );
    official().save(&native, Format::Native, &device()).unwrap();
    let opened = Checkpoint::open(&native).unwrap();
    assert_eq!(opened.kind, CheckpointKind::Native);
    assert_same(&opened, &official());
    opened.save(&back, Format::Official, &device()).unwrap();
    let reread = Checkpoint::open_with(&back, OpenOptions { num_heads: Some(3) }).unwrap();
    assert_same(&reread, &official());
    assert_eq!(
        layout(&back),
        layout(&golden().join("torch/tiny_ckpt.pth.tar"))
    );
    assert!(
        official().save(&native, Format::Native, &device()).is_err(),
        "a folder is never overwritten"
    );
}

/// Number of a parameter, its shape and the bytes of its first moment.
type NumberedMoment = (i64, Vec<usize>, Vec<u8>);

/// Names in order, and which parameter every number of the optimizer belongs to.
fn layout(path: &Path) -> (Vec<String>, Vec<NumberedMoment>) {
    let archive = TorchArchive::open(path).unwrap();
    let root = archive.root();
    let names = ["encoder", "predictor", "target_encoder"]
        .into_iter()
        .flat_map(|network| root.get(network).unwrap().entries())
        .map(|(name, _)| name.as_str().unwrap().to_owned())
        .collect();
    let state = root.get("opt").unwrap().get("state").unwrap();
    let moments = state.entries().map(|(id, entry)| {
        let moment = entry.get("exp_avg").unwrap().as_tensor().unwrap();
        let bytes = archive.read_tensor(moment).unwrap();
        (id.as_i64().unwrap(), moment.shape.clone(), bytes)
    });
    (names, moments.collect())
}

#[test]
fn loading_sets_every_value() {
    let encoder = official().encoder(EncoderRole::Target, &device()).unwrap();
    let values = |tensors: Vec<NamedTensor>| -> Vec<(String, Vec<u32>)> {
        let bits = |t: &NamedTensor| t.read().unwrap().iter().map(|v| v.to_bits()).collect();
        tensors
            .iter()
            .map(|tensor| (tensor.name.clone(), bits(tensor)))
            .collect()
    };
    let mut loaded = values(named_tensors(&encoder));
    loaded.sort();
    let file = contents(official().target_encoder.as_ref());
    let file: Vec<_> = file
        .into_iter()
        .map(|(name, _, bits)| (name, bits))
        .collect();
    assert_eq!(loaded, file);
}
