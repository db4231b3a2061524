//! Gradients of a network as a row of numbers for each parameter, and back.

use std::vec::IntoIter;

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::Tensor,
};

/// A parameter and its gradient, `[values]`.
pub(super) type Piece = (ParamId, Tensor<1>);

/// The gradients of `module` in the order of its parameters; those without any are left out.
pub(super) fn pieces<M: Module>(module: &M, gradients: GradientsParams) -> Vec<Piece> {
    let mut flatten = Flatten {
        gradients,
        pieces: Vec::new(),
    };
    module.visit(&mut flatten);
    flatten.pieces
}

/// The gradients of `module` that [`pieces`] gave in this order.
pub(super) fn restored<M: Module>(module: &M, pieces: Vec<Piece>) -> GradientsParams {
    let mut restore = Restore {
        pieces: pieces.into_iter(),
        gradients: GradientsParams::new(),
    };
    module.visit(&mut restore);
    restore.gradients
}

struct Flatten {
    gradients: GradientsParams,
    pieces: Vec<Piece>,
}

impl ModuleVisitor for Flatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let values = gradient.shape().num_elements();
            self.pieces.push((param.id, gradient.reshape([values])));
        }
    }
}

struct Restore {
    pieces: IntoIter<Piece>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Restore {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let next = self.pieces.as_slice().first();
        if next.is_none_or(|(id, _)| *id != param.id) {
            return;
        }
        let (id, gradient) = self.pieces.next().expect("it was just seen");
        let gradient: Tensor<D> = gradient.reshape(param.lazy_shape());
        self.gradients.register(id, gradient);
    }
}
