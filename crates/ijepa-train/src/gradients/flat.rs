//! All gradients of a network as one list of numbers in host memory.

use burn::{
    module::{Module, ParamId},
    optim::GradientsParams,
    tensor::{Device, Tensor},
};

use super::pieces::{pieces, restored};

/// The gradients of a network in the order of its parameters; those without any are left out.
#[derive(Debug)]
pub(super) struct Flat {
    pub(super) values: Vec<f32>,
    /// Parameters with a gradient, and its length.
    lengths: Vec<(ParamId, usize)>,
    device: Device,
}

impl Flat {
    /// Reads them, which waits for the device.
    pub(super) fn of<M: Module>(module: &M, gradients: GradientsParams) -> Self {
        let pieces = pieces(module, gradients);
        let device = pieces.first().map(|(_, gradient)| gradient.device());
        let (mut values, mut lengths) = (Vec::new(), Vec::new());
        for (id, gradient) in pieces {
            lengths.push((id, gradient.dims()[0]));
            values.extend(gradient.into_data().iter::<f32>());
        }
        Self {
            values,
            lengths,
            device: device.expect("a pass has gradients"),
        }
    }

    #[cfg(test)]
    pub(super) fn of_values(values: Vec<f32>) -> Self {
        Self {
            lengths: vec![(ParamId::new(), values.len())],
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
        let mut rest = self.values.as_slice();
        let lengths = self.lengths.into_iter();
        let pieces = lengths.map(|(id, length)| {
            let values;
            (values, rest) = rest.split_at(length);
            (id, Tensor::from_floats(values, &self.device))
        });
        restored(module, pieces.collect())
    }
}
