//! From tensors to primitives.

use burn::{
    backend::{DispatchAutodiffContext, DispatchTensor, DispatchTensorKind, TensorMetadata},
    tensor::Tensor,
};

/// `x` as an operand of an operation that is differentiated.
///
/// # Panics
///
/// Panics on a tensor without elements and on one of a backend that is not compiled in.
pub(crate) fn operand<const D: usize>(x: Tensor<D>) -> DispatchTensor {
    let shape = x.dims();
    assert!(
        !shape.contains(&0),
        "nothing to compute on a tensor of shape {shape:?}"
    );
    let x = x.into_dispatch();
    check_backend(&x.kind);
    x
}

/// `x` as an operand of an operation that is not differentiated.
///
/// # Panics
///
/// As [`operand`], and on a tensor that records gradients.
pub(crate) fn constant<const D: usize>(x: Tensor<D>) -> DispatchTensor {
    let x = operand(x);
    assert!(
        matches!(x.autodiff, DispatchAutodiffContext::Disabled),
        "the operation has no gradient: give it the tensor's `inner()`"
    );
    x
}

/// Panics unless this crate is compiled for the backend of a tensor.
fn check_backend(kind: &DispatchTensorKind) {
    if let DispatchTensorKind::Autodiff(inner) = kind {
        return check_backend(inner);
    }
    let supported = false;
    #[cfg(feature = "flex")]
    let supported = supported || matches!(kind, DispatchTensorKind::Flex(_));
    #[cfg(feature = "ndarray")]
    let supported = supported || matches!(kind, DispatchTensorKind::NdArray(_));
    #[cfg(feature = "cube")]
    let supported = supported || matches!(kind, DispatchTensorKind::Cube(_));
    assert!(
        supported,
        "compiled without the backend of {:?}: enable a Cargo feature of the crate that you use, \
         such as `ijepa-model/flex` (or ndarray, wgpu, vulkan, metal, cuda, rocm)",
        kind.device()
    );
}
