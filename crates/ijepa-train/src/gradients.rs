//! Sums and norms over the gradients of a whole network.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::Tensor,
};
use ijepa_model::kernels::squared_norm;

/// The sum of the gradients of several backward passes.
#[derive(Debug, Default)]
pub struct SumOfGradients {
    sum: Option<GradientsParams>,
}

impl SumOfGradients {
    /// Adds the gradients of a pass.
    pub fn add<M: Module>(&mut self, module: &M, gradients: GradientsParams) {
        self.sum = Some(match self.sum.take() {
            None => gradients,
            Some(sum) => {
                let mut add = Combine {
                    result: sum,
                    other: gradients,
                };
                module.visit(&mut add);
                add.result
            }
        });
    }

    /// The sum divided by the number of passes that count the same: mask groups, micro-batches.
    ///
    /// # Panics
    ///
    /// Panics if nothing was added.
    pub fn over<M: Module>(self, module: &M, parts: usize) -> GradientsParams {
        let sum = self.sum.expect("at least one pass");
        if parts == 1 {
            sum
        } else {
            scaled(module, sum, 1.0 / parts as f64)
        }
    }
}

struct Combine {
    result: GradientsParams,
    other: GradientsParams,
}

impl ModuleVisitor for Combine {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (a, b) = (
            self.result.remove::<D>(param.id),
            self.other.remove::<D>(param.id),
        );
        let sum = match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        if let Some(sum) = sum {
            self.result.register(param.id, sum);
        }
    }
}

fn scaled<M: Module>(module: &M, gradients: GradientsParams, factor: f64) -> GradientsParams {
    let mut scale = Scale {
        gradients,
        factor: Factor::Number(factor),
    };
    module.visit(&mut scale);
    scale.gradients
}

struct Scale {
    gradients: GradientsParams,
    factor: Factor,
}

enum Factor {
    Number(f64),
    OnDevice(Box<Tensor<1>>),
}

impl ModuleVisitor for Scale {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            let scaled = match &self.factor {
                Factor::Number(factor) => gradient.mul_scalar(*factor),
                Factor::OnDevice(factor) => gradient * factor.as_ref().clone().reshape([1; D]),
            };
            self.gradients.register(param.id, scaled);
        }
    }
}

/// Root of the sum of squares of all gradients, left on the device: `[1]`.
pub fn global_norm<M: Module>(module: &M, gradients: &GradientsParams) -> Option<Tensor<1>> {
    let mut squares = SumOfSquares {
        gradients,
        sum: None,
    };
    module.visit(&mut squares);
    squares.sum.map(Tensor::sqrt)
}

struct SumOfSquares<'a> {
    gradients: &'a GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            let square = squared_norm(gradient);
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

/// Scales gradients down to a global norm of at most `limit`, as `torch.nn.utils.clip_grad_norm_`.
pub fn clipped<M: Module>(
    module: &M,
    gradients: GradientsParams,
    norm: &Tensor<1>,
    limit: f64,
) -> GradientsParams {
    let factor = norm
        .clone()
        .add_scalar(1e-6)
        .recip()
        .mul_scalar(limit)
        .clamp_max(1.0);
    let mut scale = Scale {
        gradients,
        factor: Factor::OnDevice(Box::new(factor)),
    };
    module.visit(&mut scale);
    scale.gradients
}
