//! The target encoder: an exponential moving average of the context encoder.

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::Tensor,
};
use ijepa_kernels::{TensorList, lerp};

use crate::{
    encoder::VisionTransformer,
    taken::{taken, without_value},
};

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
    let mut towards = Collect {
        tensors: TensorList::new(),
        skip: fixed,
    };
    online.visit(&mut towards);
    let mut from = Collect {
        tensors: TensorList::new(),
        skip: fixed,
    };
    let emptied = taken(average).map(&mut from);
    let mut moved = Assign {
        tensors: lerp(from.tensors, towards.tensors, 1.0 - momentum),
        skip: fixed,
    };
    *average = emptied.map(&mut moved);
}

/// Lists the trainable tensors of a network in the order of its fields.
struct Collect {
    tensors: TensorList,
    skip: usize,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.tensors.push(param.val().without_autodiff());
    }
}

/// Takes the tensors out.
impl ModuleMapper for Collect {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.skip > 0 {
            self.skip -= 1;
            return param;
        }
        let emptied = without_value(&param);
        self.tensors.push(param.into_value());
        emptied
    }
}

/// Puts back what [`Collect`] took out.
struct Assign {
    tensors: TensorList,
    skip: usize,
}

impl ModuleMapper for Assign {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.skip > 0 {
            self.skip -= 1;
            return param;
        }
        let moved = self.tensors.take().expect("a tensor of every parameter");
        // A plain tensor alone would be one that is never trained.
        Param::initialized(param.id, moved).set_require_grad(true)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{Initialization, VisionTransformerConfig};

    /// Parameters, and those of them that receive gradients.
    #[derive(Default)]
    struct Count([usize; 2]);

    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0[0] += 1;
            self.0[1] += usize::from(param.val().is_require_grad());
        }
    }

    #[test]
    fn an_average_can_be_trained_before_and_after_it_has_moved() {
        let device = Device::flex().autodiff();
        let config = VisionTransformerConfig::new([8, 8], 4, 12, 1, 2);
        let encoder = config.init_with(Initialization::default(), &device);
        let mut target = EmaTarget::new(&encoder);
        for _ in 0..2 {
            let mut count = Count::default();
            target.encoder().clone().train().visit(&mut count);
            assert_eq!(count.0[1], count.0[0] - FIXED);
            target.update(&encoder, 0.5);
        }
    }
}
