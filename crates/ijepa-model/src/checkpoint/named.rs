//! Visits of parameters with their official names.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::Tensor,
};

/// Sees the float parameters of a network.
pub trait ParameterVisitor {
    /// Sees the next parameter; `name` is the official one.
    fn visit<const D: usize>(&mut self, name: String, param: &Param<Tensor<D>>);
}

/// Replaces the float parameters of a network.
pub trait ParameterMapper {
    /// What takes the place of the next parameter; `name` is the official one.
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

/// Shows `visitor` all float parameters of `module` in the order of its fields.
pub fn visit_parameters<M: Module>(module: &M, visitor: &mut impl ParameterVisitor) {
    module.visit(&mut Named::new(visitor));
}

/// `module` with what `mapper` makes of its float parameters.
pub fn map_parameters<M: Module>(module: M, mapper: &mut impl ParameterMapper) -> M {
    module.map(&mut Named::new(mapper))
}

/// Follows the names of the modules that lead to a parameter.
struct Named<'a, T> {
    path: Vec<String>,
    inner: &'a mut T,
}

impl<'a, T> Named<'a, T> {
    fn new(inner: &'a mut T) -> Self {
        let path = Vec::new();
        Self { path, inner }
    }

    fn official_name(&self) -> String {
        let name = self.path.join(".");
        match name.rsplit_once('.') {
            Some((norm, "gamma")) => format!("{norm}.weight"),
            Some((norm, "beta")) => format!("{norm}.bias"),
            _ => name,
        }
    }
}

impl<V: ParameterVisitor> ModuleVisitor for Named<'_, V> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.inner.visit(self.official_name(), param);
    }
}

impl<M: ParameterMapper> ModuleMapper for Named<'_, M> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.inner.map(self.official_name(), param)
    }
}
