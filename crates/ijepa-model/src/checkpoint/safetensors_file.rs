//! Safetensors files, read tensor by tensor and written tensor by tensor.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use super::{
    decode::{FloatType, f32_bytes},
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
        let file = File::open(path).map_err(cannot("open", path))?;
        let file_bytes = file.metadata().map_err(cannot("read", path))?.len();
        Self::read(path, file, file_bytes)
    }

    /// As [`open`](Self::open), of a file in memory that errors call `name`.
    pub(crate) fn in_memory(name: &Path, bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let length = bytes.len() as u64;
        Self::read(name, Cursor::new(bytes), length)
    }

    fn read(
        path: &Path,
        mut file: impl Read + Seek + Send + 'static,
        file_bytes: u64,
    ) -> Result<Self, CheckpointError> {
        let (header, data_start) = read_header(path, &mut file, file_bytes)?;
        let source = Arc::new(Source {
            path: path.into(),
            file: Mutex::new(Box::new(file)),
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

/// The header of a file of so many bytes, and where its data begin.
fn read_header(
    path: &Path,
    file: &mut impl Read,
    file_bytes: u64,
) -> Result<(Metadata, u64), CheckpointError> {
    let invalid = |reason: String| CheckpointError::Safetensors {
        path: path.into(),
        reason,
    };
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => invalid("it is shorter than 8 bytes".into()),
            _ => cannot("read", path)(error).into(),
        })?;
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
    Ok((header, data_start))
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

trait Bytes: Read + Seek + Send {}

impl<T: Read + Seek + Send> Bytes for T {}

struct Source {
    path: PathBuf,
    file: Mutex<Box<dyn Bytes>>,
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
///
/// Not by the format's own writer, which replaces the file that it is given by one of its own: that
/// is readable for its owner alone, and is not what is synced before it gets its name.
pub(crate) fn write(
    path: &Path,
    tensors: &[NamedTensor],
    metadata: HashMap<String, String>,
    before: &dyn Fn(usize),
) -> Result<(), CheckpointError> {
    let mut tensors: Vec<&NamedTensor> = tensors.iter().collect();
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    let header = header(&tensors, metadata).map_err(cannot("write", path))?;
    write_file(path, |file| {
        let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(cannot("write", path));
        put(&(header.len() as u64).to_le_bytes())?;
        put(&header)?;
        for tensor in tensors {
            before(bytes_of(tensor));
            put(&f32_bytes(&tensor.values()?))?;
        }
        Ok(())
    })
}

fn bytes_of(tensor: &NamedTensor) -> usize {
    tensor.shape.iter().product::<usize>() * size_of::<f32>()
}

/// What is where, as JSON whose end is a multiple of 8 bytes.
fn header(tensors: &[&NamedTensor], metadata: HashMap<String, String>) -> io::Result<Vec<u8>> {
    let mut end = 0;
    let infos = tensors.iter().map(|tensor| {
        let start = end;
        end += bytes_of(tensor);
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.shape.clone(),
            data_offsets: (start, end),
        };
        (tensor.name.clone(), info)
    });
    let header = Metadata::new(Some(metadata), infos.collect()).map_err(io::Error::other)?;
    let mut json = serde_json::to_vec(&header).map_err(io::Error::other)?;
    json.resize(json.len().next_multiple_of(8), b' ');
    Ok(json)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
