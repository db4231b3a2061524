//! PyTorch checkpoints (`.pth.tar`, `.pt`) without PyTorch.
//!
//! Since version 1.6 `torch.save` writes a zip file: `<stem>/data.pkl` is a pickle of the saved
//! object in which every tensor is a small record, and `<stem>/data/<key>` holds the bytes of one
//! storage.
//!
//! A pickle is a program for a stack machine that may import and call anything.
//! The reader here runs only the opcodes that build plain data.
//! It recognises the few torch globals that describe tensors; every other global becomes an inert
//! [`Value::Opaque`], so no file can run code.
//! Lengths are checked against the bytes that are really there before anything is allocated.
//!
//! [`TorchArchive`] reads a file and hands out tensors one at a time; [`write_torch`] writes a file
//! that `torch.load(weights_only=True)` accepts.

mod archive;
mod arena;
mod container;
mod cursor;
mod dtype;
mod error;
mod globals;
mod make;
mod opcode;
mod pickle;
mod strided;
mod unpickle;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use archive::TorchArchive;
pub use arena::{Arena, Node, NodeId};
pub use dtype::Dtype;
pub use error::{PickleError, PickleErrorKind, TorchError, TorchErrorKind};
pub use pickle::Item;
pub use value::{StorageMeta, TensorMeta, Value};
pub use write::{TensorBytesError, write_torch};
