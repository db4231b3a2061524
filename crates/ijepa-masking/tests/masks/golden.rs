//! Golden files of this crate.

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Names of the statistics files, without their prefix.
pub(crate) const STATISTICS: [&str; 7] = [
    "224_14_b128",
    "224_14_b32",
    "224_16_b128",
    "224_16_b32",
    "224_16_b32_overlap",
    "64_8_b32_minkeep8",
    "64_8_b32_relax_minkeep4",
];

pub(crate) struct Golden {
    pub(crate) json: Value,
    bytes: Vec<u8>,
}

impl Golden {
    pub(crate) fn load(name: &str) -> Self {
        let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        let json = std::fs::read(format!("{path}.json")).unwrap();
        let bytes = std::fs::read(format!("{path}.safetensors")).unwrap();
        Self {
            json: serde_json::from_slice(&json).unwrap(),
            bytes,
        }
    }

    /// Shape and values of an integer tensor.
    pub(crate) fn i64s(&self, key: &str) -> (Vec<usize>, Vec<i64>) {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(key).unwrap();
        let values = match tensor.dtype() {
            Dtype::I64 => {
                let value = |b: &[u8]| i64::from_le_bytes(b.try_into().unwrap());
                tensor.data().chunks_exact(8).map(value).collect()
            }
            Dtype::I32 => {
                let value = |b: &[u8]| i32::from_le_bytes(b.try_into().unwrap()).into();
                tensor.data().chunks_exact(4).map(value).collect()
            }
            other => panic!("{key} holds {other:?}"),
        };
        (tensor.shape().to_vec(), values)
    }

    /// Values of a double-precision tensor.
    pub(crate) fn f64s(&self, key: &str) -> Vec<f64> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(key).unwrap();
        assert_eq!(tensor.dtype(), Dtype::F64);
        let value = |b: &[u8]| f64::from_le_bytes(b.try_into().unwrap());
        tensor.data().chunks_exact(8).map(value).collect()
    }
}
