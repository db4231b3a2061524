//! Named tensors of a file, read one at a time when they are needed.

use std::fmt;

use super::error::CheckpointError;

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
#[derive(Debug, Default)]
pub struct StateDict {
    tensors: Vec<(String, LazyTensor)>,
}

impl StateDict {
    pub(crate) fn new(tensors: Vec<(String, LazyTensor)>) -> Self {
        Self { tensors }
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

    /// Number of values of all tensors.
    pub fn num_values(&self) -> usize {
        self.iter()
            .map(|(_, tensor)| tensor.shape.iter().product::<usize>())
            .sum()
    }
}

impl IntoIterator for StateDict {
    type Item = (String, LazyTensor);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.tensors.into_iter()
    }
}
