//! Weights as other people's programs leave them: wrapped, alone, renamed, half fetched.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod folders;
mod grids;
mod official;
mod pickles;
mod preprocessing;
mod refused;
mod sizes;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use burn::tensor::Tensor;
use ijepa_model::{
    Checkpoint, CheckpointError, VisionTransformer, VisionTransformerConfig,
    checkpoint::{
        ModuleFile, NamedTensor, OpenOptions,
        torch::{Dtype, Item, TensorBytesError, write_torch},
    },
};
use ijepa_testkit::{device, noise_tensor, values};

fn config(image_size: [usize; 2]) -> VisionTransformerConfig {
    VisionTransformerConfig::new(image_size, 8, 32, 2, 2)
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
