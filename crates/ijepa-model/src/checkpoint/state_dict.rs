//! Named tensors of a file, read one at a time when they are needed.

use std::{fmt, path::Path};

use burn::module::Module;

use super::{
    error::{CheckpointError, Mismatch},
    official,
    params::{self, named_tensors},
    safetensors_file::SafetensorsFile,
};

type Reader = Box<dyn Fn() -> Result<Vec<f32>, CheckpointError> + Send + Sync>;

/// A tensor that stays in its file until it is read.
pub struct LazyTensor {
    shape: Vec<usize>,
    read: Reader,
}

impl LazyTensor {
    pub(crate) fn new(
        shape: Vec<usize>,
        read: impl Fn() -> Result<Vec<f32>, CheckpointError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            shape,
            read: Box::new(read),
        }
    }

    /// Stacks tensors of one shape along their first axis; a single one stays as it is.
    pub(crate) fn stacked(mut parts: Vec<LazyTensor>) -> Self {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let mut shape = parts[0].shape.clone();
        shape[0] = shape[0].saturating_mul(parts.len());
        Self::new(shape, move || {
            let mut values = Vec::new();
            for part in &parts {
                values.extend(part.read()?);
            }
            Ok(values)
        })
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values in row-major order, converted to f32.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read(&self) -> Result<Vec<f32>, CheckpointError> {
        (self.read)()
    }
}

impl fmt::Debug for LazyTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyTensor")
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

/// Tensors by name, in the order of the file.
///
/// A [`Checkpoint`](super::Checkpoint) has one for each network. Files whose names are others, and
/// networks that fit in part, are loaded by name:
///
/// ```no_run
/// use ijepa_model::{VisionTransformerConfig, checkpoint::StateDict};
///
/// # let device = burn::tensor::Device::flex();
/// let encoder = VisionTransformerConfig::variant("vit_s16")?.init(&device);
/// let dict = StateDict::open("theirs.pth")?.renamed(|name| match name.strip_prefix("vit.") {
///     Some("cls_token") => None, // is left out
///     Some(name) => Some(name.replace("layers.", "blocks.")),
///     None => None,
/// });
/// let (encoder, left) = dict.load_fitting(encoder)?;
/// println!("{left}"); // such as: 2 missing (norm.weight, norm.bias)
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct StateDict {
    tensors: Vec<(String, LazyTensor)>,
}

impl StateDict {
    pub(crate) fn new(tensors: Vec<(String, LazyTensor)>) -> Self {
        Self { tensors }
    }

    /// The tensors of a `.safetensors` file, or of a pickle that is a state dict, under the names
    /// that they have there.
    ///
    /// # Errors
    ///
    /// A [`CheckpointError`] if the file is neither or cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CheckpointError> {
        let path = path.as_ref();
        match path.extension().is_some_and(|it| it == "safetensors") {
            true => Ok(SafetensorsFile::open(path)?.tensors),
            false => official::state_dict(path),
        }
    }

    /// The parameters of a network in memory, under their official names.
    pub fn of_module<M: Module>(module: &M) -> Self {
        let lazy = named_tensors(module).into_iter().map(|tensor| {
            let (name, shape) = (tensor.name.clone(), tensor.shape.clone());
            (name, LazyTensor::new(shape, move || tensor.read()))
        });
        Self::new(lazy.collect())
    }

    /// The tensors under the names that `rename` makes of theirs; those for which it gives none
    /// are left out.
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let renamed = self.into_iter();
        let renamed = renamed.filter_map(|(name, tensor)| Some((rename(&name)?, tensor)));
        Self::new(renamed.collect())
    }

    /// `module` with the tensors whose names and shapes fit, and everything that does not; its
    /// other parameters stay as they are.
    ///
    /// # Errors
    ///
    /// A [`CheckpointError`] if a tensor that fits cannot be read.
    pub fn load_fitting<M: Module>(&self, module: M) -> Result<(M, Mismatch), CheckpointError> {
        let left = params::mismatch(&module, self);
        let misshaped = |name: &str| left.misshaped.iter().any(|(other, ..)| other == name);
        let fitting = self.iter().filter(|(name, _)| !misshaped(name));
        let module = params::read_into(module, fitting.collect(), |_, _| Ok(()))?;
        Ok((module, left))
    }

    /// Names and tensors in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &LazyTensor)> {
        self.tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&LazyTensor> {
        self.iter()
            .find(|(found, _)| *found == name)
            .map(|(_, tensor)| tensor)
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }
}

impl IntoIterator for StateDict {
    type Item = (String, LazyTensor);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.tensors.into_iter()
    }
}
