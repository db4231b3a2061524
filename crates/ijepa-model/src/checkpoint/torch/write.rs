//! Writing checkpoints that torch loads.

use std::cell::Cell;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, result::ZipError};

use super::error::{TorchError, TorchErrorKind};
use super::pickle::{Item, Pickle, pickle};
use crate::files::{FileError, NewFile, write_file};

/// Why the bytes of a tensor could not be had; any error will do.
pub type TensorBytesError = Box<dyn std::error::Error + Send + Sync>;

/// Alignment of tensors in the file, as torch keeps it, so that they can be memory-mapped.
const ALIGNMENT: u16 = 64;
/// Version of the layout that torch writes and reads.
const VERSION: &[u8] = b"3\n";
/// Entries of this size need the zip64 form; the margin leaves room for headers.
const ZIP64_FROM: usize = 0xf000_0000;

/// Writes a checkpoint that `torch.load(weights_only=True)` accepts.
///
/// `bytes_of` is asked once for each storage in the tree, in order of first appearance, and
/// returns its little-endian elements; only one storage is held at a time.
/// The file appears under its name when it is complete and on disk: a crash leaves an older file
/// of that name as it was.
///
/// ```
/// # use ijepa_model::checkpoint::torch::{Dtype, Item, write_torch};
/// # let folder = std::env::temp_dir().join(format!("write-torch-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("step.pt");
/// let step = Item::Tensor { dtype: Dtype::Float32, shape: vec![], storage: 0 };
/// let root = Item::Dict(vec![("step".into(), step), ("epoch".into(), Item::Int(2))]);
/// write_torch(&path, &root, |_storage| Ok(10f32.to_le_bytes()))?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Fails if the file cannot be written, if `bytes_of` fails or returns a wrong number of bytes,
/// or if two tensors disagree about a storage.
pub fn write_torch<B: AsRef<[u8]>>(
    path: impl AsRef<Path>,
    root: &Item,
    bytes_of: impl FnMut(usize) -> Result<B, TensorBytesError>,
) -> Result<(), TorchError> {
    let path = path.as_ref();
    write_at(path, root, bytes_of).map_err(|kind| TorchError::new(path, kind))
}

fn write_at<B: AsRef<[u8]>>(
    path: &Path,
    root: &Item,
    bytes_of: impl FnMut(usize) -> Result<B, TensorBytesError>,
) -> Result<(), TorchErrorKind> {
    let pickle = pickle(root).map_err(|storage| TorchErrorKind::StorageConflict { storage })?;
    write_file(path, |file| {
        write_entries(file, &stem(path), &pickle, bytes_of)
    })
}

/// Writes the zip file.
fn write_entries<B: AsRef<[u8]>>(
    file: &mut NewFile,
    stem: &str,
    pickle: &Pickle,
    mut bytes_of: impl FnMut(usize) -> Result<B, TensorBytesError>,
) -> Result<(), TorchErrorKind> {
    let has_failed = Cell::new(false);
    let mut latch = Latch {
        file,
        failed: None,
        has_failed: &has_failed,
    };
    let mut writer = ZipWriter::new(&mut latch);
    let more = || !has_failed.get();
    let written = write_parts(&mut writer, stem, pickle, more, &mut bytes_of);
    let finished = writer.finish().map(|_| ()).map_err(zip_error);
    match latch.failed {
        Some(source) => Err(TorchErrorKind::Write { source }),
        None => written.and(finished),
    }
}

/// A file that keeps its first error, after which nothing is written any more: the library behind
/// it prints errors that it meets at its end.
struct Latch<'a> {
    file: &'a mut NewFile,
    failed: Option<io::Error>,
    has_failed: &'a Cell<bool>,
}

impl Latch<'_> {
    fn kept<T>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        result.or_else(|error| {
            self.failed.get_or_insert(error);
            self.has_failed.set(true);
            Ok(instead)
        })
    }
}

impl Write for Latch<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.failed {
            Some(_) => Ok(bytes.len()),
            None => {
                let written = self.file.write(bytes);
                self.kept(written, bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.file.flush();
        self.kept(flushed, ())
    }
}

impl Seek for Latch<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let sought = self.file.seek(to);
        self.kept(sought, 0)
    }
}

/// Writes all entries, as long as there is room for `more`.
fn write_parts<B: AsRef<[u8]>>(
    writer: &mut ZipWriter<&mut Latch<'_>>,
    stem: &str,
    pickle: &Pickle,
    more: impl Fn() -> bool,
    bytes_of: &mut impl FnMut(usize) -> Result<B, TensorBytesError>,
) -> Result<(), TorchErrorKind> {
    let mut entry = |name: &str, bytes: &[u8]| -> Result<(), ZipError> {
        let options = SimpleFileOptions::DEFAULT
            .compression_method(CompressionMethod::Stored)
            .with_alignment(ALIGNMENT)
            .large_file(bytes.len() >= ZIP64_FROM);
        writer.start_file(format!("{stem}/{name}"), options)?;
        Ok(writer.write_all(bytes)?)
    };
    // Torch takes the name of the folder from the first entry.
    entry("data.pkl", &pickle.bytes).map_err(zip_error)?;
    entry("byteorder", b"little").map_err(zip_error)?;
    for &storage in pickle.storages.iter().take_while(|_| more()) {
        let index = storage.index;
        let bytes = bytes_of(index).map_err(|source| TorchErrorKind::TensorBytes {
            storage: index,
            source,
        })?;
        let (found, expected) = (bytes.as_ref().len(), storage.byte_length());
        if found != expected {
            return Err(TorchErrorKind::TensorLength {
                storage: index,
                found,
                expected,
            });
        }
        entry(&format!("data/{index}"), bytes.as_ref()).map_err(zip_error)?;
    }
    entry("version", VERSION).map_err(zip_error)
}

/// The folder name inside the zip file: the file name up to its last dot, as torch has it.
fn stem(path: &Path) -> String {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().replace(['/', '\\'], "_"));
    stem.filter(|stem| !stem.is_empty())
        .unwrap_or_else(|| "archive".to_owned())
}

fn zip_error(error: ZipError) -> TorchErrorKind {
    TorchErrorKind::Write {
        source: error.into(),
    }
}

impl From<FileError> for TorchErrorKind {
    fn from(error: FileError) -> Self {
        Self::Write {
            source: error.into(),
        }
    }
}
