//! Shapes and types of results, which Burn's fusion asks for before they are computed.

use burn::{
    backend::fusion::custom::TensorSpec,
    tensor::{FloatDType, Shape},
};

/// Shape and type of `x` [narrowed](super::Primitives::narrow).
pub(super) fn narrow_spec(x: &TensorSpec, dtype: &Option<FloatDType>) -> TensorSpec {
    let dtype = dtype.map_or(x.dtype, Into::into);
    TensorSpec::new(x.shape.clone(), dtype)
}

/// Shape and type of the attention's output for `qkv`.
pub(super) fn mixed_spec(qkv: &TensorSpec, first: &usize) -> TensorSpec {
    let [batch, tokens, triple] = qkv.shape.dims::<3>();
    TensorSpec::new(Shape::new([batch, tokens - first, triple / 3]), qkv.dtype)
}
