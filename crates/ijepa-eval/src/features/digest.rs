//! What tells encoders apart.

use blake3::Hasher;
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};
use ijepa_model::VisionTransformer;

/// A name for the sizes and weights of `encoder`, however it is computed.
pub(crate) fn weights_digest(encoder: &VisionTransformer) -> String {
    let mut hasher = Hasher::new();
    add(&mut hasher, format!("{:?}", encoder.config()).as_bytes());
    add_weights(&mut hasher, encoder);
    hasher.finalize().to_hex().to_string()
}

/// Adds shape and values of all parameters.
pub(super) fn add_weights(hasher: &mut Hasher, encoder: &VisionTransformer) {
    struct Weights<'a>(&'a mut Hasher);
    impl ModuleVisitor for Weights<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().into_data();
            add(self.0, format!("{:?}", data.shape()).as_bytes());
            add(self.0, data.as_bytes());
        }
    }
    encoder.visit(&mut Weights(hasher));
}

/// Adds bytes so that they do not run into those before.
pub(super) fn add(hasher: &mut Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
