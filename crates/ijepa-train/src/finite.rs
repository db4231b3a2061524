//! Finding the tensor that stopped being a number.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use ijepa_model::checkpoint::{ParameterVisitor, visit_parameters};

use crate::adamw::AdamW;

/// Official name of the first parameter of `module` with a value that is not finite, or with such
/// a moment in its `optimizer`.
pub fn first_not_finite<M: Module>(module: &M, optimizer: Option<&AdamW>) -> Option<String> {
    let mut find = Find {
        optimizer,
        names: Vec::new(),
        sums: Vec::new(),
    };
    visit_parameters(module, &mut find);
    let Find {
        mut names, sums, ..
    } = find;
    if sums.is_empty() {
        return None;
    }
    let sums = Tensor::cat(sums, 0).into_data();
    let at = sums.iter::<f32>().position(|sum| !sum.is_finite())?;
    Some(names.swap_remove(at))
}

struct Find<'a> {
    optimizer: Option<&'a AdamW>,
    names: Vec<String>,
    sums: Vec<Tensor<1>>,
}

impl Find<'_> {
    fn add<const D: usize>(&mut self, name: String, values: Tensor<D>) {
        self.names.push(name);
        // A sum is finite only if every term is (values near the end of f32 are lost anyway).
        self.sums.push(values.without_autodiff().abs().sum());
    }
}

impl ParameterVisitor for Find<'_> {
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>) {
        self.add(format!("parameter {name}"), param.val());
        let moments = self
            .optimizer
            .map(|optimizer| optimizer.moments::<D>(&name));
        for moment in moments.into_iter().flatten().flatten() {
            self.add(format!("moment of {name}"), moment);
        }
    }
}
