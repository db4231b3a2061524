//! Golden checkpoints, their contents and changed copies of them.

use std::{fs, path::PathBuf};

use ijepa_model::{
    Checkpoint, CheckpointError,
    checkpoint::{EncoderRole, OpenOptions, StateDict},
};
use ijepa_testkit::device;

pub(crate) fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub(crate) fn official() -> Checkpoint {
    let path = golden().join("torch/tiny_ckpt.pth.tar");
    Checkpoint::open_with(path, OpenOptions { num_heads: Some(3) }).unwrap()
}

pub(crate) fn contents(dict: Option<&StateDict>) -> Vec<(String, Vec<usize>, Vec<u32>)> {
    let mut contents: Vec<_> = dict
        .unwrap()
        .iter()
        .map(|(name, tensor)| {
            let bits = tensor
                .read()
                .unwrap()
                .iter()
                .map(|value| value.to_bits())
                .collect();
            (name.to_owned(), tensor.shape().to_vec(), bits)
        })
        .collect();
    contents.sort();
    contents
}

pub(crate) fn mismatch(checkpoint: &Checkpoint) -> String {
    let error = checkpoint.encoder(EncoderRole::Context, &device());
    let CheckpointError::Mismatch { mismatch, .. } = error.unwrap_err() else {
        panic!("another error")
    };
    mismatch.lines().join("\n")
}

/// A folder of `transformers` with another text in one of its files.
pub(crate) fn hugging_face(file: &str, change: impl Fn(&str) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden().join("hf_tiny_saved")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join(file);
    let text = fs::read_to_string(&path).unwrap_or_default();
    fs::write(path, change(&text)).unwrap();
    folder
}
