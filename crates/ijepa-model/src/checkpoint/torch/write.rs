//! Writing checkpoints that torch loads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, result::ZipError};

use super::error::{TorchError, TorchErrorKind};
use super::pickle::{Item, Pickle, pickle};

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
    let (scratch, file) = Scratch::create(path).map_err(write_error)?;
    write_entries(file, &stem(path), &pickle, bytes_of)?;
    scratch.publish(path).map_err(write_error)
}

/// Writes the zip file and forces it to disk.
fn write_entries<B: AsRef<[u8]>>(
    file: File,
    stem: &str,
    pickle: &Pickle,
    mut bytes_of: impl FnMut(usize) -> Result<B, TensorBytesError>,
) -> Result<(), TorchErrorKind> {
    let mut writer = ZipWriter::new(BufWriter::new(file));
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
    for &storage in &pickle.storages {
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
    entry("version", VERSION).map_err(zip_error)?;

    let file = writer.finish().map_err(zip_error)?;
    let file = file
        .into_inner()
        .map_err(|error| write_error(error.into_error()))?;
    file.sync_all().map_err(write_error)
}

/// The folder name inside the zip file: the file name up to its last dot, as torch has it.
fn stem(path: &Path) -> String {
    let stem = path
        .file_stem()
        .map(|stem| stem.to_string_lossy().replace(['/', '\\'], "_"));
    stem.filter(|stem| !stem.is_empty())
        .unwrap_or_else(|| "archive".to_owned())
}

fn write_error(source: io::Error) -> TorchErrorKind {
    TorchErrorKind::Write { source }
}

fn zip_error(error: ZipError) -> TorchErrorKind {
    write_error(error.into())
}

/// A file beside the final one that vanishes unless it is published.
struct Scratch {
    path: PathBuf,
    published: bool,
}

impl Scratch {
    /// Creates a file that no other writer uses.
    fn create(target: &Path) -> io::Result<(Self, File)> {
        let Some(name) = target.file_name() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        for attempt in 0u32.. {
            let mut scratch = std::ffi::OsString::from(".");
            scratch.push(name);
            scratch.push(format!(".{}-{attempt}.tmp", std::process::id()));
            let path = target.with_file_name(scratch);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    return Ok((
                        Self {
                            path,
                            published: false,
                        },
                        file,
                    ));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Gives the file its final name.
    fn publish(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.published = true;
        // The new name itself is on disk only when the folder is; not every system can do that.
        #[cfg(unix)]
        {
            let folder = target
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.published {
            // The error that led here is the one to report.
            let _ = fs::remove_file(&self.path);
        }
    }
}
