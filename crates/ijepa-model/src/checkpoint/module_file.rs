//! Networks of any kind in safetensors files.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use burn::module::Module;

use super::{
    error::CheckpointError,
    params::{self, named_tensors},
    safetensors_file::{self, SafetensorsFile},
    state_dict::StateDict,
};

/// The parameters of a network in one safetensors file, beside texts about it.
#[derive(Debug)]
pub struct ModuleFile {
    path: PathBuf,
    /// Texts by name.
    pub metadata: HashMap<String, String>,
    tensors: StateDict,
}

impl ModuleFile {
    /// Writes all parameters of `module`; the file appears as a whole.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Io`] if it cannot be written.
    pub fn save<M: Module>(
        path: &Path,
        module: &M,
        metadata: HashMap<String, String>,
    ) -> Result<(), CheckpointError> {
        safetensors_file::write(path, &named_tensors(module), metadata, &|_| {})
    }

    /// Opens a file; its tensors stay there until a network asks for them.
    ///
    /// # Errors
    ///
    /// A [`CheckpointError`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let SafetensorsFile { metadata, tensors } = SafetensorsFile::open(path)?;
        Ok(Self {
            path: path.into(),
            metadata,
            tensors,
        })
    }

    /// `module` with the parameters of the file; errors call it `what`.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::Mismatch`] with everything that does not fit, other variants if the
    /// file cannot be read.
    pub fn load<M: Module>(&self, module: M, what: &'static str) -> Result<M, CheckpointError> {
        params::load(module, &self.tensors, what, &self.path)
    }
}
