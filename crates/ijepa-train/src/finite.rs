//! Finding the tensor that stopped being a number.

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};
use ijepa_model::checkpoint::ParamPath;

/// Official name of the first parameter of `module` with a value that is not finite.
pub fn first_not_finite<M: Module>(module: &M) -> Option<String> {
    let mut find = Find {
        path: ParamPath::default(),
        found: None,
    };
    module.visit(&mut find);
    find.found
}

struct Find {
    path: ParamPath,
    found: Option<String>,
}

impl ModuleVisitor for Find {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_some() {
            return;
        }
        // A sum is finite only if every term is (values near the end of f32 are lost anyway).
        let sum: f32 = param.val().without_autodiff().abs().sum().into_scalar();
        if !sum.is_finite() {
            self.found = Some(format!("parameter {}", self.path.official_name()));
        }
    }
}
