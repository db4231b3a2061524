//! Checkpoints in memory, on their way into files.

use std::{collections::HashMap, path::Path};

use burn::module::Module;

use super::{
    error::CheckpointError,
    params::{NamedTensor, named_tensors},
    safetensors_file,
    state::TrainingState,
};

/// A safetensors file that is yet to be written.
#[derive(Debug)]
pub struct TensorFile {
    /// Its name in a folder.
    pub name: &'static str,
    /// Its tensors.
    pub tensors: Vec<NamedTensor>,
    /// Texts by name.
    pub metadata: HashMap<String, String>,
}

impl TensorFile {
    /// The parameters of `module`.
    pub fn of_module<M: Module>(
        name: &'static str,
        module: &M,
        metadata: HashMap<String, String>,
    ) -> Self {
        Self {
            name,
            tensors: named_tensors(module),
            metadata,
        }
    }

    /// Writes it to `path`, one tensor in memory at a time; the file appears as a whole.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        self.write_paced(path, &|_| {})
    }

    /// The same; `before` is told the bytes of each tensor before it is written.
    fn write_paced(&self, path: &Path, before: &dyn Fn(usize)) -> Result<(), CheckpointError> {
        safetensors_file::write(path, &self.tensors, self.metadata.clone(), before)
    }

    /// The same with all values in host memory.
    fn in_memory(mut self) -> Result<Self, CheckpointError> {
        for tensor in &mut self.tensors {
            *tensor = tensor.in_memory()?;
        }
        Ok(self)
    }

    /// Bytes of its tensors.
    fn bytes(&self) -> u64 {
        let values = |tensor: &NamedTensor| tensor.shape.iter().product::<usize>() as u64;
        size_of::<f32>() as u64 * self.tensors.iter().map(values).sum::<u64>()
    }
}

/// A checkpoint in host memory: networks and moments as they were when it was taken, whatever has
/// become of them since.
#[derive(Debug)]
pub struct Snapshot {
    files: Vec<TensorFile>,
    state: TrainingState,
}

impl Snapshot {
    /// Copies the tensors of `files` from their devices, which it waits for.
    ///
    /// # Errors
    ///
    /// If a tensor is of a file that cannot be read.
    pub fn take(
        files: impl IntoIterator<Item = TensorFile>,
        state: TrainingState,
    ) -> Result<Self, CheckpointError> {
        let files = files.into_iter().map(TensorFile::in_memory);
        Ok(Self {
            files: files.collect::<Result<_, _>>()?,
            state,
        })
    }

    /// Bytes of its tensors, which are nearly all that it takes on disk.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(TensorFile::bytes).sum()
    }

    /// Writes it into an empty folder.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), CheckpointError> {
        self.write_paced(folder, |_| {})
    }

    /// The same; `before` is told the bytes of each tensor before it is written, and may wait so that
    /// training keeps its processors.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_paced(
        &self,
        folder: &Path,
        before: impl Fn(usize),
    ) -> Result<(), CheckpointError> {
        for file in &self.files {
            file.write_paced(&folder.join(file.name), &before)?;
        }
        self.state.save(&folder.join(TrainingState::FILE))
    }
}
