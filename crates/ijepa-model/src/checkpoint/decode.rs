//! From stored bytes to f32 values and back.

use std::borrow::Cow;

/// Float types that weights are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FloatType {
    F64,
    F32,
    F16,
    Bf16,
}

impl FloatType {
    /// Little-endian `bytes` as f32.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => values(bytes, f32::from_le_bytes),
            Self::F64 => values(bytes, |b| f64::from_le_bytes(b) as f32),
            Self::F16 => values(bytes, |b| half::f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => values(bytes, |b| half::bf16::from_le_bytes(b).to_f32()),
        }
    }
}

fn values<const SIZE: usize>(bytes: &[u8], value: impl Fn([u8; SIZE]) -> f32) -> Vec<f32> {
    bytes
        .as_chunks::<SIZE>()
        .0
        .iter()
        .map(|chunk| value(*chunk))
        .collect()
}

/// `values` as little-endian bytes.
pub(crate) fn encode_f32(values: &[f32]) -> Vec<u8> {
    f32_bytes(values).into_owned()
}

/// `values` as little-endian bytes, which on most machines are those that they have in memory.
pub fn f32_bytes(values: &[f32]) -> Cow<'_, [u8]> {
    match cfg!(target_endian = "little") {
        true => Cow::Borrowed(bytemuck::cast_slice(values)),
        false => Cow::Owned(values.iter().flat_map(|it| it.to_le_bytes()).collect()),
    }
}
