//! What tells encoders apart.

use blake3::Hasher;
use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::Tensor,
};
use ijepa_data::framed;
use ijepa_model::{IJepa, VisionTransformer, VisionTransformerConfig};

/// A name for the sizes and weights of `encoder`, however it is computed.
pub fn weights_digest(encoder: &VisionTransformer) -> String {
    let mut hasher = Hasher::new();
    add_encoder(&mut hasher, encoder);
    hasher.finalize().to_hex().to_string()
}

/// A name for the sizes and weights of an encoder with its predictor.
pub fn networks_digest(networks: &IJepa) -> String {
    let mut hasher = Hasher::new();
    add_encoder(&mut hasher, &networks.encoder);
    let sizes = networks.predictor.config();
    add(&mut hasher, format!("{sizes:?}").as_bytes());
    add_weights(&mut hasher, &networks.predictor);
    hasher.finalize().to_hex().to_string()
}

fn add_encoder(hasher: &mut Hasher, encoder: &VisionTransformer) {
    let config = VisionTransformerConfig {
        // Of training only.
        drop_path: 0.0,
        ..encoder.config().clone()
    };
    add(hasher, format!("{config:?}").as_bytes());
    add_weights(hasher, encoder);
}

/// Adds shape and values of all parameters.
pub(super) fn add_weights<M: Module>(hasher: &mut Hasher, network: &M) {
    struct Weights<'a>(&'a mut Hasher);
    impl ModuleVisitor for Weights<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().into_data();
            add(self.0, format!("{:?}", data.shape()).as_bytes());
            add(self.0, data.as_bytes());
        }
    }
    network.visit(&mut Weights(hasher));
}

/// Adds bytes so that they do not run into those before.
pub(super) fn add(hasher: &mut Hasher, bytes: &[u8]) {
    framed(bytes, |part| {
        hasher.update(part);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_path_makes_no_other_encoder() {
        let device = ijepa_testkit::device();
        let sizes = VisionTransformerConfig::new([8, 8], 4, 8, 2, 2);
        let dropped = VisionTransformerConfig {
            drop_path: 0.1,
            ..sizes.clone()
        };
        let encoder = sizes.init(&device);
        let digest = weights_digest(&encoder);
        assert_eq!(weights_digest(&dropped.init(&device)), digest);
        let mut other = encoder;
        other.norm.gamma = other.norm.gamma.map(|gamma| gamma * 2.0);
        assert_ne!(weights_digest(&other), digest);
    }
}
