//! The objects of a pickle as plain data.

use std::sync::Arc;

use super::arena::NodeId;
use super::dtype::Dtype;

/// A typed run of elements in the file that one or more tensors view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageMeta {
    /// Element type.
    pub dtype: Dtype,
    /// Name of the entry under `<stem>/data/`.
    pub key: Arc<str>,
    /// Device that held it when it was saved, such as `cuda:0`.
    pub location: Arc<str>,
    /// Number of elements.
    pub numel: usize,
}

/// A tensor as the pickle describes it: a strided view of a storage.
///
/// Nothing here has been checked against the file;
/// [`TorchArchive::read_tensor`](super::TorchArchive::read_tensor) does that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorMeta {
    /// Element type.
    pub dtype: Dtype,
    /// Size of every axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// Distance in elements between neighbours on every axis.
    pub stride: Vec<usize>,
    /// Name of the storage entry under `<stem>/data/`.
    pub storage_key: Arc<str>,
    /// First element in the storage.
    pub storage_offset: usize,
    /// Number of elements of the storage.
    pub storage_numel: usize,
}

impl TensorMeta {
    /// Number of elements, or `None` where it does not fit `usize`.
    pub fn numel(&self) -> Option<usize> {
        // A zero anywhere makes the tensor empty, however large the other axes are.
        if self.shape.contains(&0) {
            return Some(0);
        }
        self.shape
            .iter()
            .try_fold(1usize, |product, &size| product.checked_mul(size))
    }
}

/// One object of a pickle.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// An integer that does not fit 64 bits; its value is dropped.
    BigInt,
    /// A float.
    Float(f64),
    /// A text.
    Str(Arc<str>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<NodeId>),
    /// A tuple.
    Tuple(Vec<NodeId>),
    /// A `dict` or `OrderedDict` in insertion order.
    Dict(Vec<(NodeId, NodeId)>),
    /// A storage that is not yet viewed by a tensor.
    Storage(Box<StorageMeta>),
    /// A tensor or a parameter.
    Tensor(Box<TensorMeta>),
    /// Any other class, function or object made by one, by the name in the pickle.
    Opaque {
        /// Python module.
        module: Arc<str>,
        /// Name in the module.
        name: Arc<str>,
    },
}

impl Value {
    /// What this is, in words for error messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::BigInt => "an int of more than 64 bits",
            Self::Float(_) => "a float",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dict",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Opaque { .. } => "an unknown object",
        }
    }
}
