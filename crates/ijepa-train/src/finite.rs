//! Finding the tensor that stopped being a number.

use burn::{
    module::{Module, Param},
    optim::GradientsParams,
    tensor::Tensor,
};
use ijepa_model::checkpoint::{ParameterVisitor, visit_parameters};

use crate::adamw::AdamW;

/// Official name of the first parameter of `module` with a value that is not finite, or with such
/// a moment in its `optimizer`.
pub fn first_not_finite<M: Module>(module: &M, optimizer: Option<&AdamW>) -> Option<String> {
    let mut find = InParameters {
        optimizer,
        sums: Sums::default(),
    };
    visit_parameters(module, &mut find);
    find.sums.first_not_finite()
}

/// Official name of the first parameter of `module` whose gradient has a value that is not finite.
pub(crate) fn first_gradient_not_finite<M: Module>(
    module: &M,
    gradients: &GradientsParams,
) -> Option<String> {
    let mut find = InGradients {
        gradients,
        sums: Sums::default(),
    };
    visit_parameters(module, &mut find);
    find.sums.first_not_finite()
}

/// Sums of the magnitudes of tensors, left on the device, and what the tensors are.
#[derive(Default)]
struct Sums {
    names: Vec<String>,
    sums: Vec<Tensor<1>>,
}

impl Sums {
    fn add<const D: usize>(&mut self, name: String, values: Tensor<D>) {
        self.names.push(name);
        // A sum is finite only if every term is (values near the end of f32 are lost anyway).
        self.sums.push(values.without_autodiff().abs().sum());
    }

    fn first_not_finite(mut self) -> Option<String> {
        if self.sums.is_empty() {
            return None;
        }
        let sums = Tensor::cat(self.sums, 0).into_data();
        let at = sums.iter::<f32>().position(|sum| !sum.is_finite())?;
        Some(self.names.swap_remove(at))
    }
}

struct InParameters<'a> {
    optimizer: Option<&'a AdamW>,
    sums: Sums,
}

impl ParameterVisitor for InParameters<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        self.sums.add(format!("parameter {name}"), param.val());
        let moments = self
            .optimizer
            .map(|optimizer| optimizer.moments::<D>(&name));
        for moment in moments.into_iter().flatten().flatten() {
            self.sums.add(format!("moment of {name}"), moment);
        }
    }
}

struct InGradients<'a> {
    gradients: &'a GradientsParams,
    sums: Sums,
}

impl ParameterVisitor for InGradients<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.sums.add(format!("gradient of {name}"), gradient);
        }
    }
}
