//! Encoders as ONNX files.
//!
//! Weights are copied into the file one at a time: the messages around them are encoded without
//! them, and their bytes follow the header of the message that they belong to.

mod graph;
mod proto;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use prost::{Message, encode_length_delimiter};

use super::{NamedTensor, Resize, decode::encode_f32, error::CheckpointError, params::transposed};
use crate::{
    Normalization, VisionTransformerConfig,
    files::{cannot, write_bytes, write_file},
};
use proto::{DataLocation, ElementType, Entry, Model, OperatorSet, Tensor};

/// The first version of the operators with layer norm, and the file format that came with it.
const OPERATORS: i64 = 17;
const IR_VERSION: i64 = 8;
/// Most bytes of weights in the file itself; messages end at 2 GiB.
const MOST_INSIDE: usize = 2_000_000_000;

/// Fields of the messages that are written around weights.
const GRAPH: u8 = 7;
const INITIALIZER: u8 = 5;
const RAW_DATA: u8 = 9;

/// An encoder and what a user of it must know.
pub(super) struct OnnxEncoder<'a> {
    pub(super) config: &'a VisionTransformerConfig,
    pub(super) tensors: Vec<NamedTensor>,
    pub(super) normalization: Normalization,
    pub(super) resize: Resize,
    pub(super) licence: Option<String>,
}

impl OnnxEncoder<'_> {
    /// Writes the encoder to `path`; weights of more than 2 GB lie in `path.data` beside it.
    pub(super) fn write(self, path: &Path) -> Result<(), CheckpointError> {
        self.write_with(path, MOST_INSIDE)
    }

    fn write_with(self, path: &Path, most_inside: usize) -> Result<(), CheckpointError> {
        let mut model = Model {
            ir_version: Some(IR_VERSION),
            producer_name: Some("ijepa".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            graph: None,
            opset_import: vec![OperatorSet {
                domain: Some(String::new()),
                version: Some(OPERATORS),
            }],
            metadata_props: self.metadata(),
        };
        let mut graph = graph::graph(self.config);
        let weights: Vec<Weight> = self.tensors.into_iter().map(Weight::new).collect();
        if weights.iter().map(Weight::len).sum::<usize>() <= most_inside {
            let graph = graph.encode_to_vec();
            return write_file(path, |file| {
                write_around(file, path, &model.encode_to_vec(), &graph, &weights)
            });
        }
        graph.initializer.extend(write_beside(path, &weights)?);
        model.graph = Some(graph);
        write_bytes(path, model.encode_to_vec()).map_err(|error| {
            // Of no use alone, and in the way of another try.
            let _ = fs::remove_file(data_path(path));
            error.into()
        })
    }

    fn metadata(&self) -> Vec<Entry> {
        let json = |value: serde_json::Result<String>| value.expect("it is plain data");
        let mut entries = vec![
            Entry::new(
                "image_size",
                json(serde_json::to_string(&self.config.image_size)),
            ),
            Entry::new("patch_size", self.config.patch_size.to_string()),
            Entry::new("preprocessing", json(serde_json::to_string(&self.resize))),
        ];
        if self.normalization.fits(self.config.in_chans) {
            let Normalization { mean, std } = self.normalization;
            for (key, numbers) in [("mean", mean), ("std", std)] {
                entries.push(Entry::new(key, json(serde_json::to_string(&numbers))));
            }
        }
        let licence = self.licence.as_ref();
        entries.extend(licence.map(|licence| Entry::new("license", licence)));
        entries
    }
}

/// An initializer whose values are read when they are written.
struct Weight {
    tensor: NamedTensor,
    /// The message without its values.
    header: Tensor,
}

impl Weight {
    fn new(tensor: NamedTensor) -> Self {
        let mut dims: Vec<i64> = tensor.shape.iter().map(|&size| size as i64).collect();
        if dims.len() == 2 {
            dims.reverse();
        }
        let header = Tensor {
            dims,
            data_type: Some(ElementType::Float.into()),
            name: Some(tensor.name.clone()),
            ..Tensor::default()
        };
        Self { tensor, header }
    }

    /// Bytes of its values.
    fn len(&self) -> usize {
        self.tensor.shape.iter().product::<usize>() * size_of::<f32>()
    }

    /// Its values as they stand in a file: `[inputs, outputs]` of linear layers.
    fn bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        let values = self.tensor.read()?;
        Ok(match self.tensor.shape[..] {
            [rows, cols] => encode_f32(&transposed(&values, rows, cols)),
            _ => encode_f32(&values),
        })
    }
}

/// Key and length of a field that has `len` bytes.
fn field(number: u8, len: usize) -> Vec<u8> {
    const LENGTH_DELIMITED: u8 = 2;
    let mut key = vec![number << 3 | LENGTH_DELIMITED];
    encode_length_delimiter(len, &mut key).expect("a vector grows");
    key
}

/// Writes `model`, whose `graph` gets `weights` as further initializers.
fn write_around(
    file: &mut impl Write,
    path: &Path,
    model: &[u8],
    graph: &[u8],
    weights: &[Weight],
) -> Result<(), CheckpointError> {
    let start = |weight: &Weight| {
        let mut message = weight.header.encode_to_vec();
        message.extend(field(RAW_DATA, weight.len()));
        let whole = message.len() + weight.len();
        [field(INITIALIZER, whole), message].concat()
    };
    let starts: Vec<Vec<u8>> = weights.iter().map(start).collect();
    let starts_len: usize = starts.iter().map(Vec::len).sum();
    let values_len: usize = weights.iter().map(Weight::len).sum();
    let graph_key = field(GRAPH, graph.len() + starts_len + values_len);
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(cannot("write", path));
    for bytes in [model, &graph_key, graph] {
        put(bytes)?;
    }
    for (start, weight) in starts.iter().zip(weights) {
        put(start)?;
        put(&weight.bytes()?)?;
    }
    Ok(())
}

/// Writes the values of `weights` into a file of their own; the messages say where they lie.
fn write_beside(path: &Path, weights: &[Weight]) -> Result<Vec<Tensor>, CheckpointError> {
    let beside = data_path(path);
    if beside.exists() {
        let taken = io::ErrorKind::AlreadyExists.into();
        return Err(cannot("create", &beside)(taken).into());
    }
    let location = beside.file_name().unwrap_or_default().to_string_lossy();
    let mut offset = 0;
    let mut messages = Vec::with_capacity(weights.len());
    write_file(&beside, |file| -> Result<(), CheckpointError> {
        for weight in weights {
            let bytes = weight.bytes()?;
            file.write_all(&bytes).map_err(cannot("write", &beside))?;
            messages.push(Tensor {
                external_data: vec![
                    Entry::new("location", location.clone()),
                    Entry::new("offset", offset.to_string()),
                    Entry::new("length", bytes.len().to_string()),
                ],
                data_location: Some(DataLocation::External.into()),
                ..weight.header.clone()
            });
            offset += bytes.len();
        }
        Ok(())
    })?;
    Ok(messages)
}

/// Where the weights of a large encoder lie: `NAME.data` beside it.
fn data_path(path: &Path) -> PathBuf {
    let mut beside = OsString::from(path);
    beside.push(".data");
    beside.into()
}
