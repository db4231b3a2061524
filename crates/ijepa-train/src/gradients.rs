//! Sums and norms over the gradients of a whole network.

mod buckets;
mod flat;
mod tree;

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{Device, Tensor},
};
use ijepa_model::kernels::{TensorList, squared_norm};

use crate::{device::is_cpu, finite::first_gradient_not_finite, ranks::Ranks, recipe::Reduce};
use flat::Flat;
use tree::{Part, join_all, join_siblings};

/// The order in which gradients of passes are added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Summation {
    /// One after the other, each rank its own: the fastest.
    #[default]
    Running,
    /// In a binary tree over the numbers of the passes of a step, so that the sum has the same bits
    /// however many ranks share them. Keeps a partial sum for each level of the tree.
    Tree,
}

impl Reduce {
    /// The order on `device`.
    pub fn summation(self, device: &Device) -> Summation {
        match self {
            Self::Auto if is_cpu(device) => Summation::Tree,
            Self::Exact => Summation::Tree,
            Self::Auto | Self::Fast => Summation::Running,
        }
    }
}

/// The sum of the gradients of several backward passes.
#[derive(Debug, Default)]
pub struct SumOfGradients {
    summation: Summation,
    /// The number of the next pass.
    next: usize,
    parts: Vec<Part<GradientsParams>>,
}

impl SumOfGradients {
    /// No gradients yet; the first to be added are those of pass `first` of a step.
    pub fn new(summation: Summation, first: usize) -> Self {
        Self {
            summation,
            next: first,
            parts: Vec::new(),
        }
    }

    /// Adds the gradients of a pass.
    pub fn add<M: Module>(&mut self, module: &M, gradients: GradientsParams) {
        self.parts.push(Part::of_pass(self.next, gradients));
        self.next += 1;
        let add = |sum, other| combined(module, sum, other);
        match self.summation {
            Summation::Running => join_all(&mut self.parts, add),
            Summation::Tree => join_siblings(&mut self.parts, add),
        }
    }

    /// The sum over all ranks, which share the `passes` of a step as the loop does.
    pub(crate) fn over_ranks<M: Module>(
        mut self,
        module: &M,
        ranks: &dyn Ranks,
        passes: usize,
    ) -> Self {
        if ranks.size() == 1 {
            return self;
        }
        let mut parts = std::mem::take(&mut self.parts);
        let sum = match self.summation {
            Summation::Running => {
                let own = parts.pop().expect("at least one pass").sum;
                buckets::summed(module, own, ranks)
            }
            Summation::Tree => {
                let flat = |part: Part<_>| part.map(|gradients| Flat::of(module, gradients));
                let parts = parts.into_iter().map(flat).collect();
                tree::sum(parts, ranks, passes).into_gradients(module)
            }
        };
        self.parts.push(Part::of_pass(0, sum));
        self
    }

    /// What of the sum is not finite. Waits for the device.
    pub(crate) fn first_not_finite<M: Module>(&self, module: &M) -> Option<String> {
        self.parts.iter().find_map(|part| {
            let norm = global_norm(module, &part.sum)?.into_scalar::<f32>();
            let first = || first_gradient_not_finite(module, &part.sum);
            (!norm.is_finite()).then(|| first().unwrap_or_else(|| "the gradient norm".to_owned()))
        })
    }

    /// The sum divided by the number of parts that count the same: mask groups, micro-batches.
    ///
    /// # Panics
    ///
    /// Panics if nothing was added.
    pub fn over<M: Module>(mut self, module: &M, parts: usize) -> GradientsParams {
        join_all(&mut self.parts, |sum, other| combined(module, sum, other));
        let sum = self.parts.pop().expect("at least one pass").sum;
        if parts == 1 {
            sum
        } else {
            scaled(module, sum, 1.0 / parts as f64)
        }
    }
}

fn combined<M: Module>(
    module: &M,
    result: GradientsParams,
    other: GradientsParams,
) -> GradientsParams {
    let mut add = Combine { result, other };
    module.visit(&mut add);
    add.result
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
    let mut list = ListGradients {
        gradients,
        list: TensorList::new(),
    };
    module.visit(&mut list);
    let list = list.list;
    (!list.is_empty()).then(|| squared_norm(list).sqrt())
}

struct ListGradients<'a> {
    gradients: &'a GradientsParams,
    list: TensorList,
}

impl ModuleVisitor for ListGradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.list.push(gradient);
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
