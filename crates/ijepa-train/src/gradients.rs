//! Sums and norms over the gradients of a whole network.

mod buckets;
mod flat;
mod pieces;
mod tree;

use std::collections::VecDeque;

use burn::{
    module::{Module, ModuleVisitor, Param, ParamId},
    optim::GradientsParams,
    tensor::{Device, Tensor},
};
use ijepa_model::kernels::{TensorList, add, scale, squared_norm};

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
            let share = (1.0 / parts as f64) as f32;
            scaled(module, sum, |device| Tensor::from_data([share], device))
        }
    }
}

fn combined<M: Module>(
    module: &M,
    result: GradientsParams,
    other: GradientsParams,
) -> GradientsParams {
    let mut pairs = TakePairs {
        result,
        other,
        ids: VecDeque::new(),
        lists: Default::default(),
    };
    module.visit(&mut pairs);
    let [result, other] = pairs.lists;
    let sums = add(result, other);
    with_listed(module, pairs.result, pairs.ids, sums)
}

/// Takes gradients that both have; `result` is left with those of one.
struct TakePairs {
    result: GradientsParams,
    other: GradientsParams,
    ids: VecDeque<ParamId>,
    lists: [TensorList; 2],
}

impl ModuleVisitor for TakePairs {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradients = [&mut self.result, &mut self.other];
        match gradients.map(|gradients| gradients.remove::<D>(param.id)) {
            [Some(a), Some(b)] => {
                self.ids.push_back(param.id);
                self.lists[0].push(a);
                self.lists[1].push(b);
            }
            [a, b] => {
                if let Some(gradient) = a.or(b) {
                    self.result.register(param.id, gradient);
                }
            }
        }
    }
}

/// `gradients` and those of a list, whose parameters are `ids`.
fn with_listed<M: Module>(
    module: &M,
    gradients: GradientsParams,
    ids: VecDeque<ParamId>,
    list: TensorList,
) -> GradientsParams {
    let mut register = RegisterListed {
        gradients,
        ids,
        list,
    };
    module.visit(&mut register);
    register.gradients
}

struct RegisterListed {
    gradients: GradientsParams,
    ids: VecDeque<ParamId>,
    list: TensorList,
}

impl ModuleVisitor for RegisterListed {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.ids.front() == Some(&param.id) {
            self.ids.pop_front();
            let gradient = self.list.take::<D>().expect("a tensor for every parameter");
            self.gradients.register(param.id, gradient);
        }
    }
}

/// All gradients times the factor, `[1]`, that `factor` gives on their device.
fn scaled<M: Module>(
    module: &M,
    gradients: GradientsParams,
    factor: impl FnOnce(&Device) -> Tensor<1>,
) -> GradientsParams {
    let mut all = TakeAll {
        gradients,
        ids: VecDeque::new(),
        list: TensorList::new(),
        device: None,
    };
    module.visit(&mut all);
    let Some(device) = all.device else {
        return all.gradients;
    };
    let list = scale(all.list, factor(&device));
    with_listed(module, all.gradients, all.ids, list)
}

struct TakeAll {
    gradients: GradientsParams,
    ids: VecDeque<ParamId>,
    list: TensorList,
    device: Option<Device>,
}

impl ModuleVisitor for TakeAll {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.device.get_or_insert_with(|| gradient.device());
            self.ids.push_back(param.id);
            self.list.push(gradient);
        }
    }
}

/// Root of the sum of squares of all gradients, left on the device: `[1]`.
pub(crate) fn global_norm<M: Module>(module: &M, gradients: &GradientsParams) -> Option<Tensor<1>> {
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
pub(crate) fn clipped<M: Module>(
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
    scaled(module, gradients, |_| factor)
}
