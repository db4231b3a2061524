//! Safetensors files, read tensor by tensor and written tensor by tensor.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use safetensors::{Dtype, SafeTensorError, View, tensor::Metadata};

use super::{
    decode::{FloatType, encode_f32, f32_bytes},
    error::CheckpointError,
    params::NamedTensor,
    state_dict::{LazyTensor, StateDict},
};
use crate::files::{cannot, write_file};

/// Longest header that is read, as the format's own reader has it.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The header of a file and where its tensors are.
#[derive(Debug)]
pub(crate) struct SafetensorsFile {
    pub(crate) metadata: HashMap<String, String>,
    pub(crate) tensors: StateDict,
}

impl SafetensorsFile {
    /// Reads the header of `path` and checks it against the file's length.
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let invalid = |reason: String| CheckpointError::Safetensors {
            path: path.into(),
            reason,
        };
        let mut file = File::open(path).map_err(cannot("open", path))?;
        let file_bytes = file.metadata().map_err(cannot("read", path))?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length)
            .map_err(|_| invalid("it is shorter than 8 bytes".into()))?;
        let header_bytes = u64::from_le_bytes(length);
        if is_lfs_pointer(&length) {
            return Err(CheckpointError::GitLfsPointer { path: path.into() });
        }
        if header_bytes > MAX_HEADER_BYTES || header_bytes + 8 > file_bytes {
            let reason = format!("its header claims {header_bytes} of {file_bytes} bytes");
            return Err(invalid(reason));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header).map_err(cannot("read", path))?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| invalid(error.to_string()))?;
        let data_start = 8 + header_bytes;
        if data_start + header.data_len() as u64 != file_bytes {
            let reason = format!(
                "its tensors take {} bytes but {} follow the header",
                header.data_len(),
                file_bytes - data_start
            );
            return Err(invalid(reason));
        }
        let source = Arc::new(Source {
            path: path.into(),
            file: Mutex::new(file),
        });
        let metadata = header.metadata().clone().unwrap_or_default();
        let mut tensors = Vec::new();
        for name in header.offset_keys() {
            let info = header.info(&name).expect("the header lists its own keys");
            let dtype = float_type(info.dtype);
            let (from, to) = info.data_offsets;
            let (start, len) = (data_start + from as u64, to - from);
            let (source, key) = (Arc::clone(&source), name.clone());
            let found = format!("{:?}", info.dtype);
            let read = move || {
                let dtype = dtype.ok_or_else(|| CheckpointError::Dtype {
                    path: source.path.clone(),
                    key: key.clone(),
                    found: found.clone(),
                })?;
                Ok(dtype.decode(&source.bytes(start, len)?))
            };
            tensors.push((name, LazyTensor::new(info.shape.clone(), read)));
        }
        Ok(Self {
            metadata,
            tensors: StateDict::new(tensors),
        })
    }
}

/// Whether a file that begins so stands in for one that Git LFS has not fetched.
pub(crate) fn is_lfs_pointer(beginning: &[u8; 8]) -> bool {
    beginning == b"version "
}

fn float_type(dtype: Dtype) -> Option<FloatType> {
    match dtype {
        Dtype::F64 => Some(FloatType::F64),
        Dtype::F32 => Some(FloatType::F32),
        Dtype::F16 => Some(FloatType::F16),
        Dtype::BF16 => Some(FloatType::Bf16),
        _ => None,
    }
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    file: Mutex<File>,
}

impl Source {
    fn bytes(&self, start: u64, len: usize) -> Result<Vec<u8>, CheckpointError> {
        let mut file = lock(&self.file);
        let mut bytes = vec![0; len];
        file.seek(SeekFrom::Start(start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(cannot("read", &self.path))?;
        Ok(bytes)
    }
}

/// Writes `tensors` and `metadata` to `path` atomically, one tensor in memory at a time; `before` is
/// told the bytes of each of them.
pub(crate) fn write(
    path: &Path,
    tensors: &[NamedTensor],
    metadata: HashMap<String, String>,
    before: &dyn Fn(usize),
) -> Result<(), CheckpointError> {
    let failed = Mutex::new(None);
    write_file(path, |file| {
        let views = tensors.iter().map(|tensor| {
            (
                &tensor.name,
                TensorView {
                    tensor,
                    before,
                    failed: &failed,
                },
            )
        });
        let written = safetensors::serialize_to_file(views, Some(metadata), file.unfinished_path());
        // A file with a tensor that could not be read must not get its final name.
        if let Some(error) = lock(&failed).take() {
            return Err(error);
        }
        let written = written.map_err(|error| match error {
            SafeTensorError::IoError(source) => source,
            other => io::Error::other(other),
        });
        Ok(written.map_err(cannot("write", path))?)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A tensor that is read when it is written; the format's interface has no way to fail.
struct TensorView<'a> {
    tensor: &'a NamedTensor,
    before: &'a dyn Fn(usize),
    failed: &'a Mutex<Option<CheckpointError>>,
}

impl View for TensorView<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        (self.before)(self.data_len());
        match self.tensor.values() {
            Ok(Cow::Borrowed(values)) => f32_bytes(values),
            Ok(Cow::Owned(values)) => Cow::Owned(encode_f32(&values)),
            Err(error) => {
                *lock(self.failed) = Some(error);
                Cow::Owned(vec![0; self.data_len()])
            }
        }
    }

    fn data_len(&self) -> usize {
        self.tensor.shape.iter().product::<usize>() * size_of::<f32>()
    }
}
