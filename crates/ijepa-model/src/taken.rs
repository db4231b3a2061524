//! Weights out of the hands of their network.

use burn::{
    module::{Module, ModuleMapper, Param},
    tensor::Tensor,
};

/// `module` itself, in whose place its sizes stay behind.
///
/// A clone shares its weights, which a kernel then has to copy before it writes; who takes them is
/// the only one to hold them, and they are updated in place. Put the module back afterwards: the
/// weights of what stays behind panic when they are read.
pub fn taken<M: Module>(module: &mut M) -> M {
    let sizes = module.clone().map(&mut Sizes);
    std::mem::replace(module, sizes)
}

/// What stays behind of a parameter whose value is taken.
pub fn without_value<const D: usize>(param: &Param<Tensor<D>>) -> Param<Tensor<D>> {
    let (device, shape) = (param.lazy_device(), param.lazy_shape());
    let init = |_: &_, _| panic!("the weights were taken and not put back");
    Param::uninitialized(param.id, init, device, false, shape)
}

struct Sizes;

impl ModuleMapper for Sizes {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        without_value(&param)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::{
        backend::DispatchTensorKind,
        tensor::{Device, Tensor},
    };

    use crate::{EmaTarget, Initialization, VisionTransformer, VisionTransformerConfig};

    fn address(encoder: &VisionTransformer) -> *const f32 {
        let weight: Tensor<2> = encoder.blocks[0].attn.qkv.weight.val();
        let DispatchTensorKind::Flex(weight) = weight.into_dispatch().kind else {
            panic!("a tensor of another backend");
        };
        let weight = weight.float();
        let values = weight.as_slice::<f32>().expect("values in one piece");
        values.as_ptr()
    }

    #[test]
    fn a_moving_average_stays_where_it_is() {
        let config = VisionTransformerConfig::new([8, 8], 4, 12, 1, 2);
        let encoder = config.init_with(Initialization::default(), &Device::flex());
        let mut target = EmaTarget::new(&encoder);
        // The first update parts it from the encoder, whose weights it shares.
        target.update(&encoder, 0.5);
        let before = address(target.encoder());
        target.update(&encoder, 0.5);
        assert_eq!(address(target.encoder()), before);
        assert_ne!(address(&encoder), before);
    }
}
