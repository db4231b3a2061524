//! An open checkpoint: its object tree, and its tensors on demand.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::arena::{Arena, Node};
use super::container::{Container, Entry};
use super::error::{TorchError, TorchErrorKind};
use super::strided::View;
use super::unpickle::unpickle;
use super::value::TensorMeta;

/// Largest `data.pkl` that is read; a checkpoint of thousands of tensors has a few megabytes.
const MAX_PICKLE: u64 = 64 << 20;
/// Largest `byteorder` entry that is read; it holds one word.
const MAX_BYTE_ORDER: u64 = 64;

/// A PyTorch checkpoint opened for reading.
///
/// Opening reads the zip directory and `data.pkl`, but no tensor.
///
/// ```no_run
/// # use ijepa_model::checkpoint::torch::TorchArchive;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let archive = TorchArchive::open("IN1K-vit.h.14-300e.pth.tar")?;
/// let encoder = archive.root().get("encoder").ok_or("no encoder")?;
/// for (name, value) in encoder.entries() {
///     if let (Some(name), Some(tensor)) = (name.as_str(), value.as_tensor()) {
///         let bytes = archive.read_tensor(tensor)?;
///         println!("{name}: {:?}, {} bytes", tensor.shape, bytes.len());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TorchArchive {
    path: PathBuf,
    container: Container,
    stem: String,
    arena: Arena,
}

impl TorchArchive {
    /// Opens a checkpoint.
    ///
    /// # Errors
    ///
    /// Fails if the file is not a zip file that torch could have written, or if its pickle holds
    /// anything but plain data and names.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TorchError> {
        let path = path.as_ref();
        Self::open_at(path).map_err(|kind| TorchError::new(path, kind))
    }

    fn open_at(path: &Path) -> Result<Self, TorchErrorKind> {
        let file = File::open(path).map_err(|source| TorchErrorKind::Open { source })?;
        let container = Container::open(file)?;
        let stem = container.stem()?;

        let byte_order = format!("{stem}/byteorder");
        if let Some(entry) = container.entry(&byte_order) {
            check_byte_order(&container, entry, byte_order)?;
        }

        let pickle = format!("{stem}/data.pkl");
        let entry = container.entry(&pickle).ok_or(TorchErrorKind::NoPickle)?;
        if entry.size > MAX_PICKLE {
            return Err(TorchErrorKind::PickleSize {
                size: entry.size,
                limit: MAX_PICKLE,
            });
        }
        let bytes = read_whole(&container, entry, pickle)?;
        let arena = unpickle(&bytes).map_err(|source| TorchErrorKind::Pickle { source })?;
        Ok(Self {
            path: path.to_path_buf(),
            container,
            stem,
            arena,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The saved object.
    pub fn root(&self) -> Node<'_> {
        self.arena.root()
    }

    /// Reads a tensor as little-endian elements in row-major order.
    ///
    /// Only the part of the file that the tensor views is read.
    ///
    /// # Errors
    ///
    /// Fails if the storage is missing or has another size than declared, if the tensor reaches
    /// outside it or repeats its elements, if the bytes cannot be read, or if the tensor is a
    /// whole entry and the checksum of that entry is wrong.
    pub fn read_tensor(&self, tensor: &TensorMeta) -> Result<Vec<u8>, TorchError> {
        self.tensor_bytes(tensor)
            .map_err(|kind| TorchError::new(&self.path, kind))
    }

    fn tensor_bytes(&self, tensor: &TensorMeta) -> Result<Vec<u8>, TorchErrorKind> {
        let name = format!("{}/data/{}", self.stem, tensor.storage_key);
        let entry = self
            .container
            .entry(&name)
            .ok_or_else(|| TorchErrorKind::MissingStorage {
                key: tensor.storage_key.to_string(),
            })?;
        let view = View::new(tensor, entry.size)?;
        if view.is_whole(entry.size) {
            return read_whole(&self.container, entry, name);
        }
        self.container
            .read_part(entry, |storage| view.read(storage))
            .map_err(|source| TorchErrorKind::ReadEntry {
                entry: name,
                source,
            })
    }
}

fn read_whole(
    container: &Container,
    entry: Entry,
    name: String,
) -> Result<Vec<u8>, TorchErrorKind> {
    container
        .read_whole(entry)
        .map_err(|source| TorchErrorKind::ReadEntry {
            entry: name,
            source,
        })
}

/// Files from before the entry existed are little-endian like all machines that wrote them.
fn check_byte_order(
    container: &Container,
    entry: Entry,
    name: String,
) -> Result<(), TorchErrorKind> {
    let found = match entry.size {
        0..=MAX_BYTE_ORDER => read_whole(container, entry, name)?,
        _ => Vec::new(),
    };
    match &*found {
        b"little" => Ok(()),
        _ => Err(TorchErrorKind::ByteOrder {
            found: String::from_utf8_lossy(&found).into_owned(),
        }),
    }
}
