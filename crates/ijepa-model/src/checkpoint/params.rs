//! Parameters of a network under their official names and shapes.
//!
//! Burn keeps linear weights as `[inputs, outputs]` and calls the two tensors of a norm `gamma`
//! and `beta`; files have `[outputs, inputs]`, `weight` and `bias`. Every rank-2 parameter of
//! our networks is a linear weight.

use std::{borrow::Cow, collections::HashMap, fmt, path::Path, sync::Arc};

use burn::{
    module::{Module, Param},
    tensor::{Device, Gradients, Tensor, TensorData},
};

use super::{
    error::{CheckpointError, Mismatch},
    named::{ParameterMapper, ParameterVisitor, map_parameters, visit_parameters},
    state_dict::{LazyTensor, StateDict},
};

/// A tensor on its way into a file.
#[derive(Clone)]
pub struct NamedTensor {
    /// Official name.
    pub name: String,
    /// Official shape.
    pub shape: Vec<usize>,
    values: Values,
}

#[derive(Clone)]
enum Values {
    /// Computed when written.
    Computed(Reader),
    /// In host memory.
    Held(Arc<Vec<f32>>),
}

type Reader = Arc<dyn Fn() -> Result<Vec<f32>, CheckpointError> + Send + Sync>;

impl NamedTensor {
    /// A tensor whose values, in row-major order of `shape`, are computed when written.
    pub fn new(
        name: String,
        shape: Vec<usize>,
        read: impl Fn() -> Result<Vec<f32>, CheckpointError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            shape,
            values: Values::Computed(Arc::new(read)),
        }
    }

    /// All tensors of another file.
    pub(crate) fn from_dict(dict: StateDict) -> Vec<Self> {
        let named = |(name, tensor): (String, LazyTensor)| {
            Self::new(name, tensor.shape().to_vec(), move || tensor.read())
        };
        dict.into_iter().map(named).collect()
    }

    /// A tensor of a network, brought from the device when written; `[inputs, outputs]` weights
    /// are transposed.
    pub fn from_tensor<const D: usize>(name: String, tensor: Tensor<D>) -> Self {
        let shape = official_shape(&tensor.dims());
        Self::new(name, shape, move || {
            let [rows, cols] = first_two(&tensor.dims());
            let values = values(tensor.clone());
            Ok(if D == 2 {
                transposed(&values, rows, cols)
            } else {
                values
            })
        })
    }

    /// The same with its values in host memory.
    pub(crate) fn in_memory(&self) -> Result<Self, CheckpointError> {
        Ok(Self {
            values: Values::Held(Arc::new(self.read()?)),
            ..self.clone()
        })
    }

    /// Its values.
    ///
    /// # Errors
    ///
    /// If they come from a file that cannot be read.
    pub fn read(&self) -> Result<Vec<f32>, CheckpointError> {
        self.values().map(Cow::into_owned)
    }

    /// The same without a copy of what is in host memory.
    pub(crate) fn values(&self) -> Result<Cow<'_, [f32]>, CheckpointError> {
        match &self.values {
            Values::Computed(read) => read().map(Cow::Owned),
            Values::Held(values) => Ok(Cow::Borrowed(values)),
        }
    }
}

impl fmt::Debug for NamedTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedTensor")
            .field("name", &self.name)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

/// The tensor of shape `dims` on `device` from values in the official layout.
pub fn tensor_from_official<const D: usize>(
    values: Vec<f32>,
    dims: [usize; D],
    device: &Device,
) -> Tensor<D> {
    let [rows, cols] = first_two(&dims);
    let values = if D == 2 {
        transposed(&values, cols, rows)
    } else {
        values
    };
    Tensor::from_data(TensorData::new(values, dims), device)
}

/// Parameters of `module` in the order of the official checkpoints.
pub fn named_tensors<M: Module>(module: &M) -> Vec<NamedTensor> {
    let mut collect = Collect::default();
    visit_parameters(module, &mut collect);
    collect.tensors
}

/// Gradients of the parameters of `module` that have one, in the order of the official
/// checkpoints.
pub fn named_gradients<M: Module>(module: &M, gradients: &Gradients) -> Vec<NamedTensor> {
    let mut collect = CollectGradients {
        gradients,
        tensors: Vec::new(),
    };
    visit_parameters(module, &mut collect);
    collect.tensors
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data().convert::<f32>();
    data.try_into_vec().expect("the data was converted to f32")
}

fn first_two(dims: &[usize]) -> [usize; 2] {
    [dims[0], dims.get(1).copied().unwrap_or(1)]
}

/// `values`, `[rows, cols]`, as `[cols, rows]`.
pub(crate) fn transposed(values: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    // Tiles keep both sides in cache; weights have up to ten million values.
    const TILE: usize = 32;
    let mut out = vec![0.0; values.len()];
    for row_tile in (0..rows).step_by(TILE) {
        for col_tile in (0..cols).step_by(TILE) {
            for row in row_tile..rows.min(row_tile + TILE) {
                for col in col_tile..cols.min(col_tile + TILE) {
                    out[col * rows + row] = values[row * cols + col];
                }
            }
        }
    }
    out
}

/// The shape in files of a parameter with `dims`.
pub fn official_shape(dims: &[usize]) -> Vec<usize> {
    match dims {
        [inputs, outputs] => vec![*outputs, *inputs],
        other => other.to_vec(),
    }
}

#[derive(Default)]
struct Collect {
    tensors: Vec<NamedTensor>,
}

impl ParameterVisitor for Collect {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        let tensor = param.val().without_autodiff();
        self.tensors.push(NamedTensor::from_tensor(name, tensor));
    }
}

struct CollectGradients<'a> {
    gradients: &'a Gradients,
    tensors: Vec<NamedTensor>,
}

impl ParameterVisitor for CollectGradients<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients);
        let gradient = gradient.map(|it| NamedTensor::from_tensor(name, it));
        self.tensors.extend(gradient);
    }
}

/// Names and official shapes of a network, without computing lazy initial weights.
#[derive(Default)]
struct Shapes {
    shapes: Vec<(String, Vec<usize>)>,
}

impl ParameterVisitor for Shapes {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        let shape = official_shape(param.lazy_shape().as_slice());
        self.shapes.push((name, shape));
    }
}

/// Names and official shapes of the parameters of `module`, in order.
pub(crate) fn named_shapes<M: Module>(module: &M) -> Vec<(String, Vec<usize>)> {
    let mut shapes = Shapes::default();
    visit_parameters(module, &mut shapes);
    shapes.shapes
}

/// What of `dict` does not fit `module`.
pub(crate) fn mismatch<M: Module>(module: &M, dict: &StateDict) -> Mismatch {
    let mut found: HashMap<&str, &[usize]> = dict
        .iter()
        .map(|(name, tensor)| (name, tensor.shape()))
        .collect();
    let mut mismatch = Mismatch::default();
    for (name, expected) in named_shapes(module) {
        match found.remove(name.as_str()) {
            None => mismatch.missing.push(name),
            Some(shape) if shape != expected => {
                mismatch.misshaped.push((name, shape.to_vec(), expected));
            }
            Some(_) => {}
        }
    }
    let unexpected = dict
        .iter()
        .map(|(name, _)| name)
        .filter(|name| found.contains_key(name));
    mismatch.unexpected = unexpected.map(str::to_owned).collect();
    mismatch
}

/// Refuses a `dict` that does not fit `module`.
pub(crate) fn check<M: Module>(
    module: &M,
    dict: &StateDict,
    what: &'static str,
    path: &Path,
) -> Result<(), CheckpointError> {
    let mismatch = Box::new(mismatch(module, dict));
    match mismatch.is_empty() {
        true => Ok(()),
        false => Err(CheckpointError::Mismatch {
            path: path.into(),
            what,
            mismatch,
        }),
    }
}

/// Replaces every parameter of `module` by the tensor of its name; nothing is changed unless
/// all names and shapes fit and all values are finite.
pub(crate) fn load<M: Module>(
    module: M,
    dict: &StateDict,
    what: &'static str,
    path: &Path,
) -> Result<M, CheckpointError> {
    check(&module, dict, what, path)?;
    read_into(module, dict.iter().collect(), finite(what, path))
}

/// Refuses a tensor of the file at `path` that is not finite.
pub(crate) fn finite(
    what: &str,
    path: &Path,
) -> impl Fn(&str, &[f32]) -> Result<(), CheckpointError> {
    move |name, values| match values.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(CheckpointError::NotFinite {
            path: path.into(),
            tensor: format!("{name} of {what}"),
        }),
    }
}

/// `module` with the values of `tensors`, which fit and which `check` takes by their names; its other
/// parameters stay as they are.
pub(crate) fn read_into<M: Module>(
    module: M,
    tensors: HashMap<&str, &LazyTensor>,
    check: impl Fn(&str, &[f32]) -> Result<(), CheckpointError>,
) -> Result<M, CheckpointError> {
    let mut load = Load {
        tensors,
        check,
        error: None,
    };
    let module = map_parameters(module, &mut load);
    load.error.map_or(Ok(module), Err)
}

struct Load<'a, C> {
    tensors: HashMap<&'a str, &'a LazyTensor>,
    check: C,
    error: Option<CheckpointError>,
}

impl<C> ParameterMapper for Load<'_, C>
where
    C: Fn(&str, &[f32]) -> Result<(), CheckpointError>,
{
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let tensor = self.tensors.get(name.as_str());
        let Some(tensor) = tensor.filter(|_| self.error.is_none()) else {
            return param;
        };
        let values = tensor.read().and_then(|values| {
            (self.check)(&name, &values)?;
            Ok(values)
        });
        match values {
            Ok(values) => replaced(param, values),
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

/// `param` with other values, without computing its initial ones.
fn replaced<const D: usize>(param: Param<Tensor<D>>, values: Vec<f32>) -> Param<Tensor<D>> {
    let tensor = tensor_from_official(values, param.lazy_shape().dims(), &param.lazy_device());
    let id = param.id;
    param.transform_for_load(tensor, id)
}
