//! Golden cases as models, masks and tensors of this crate.

use std::{collections::HashMap, path::PathBuf};

use burn::{
    module::{Module, Param},
    tensor::{Device, Gradients, Tensor},
};
use ijepa_masking::{MaskGroup, PatchGrid, PatchIndices};
use ijepa_model::{
    Compute, EmaTarget, IJepa, IJepaConfig, Initialization, Kernels, MaskTensors, Precision,
    PredictorConfig, VisionTransformer, VisionTransformerConfig,
    checkpoint::{
        NamedTensor, ParameterMapper, map_parameters, named_gradients, tensor_from_official,
    },
};
use ijepa_testkit::{Golden, assert_close, tolerance};

/// Relative tolerance of one forward or backward pass in f32 on a CPU.
pub(crate) const TOLERANCE: f64 = 1e-5;

pub(crate) fn golden_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

pub(crate) fn golden(name: &str) -> Golden {
    Golden::load(golden_folder(), name)
}

/// The model that all `tiny` cases use.
pub(crate) fn tiny_config() -> IJepaConfig {
    IJepaConfig {
        encoder: VisionTransformerConfig::new([32, 32], 8, 48, 3, 3),
        predictor: PredictorConfig::new(24, 2),
    }
}

/// Fused kernels, fused kernels that keep no activations, and Burn's own operations.
pub(crate) const COMPUTE: [Compute; 3] = [
    Compute {
        precision: Precision::F32,
        kernels: Kernels::Fused,
        recompute: false,
    },
    Compute {
        precision: Precision::F32,
        kernels: Kernels::Fused,
        recompute: true,
    },
    Compute {
        precision: Precision::F32,
        kernels: Kernels::Reference,
        recompute: false,
    },
];

/// Context encoder and predictor with the golden weights, and the golden target encoder.
pub(crate) fn tiny_model(device: &Device, compute: Compute) -> (IJepa, EmaTarget) {
    let weights = golden("tiny");
    let model = tiny_config().init(Initialization::default(), device);
    let model = IJepa {
        encoder: with_weights(model.encoder, &weights, "encoder."),
        predictor: with_weights(model.predictor, &weights, "predictor."),
    }
    .with_compute(compute);
    let target: VisionTransformer = tiny_config().encoder.init(device);
    (
        model,
        EmaTarget::new(&with_weights(target, &weights, "target.").with_compute(compute)),
    )
}

/// `module` with the golden tensors whose names begin with `prefix`.
pub(crate) fn with_weights<M: Module>(module: M, golden: &Golden, prefix: &str) -> M {
    let mut set = SetWeights { golden, prefix };
    map_parameters(module, &mut set)
}

struct SetWeights<'a> {
    golden: &'a Golden,
    prefix: &'a str,
}

impl ParameterMapper for SetWeights<'_> {
    fn map<const D: usize>(&mut self, name: String, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = format!("{}{name}", self.prefix);
        let (dims, device) = (param.lazy_shape().dims(), param.lazy_device());
        let values = tensor_from_official(self.golden.f32s(&name), dims, &device);
        let id = param.id;
        param.transform_for_load(values, id)
    }
}

/// Gradients of all trainable parameters, by official name and in official layout.
pub(crate) fn gradients<M: Module>(
    module: &M,
    gradients: &Gradients,
) -> HashMap<String, NamedTensor> {
    let named = named_gradients(module, gradients).into_iter();
    named.map(|tensor| (tensor.name.clone(), tensor)).collect()
}

/// That `found` are the golden gradients whose names begin with `prefix`, and all of them.
pub(crate) fn check_gradients(golden: &Golden, prefix: &str, found: &HashMap<String, NamedTensor>) {
    let expected = golden.names(prefix);
    assert_eq!(found.len(), expected.len(), "{prefix}");
    for parameter in expected {
        let key = format!("{prefix}{parameter}");
        let gradient = found[&parameter].read().unwrap();
        assert_close(&key, &gradient, &golden.f32s(&key), tolerance(TOLERANCE));
    }
}

/// The masks of a golden case on a 4x4 grid; `step` is the prefix of their names.
pub(crate) fn mask_group(golden: &Golden, step: &str) -> MaskGroup {
    let masks = |kind: &str| -> Vec<PatchIndices> {
        golden
            .names(&format!("{step}{kind}."))
            .into_iter()
            .map(|number| {
                let name = format!("{step}{kind}.{number}");
                let kept = golden.shape(&name)[1];
                PatchIndices::new(kept, golden.i64s(&name).iter().map(|&p| p as u32).collect())
            })
            .collect()
    };
    MaskGroup {
        grid: PatchGrid::new(4, 4).unwrap(),
        contexts: masks("masks_enc"),
        targets: masks("masks_pred"),
        relaxations: 0,
    }
}

pub(crate) fn masks(golden: &Golden, device: &Device) -> MaskTensors {
    MaskTensors::new(&mask_group(golden, ""), device)
}
