//! All gradients of a network as one list of numbers in host memory.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{Device, Tensor, TensorData},
};

/// The gradients of a network in the order of its parameters; those without any are left out.
#[derive(Debug)]
pub(super) struct Flat {
    pub(super) values: Vec<f32>,
    /// Which parameters have a gradient, and its length.
    lengths: Vec<Option<usize>>,
    device: Device,
}

impl Flat {
    /// Reads them, which waits for the device.
    pub(super) fn of<M: Module>(module: &M, gradients: GradientsParams) -> Self {
        let mut read = Read {
            gradients,
            values: Vec::new(),
            lengths: Vec::new(),
            device: None,
        };
        module.visit(&mut read);
        Self {
            values: read.values,
            lengths: read.lengths,
            device: read.device.expect("a pass has gradients"),
        }
    }

    #[cfg(test)]
    pub(super) fn of_values(values: Vec<f32>) -> Self {
        Self {
            lengths: vec![Some(values.len())],
            values,
            device: ijepa_testkit::device(),
        }
    }

    /// Gradients of the same network that `fill` fills in.
    pub(super) fn received(&self, fill: impl FnOnce(&mut [f32])) -> Self {
        let mut values = vec![0.0; self.values.len()];
        fill(&mut values);
        Self {
            values,
            lengths: self.lengths.clone(),
            device: self.device.clone(),
        }
    }

    /// Back to the device.
    pub(super) fn into_gradients<M: Module>(self, module: &M) -> GradientsParams {
        let mut write = Write {
            rest: &self.values,
            lengths: self.lengths.into_iter(),
            device: &self.device,
            gradients: GradientsParams::new(),
        };
        module.visit(&mut write);
        write.gradients
    }
}

struct Read {
    gradients: GradientsParams,
    values: Vec<f32>,
    lengths: Vec<Option<usize>>,
    device: Option<Device>,
}

impl ModuleVisitor for Read {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = self.gradients.remove::<D>(param.id);
        let length = gradient.map(|gradient| {
            self.device.get_or_insert_with(|| gradient.device());
            let before = self.values.len();
            self.values.extend(gradient.into_data().iter::<f32>());
            self.values.len() - before
        });
        self.lengths.push(length);
    }
}

struct Write<'a> {
    rest: &'a [f32],
    lengths: std::vec::IntoIter<Option<usize>>,
    device: &'a Device,
    gradients: GradientsParams,
}

impl ModuleVisitor for Write<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(length) = self.lengths.next().flatten() else {
            return;
        };
        let (values, rest) = self.rest.split_at(length);
        self.rest = rest;
        let data = TensorData::new(values.to_vec(), param.lazy_shape());
        self.gradients
            .register(param.id, Tensor::<D>::from_data(data, self.device));
    }
}
