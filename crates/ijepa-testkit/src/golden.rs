//! Numbers computed by the reference, as `<name>.json` beside `<name>.safetensors`.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::{Dtype, SafeTensors};

/// A golden case.
#[derive(Debug)]
pub struct Golden {
    /// Description and settings.
    pub json: serde_json::Value,
    bytes: Vec<u8>,
}

impl Golden {
    /// Loads a case from a folder.
    ///
    /// # Panics
    ///
    /// Panics if a file is missing or damaged: a golden test must not pass without its data.
    pub fn load(folder: impl AsRef<Path>, name: &str) -> Self {
        let path = folder.as_ref().join(name);
        let read = |extension: &str| {
            let path = path.with_extension(extension);
            std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let json = serde_json::from_slice(&read("json")).expect("golden JSON is valid");
        Self {
            json,
            bytes: read("safetensors"),
        }
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.bytes).expect("golden safetensors are valid")
    }

    /// Names of all tensors that begin with `prefix`, without it, sorted.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .file()
            .names()
            .into_iter()
            .filter_map(|name| name.strip_prefix(prefix).map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    /// Shape of a tensor.
    ///
    /// # Panics
    ///
    /// Panics if there is no such tensor.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.file()
            .tensor(name)
            .unwrap_or_else(|_| panic!("no golden {name}"))
            .shape()
            .to_vec()
    }

    /// Values of an f32 or f64 tensor as f64.
    ///
    /// # Panics
    ///
    /// Panics if there is no such tensor.
    pub fn f64s(&self, name: &str) -> Vec<f64> {
        let file = self.file();
        let tensor = file
            .tensor(name)
            .unwrap_or_else(|_| panic!("no golden {name}"));
        let bytes = tensor.data();
        match tensor.dtype() {
            Dtype::F32 => bytes
                .as_chunks()
                .0
                .iter()
                .map(|c| f64::from(f32::from_le_bytes(*c)))
                .collect(),
            Dtype::F64 => bytes
                .as_chunks()
                .0
                .iter()
                .map(|c| f64::from_le_bytes(*c))
                .collect(),
            other => panic!("golden {name} holds {other:?}"),
        }
    }

    /// Values of an f32 tensor.
    ///
    /// # Panics
    ///
    /// Panics if there is no such tensor.
    pub fn f32s(&self, name: &str) -> Vec<f32> {
        self.f64s(name)
            .into_iter()
            .map(|value| value as f32)
            .collect()
    }

    /// Values of an integer tensor.
    ///
    /// # Panics
    ///
    /// Panics if there is no such tensor.
    pub fn i64s(&self, name: &str) -> Vec<i64> {
        let file = self.file();
        let tensor = file
            .tensor(name)
            .unwrap_or_else(|_| panic!("no golden {name}"));
        assert_eq!(tensor.dtype(), Dtype::I64, "golden {name}");
        tensor
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|c| i64::from_le_bytes(*c))
            .collect()
    }

    /// An f32 tensor on a device.
    ///
    /// # Panics
    ///
    /// Panics if there is no such tensor or its rank is another.
    pub fn tensor<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D> {
        Tensor::from_data(TensorData::new(self.f32s(name), self.shape(name)), device)
    }

    /// An integer tensor on a device.
    ///
    /// # Panics
    ///
    /// Panics if there is no such tensor or its rank is another.
    pub fn indices<const D: usize>(&self, name: &str, device: &Device) -> Tensor<D, Int> {
        Tensor::from_data(TensorData::new(self.i64s(name), self.shape(name)), device)
    }
}
