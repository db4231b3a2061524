//! Numbers computed by the reference, as `<name>.json` beside `<name>.safetensors`.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use safetensors::{
    Dtype, SafeTensors,
    tensor::{Metadata, TensorInfo},
};

/// A golden case.
#[derive(Debug)]
pub struct Golden {
    /// Description and settings.
    pub json: serde_json::Value,
    tensors: Metadata,
    /// What their offsets count from.
    values: Vec<u8>,
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
        let mut values = read("safetensors");
        let (header, tensors) =
            SafeTensors::read_metadata(&values).expect("golden safetensors are valid");
        values.drain(..size_of::<u64>() + header);
        Self {
            json,
            tensors,
            values,
        }
    }

    fn info(&self, name: &str) -> &TensorInfo {
        let info = self.tensors.info(name);
        info.unwrap_or_else(|| panic!("no golden {name}"))
    }

    fn bytes(&self, name: &str) -> &[u8] {
        let (begin, end) = self.info(name).data_offsets;
        &self.values[begin..end]
    }

    /// Names of all tensors that begin with `prefix`, without it, sorted.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let mut names: Vec<String> = self
            .tensors
            .offset_keys()
            .iter()
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
        self.info(name).shape.clone()
    }

    /// Values of an f32 or f64 tensor as f64.
    ///
    /// # Panics
    ///
    /// Panics if there is no such tensor.
    pub fn f64s(&self, name: &str) -> Vec<f64> {
        let bytes = self.bytes(name);
        match self.info(name).dtype {
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
        assert_eq!(self.info(name).dtype, Dtype::I64, "golden {name}");
        self.bytes(name)
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
