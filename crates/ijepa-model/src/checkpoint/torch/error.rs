//! What can be wrong with a torch file.

use std::fmt;
use std::path::{Path, PathBuf};

use super::write::TensorBytesError;

/// A torch file that cannot be read or written.
///
/// The message is the path followed by the message of [`TorchErrorKind`].
#[derive(Debug)]
pub struct TorchError {
    path: PathBuf,
    kind: Box<TorchErrorKind>,
}

impl TorchError {
    pub(super) fn new(path: &Path, kind: TorchErrorKind) -> Self {
        Self {
            path: path.to_path_buf(),
            kind: Box::new(kind),
        }
    }

    /// The file concerned.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is wrong with it.
    pub fn kind(&self) -> &TorchErrorKind {
        &self.kind
    }
}

impl fmt::Display for TorchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path.display(), self.kind)
    }
}

impl std::error::Error for TorchError {
    // The kind is already in the message, so the chain goes on with its cause.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.kind)
    }
}

/// The ways in which a torch file can fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchErrorKind {
    /// The file could not be opened or its length not found.
    #[error("cannot open the file")]
    Open {
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The file has the format that torch used before version 1.6.
    #[error("legacy torch format (before 1.6), load it and save it again with a newer torch")]
    Legacy,
    /// The file is something else.
    #[error(
        "not a torch checkpoint: it starts with bytes {found:02x?}, expected a zip archive as torch.save writes"
    )]
    NotZip {
        /// The first bytes, at most four.
        found: Vec<u8>,
    },
    /// The zip directory, which comes last, is missing.
    #[error("truncated: the zip directory is missing at the end of its {length} bytes")]
    Truncated {
        /// Length of the file in bytes.
        length: u64,
    },
    /// The zip directory is damaged.
    #[error("damaged zip file")]
    Zip {
        /// Cause.
        #[source]
        source: zip::result::ZipError,
    },
    /// The zip directory declares more than a checkpoint can have.
    #[error("the zip directory declares {found} entries, at most {limit} are read")]
    TooManyEntries {
        /// Declared number.
        found: u64,
        /// Largest number read.
        limit: u64,
    },
    /// Two entries of the zip file have the same name.
    #[error("two zip entries have the same name")]
    DuplicateEntries,
    /// No entry is called `<stem>/data.pkl`.
    #[error("a zip file, but not a torch checkpoint: it has no `<stem>/data.pkl`")]
    NoPickle,
    /// More than one entry is called `<stem>/data.pkl`.
    #[error("both {first:?} and {second:?} could be the checkpoint")]
    SeveralPickles {
        /// First candidate.
        first: String,
        /// Second candidate.
        second: String,
    },
    /// An entry is compressed or encrypted; torch stores plainly.
    #[error("entry {entry:?} is compressed or encrypted, expected a stored entry")]
    NotStored {
        /// Name of the entry.
        entry: String,
    },
    /// An entry claims more bytes than the file has.
    #[error("entry {entry:?} claims {size} bytes, but the file has {length}")]
    EntryOutside {
        /// Name of the entry.
        entry: String,
        /// Declared size in bytes.
        size: u64,
        /// Length of the file in bytes.
        length: u64,
    },
    /// The tensors are not little-endian.
    #[error("byte order is {found:?}, expected `little`")]
    ByteOrder {
        /// Content of the `byteorder` entry.
        found: String,
    },
    /// `data.pkl` is larger than any checkpoint needs.
    #[error("data.pkl has {size} bytes, at most {limit} are read")]
    PickleSize {
        /// Size in bytes.
        size: u64,
        /// Largest size read.
        limit: u64,
    },
    /// `data.pkl` is not a pickle that this crate reads.
    #[error("bad data.pkl: {source}")]
    Pickle {
        /// Cause; its message is part of this one so that the error fits one line.
        source: PickleError,
    },
    /// An entry could not be read, or its checksum is wrong.
    #[error("cannot read entry {entry:?}")]
    ReadEntry {
        /// Name of the entry.
        entry: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A tensor refers to a storage that the file does not have.
    #[error("storage {key:?} is missing")]
    MissingStorage {
        /// Key of the storage.
        key: String,
    },
    /// The entry of a storage does not have the declared size.
    #[error("storage {key:?} has {found} bytes, expected {numel} elements of {element} bytes")]
    StorageSize {
        /// Key of the storage.
        key: String,
        /// Bytes in the file.
        found: u64,
        /// Declared number of elements.
        numel: usize,
        /// Bytes of one element.
        element: usize,
    },
    /// A tensor reaches past the end of its storage.
    #[error(
        "tensor of shape {shape:?}, strides {stride:?}, offset {offset} reaches outside \
         storage {key:?} of {numel} elements"
    )]
    TensorOutside {
        /// Key of the storage.
        key: String,
        /// Shape of the tensor.
        shape: Vec<usize>,
        /// Strides in elements.
        stride: Vec<usize>,
        /// First element.
        offset: usize,
        /// Elements in the storage.
        numel: usize,
    },
    /// A tensor shows the same stored element more than once.
    #[error(
        "tensor of shape {shape:?}, strides {stride:?} repeats elements of storage {key:?}, \
         save a contiguous copy instead"
    )]
    Expanded {
        /// Key of the storage.
        key: String,
        /// Shape of the tensor.
        shape: Vec<usize>,
        /// Strides in elements.
        stride: Vec<usize>,
    },
    /// The file could not be written.
    #[error("cannot write the file")]
    Write {
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The bytes of a tensor could not be had.
    #[error("cannot get the bytes of storage {storage}")]
    TensorBytes {
        /// Index of the storage.
        storage: usize,
        /// Cause.
        #[source]
        source: TensorBytesError,
    },
    /// The bytes handed over for a tensor do not fit its shape.
    #[error("storage {storage} was given {found} bytes, expected {expected}")]
    TensorLength {
        /// Index of the storage.
        storage: usize,
        /// Bytes handed over.
        found: usize,
        /// Bytes that the shape and the element type ask for.
        expected: usize,
    },
    /// Two tensors share a storage but disagree about it, or a shape overflows.
    #[error("the tensors on storage {storage} do not agree on its type and size")]
    StorageConflict {
        /// Index of the storage.
        storage: usize,
    },
}

/// A pickle that cannot be read, with the place where reading stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct PickleError {
    /// Offset of the opcode in `data.pkl`.
    pub offset: usize,
    /// What is wrong there.
    pub kind: PickleErrorKind,
}

/// The ways in which a pickle can be bad.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PickleErrorKind {
    /// The bytes end too early.
    #[error("{wanted} bytes wanted, {left} left")]
    Truncated {
        /// Bytes that the opcode asks for.
        wanted: u64,
        /// Bytes that follow it.
        left: usize,
    },
    /// A protocol newer than 5.
    #[error("pickle protocol {found}, expected at most 5")]
    Protocol {
        /// Declared protocol.
        found: u8,
    },
    /// An opcode that no torch file has.
    #[error("unsupported opcode {opcode:#04x}")]
    Opcode {
        /// The opcode.
        opcode: u8,
    },
    /// An opcode takes more from the stack than there is.
    #[error("stack underflow")]
    StackUnderflow,
    /// An opcode goes back to a mark that was never set.
    #[error("missing mark")]
    NoMark,
    /// A memo entry is read before it is set.
    #[error("memo entry {index} is not set")]
    Memo {
        /// Index of the entry.
        index: u32,
    },
    /// A text is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A number in text form does not parse.
    #[error("bad number")]
    Number,
    /// An opcode finds something else than it works on.
    #[error("found {found}, expected {expected}")]
    Operand {
        /// What the opcode works on.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The objects would need far more memory than the file has bytes.
    #[error("the objects need more than {limit} bytes")]
    Memory {
        /// Largest allowance in bytes.
        limit: usize,
    },
}
