//! The target encoder: an exponential moving average of the context encoder.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Tensor, container::TensorContainer},
};
use ijepa_kernels::lerp;

use crate::{encoder::VisionTransformer, taken::taken};

/// The position table is an encoder's first parameter and its only fixed one.
const FIXED: usize = 1;

/// A copy of the context encoder that follows it slowly and never receives a gradient.
#[derive(Debug, Clone)]
pub struct EmaTarget {
    encoder: VisionTransformer,
}

impl EmaTarget {
    /// Starts from `encoder`: the target of a new run is a copy of its context encoder.
    pub fn new(encoder: &VisionTransformer) -> Self {
        Self {
            encoder: encoder.valid(),
        }
    }

    /// The target encoder.
    pub fn encoder(&self) -> &VisionTransformer {
        &self.encoder
    }

    /// Moves every weight: `target = momentum * target + (1 - momentum) * online`.
    ///
    /// Fixed positions are left alone; averaging them would only add rounding
    /// (DIFFERENCE(D-06)).
    ///
    /// # Panics
    ///
    /// Panics if `online` has other sizes than the target.
    pub fn update(&mut self, online: &VisionTransformer, momentum: f64) {
        average(&mut self.encoder, online, momentum, FIXED);
    }
}

/// Makes `average` `momentum * average + (1 - momentum) * online`, every parameter of it but the
/// first `fixed`, in place.
///
/// # Panics
///
/// Panics if `online` has other sizes.
pub fn average<M: Module>(average: &mut M, online: &M, momentum: f64, fixed: usize) {
    let mut weights = Collect {
        tensors: TensorContainer::new(),
        count: 0,
        fixed,
    };
    online.visit(&mut weights);
    let mut mapper = Average {
        online: weights.tensors,
        next: 0,
        momentum,
    };
    *average = taken(average).map(&mut mapper);
    assert_eq!(
        mapper.next, weights.count,
        "the average and the network that it follows differ in depth"
    );
}

/// Takes the trainable tensors of a network in the order of its fields.
struct Collect {
    tensors: TensorContainer<usize>,
    count: usize,
    fixed: usize,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.count >= self.fixed {
            self.tensors
                .register(self.count, param.val().without_autodiff());
        }
        self.count += 1;
    }
}

struct Average {
    online: TensorContainer<usize>,
    next: usize,
    momentum: f64,
}

impl ModuleMapper for Average {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let online = self.online.remove::<Tensor<D>>(&self.next);
        self.next += 1;
        let Some(online) = online else { return param };
        let momentum = self.momentum;
        param.map(|target| lerp(target, online, 1.0 - momentum))
    }
}
