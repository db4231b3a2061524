//! The network in PyTorch's numbers; see `golden/decoder.py`.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::path::Path;

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Gradients, Tensor},
};
use ijepa_model::checkpoint::{NamedTensor, ParamPath};
use ijepa_testkit::{Golden, assert_close, device, tolerance, values};
use ijepa_viz::rcdm::Decoder;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Gradients by the names and in the layouts of the file.
struct Named<'a> {
    gradients: &'a Gradients,
    path: ParamPath,
    tensors: Vec<NamedTensor>,
}

impl ModuleVisitor for Named<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.enter(name);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradient = param.val().grad(self.gradients).unwrap();
        let name = self.path.official_name();
        self.tensors.push(NamedTensor::from_tensor(name, gradient));
    }
}

#[test]
fn noise_and_all_gradients_equal_pytorchs() {
    let golden = Golden::load(folder(), "unet");
    let device = device();
    let decoder = Decoder::from_pretrained(folder().join("decoder.safetensors"), &device).unwrap();
    let unet = decoder.unet.train();
    let steps = golden.json["steps"].as_array().unwrap().iter();
    let steps: Vec<f64> = steps.map(|step| step.as_f64().unwrap()).collect();
    let images = golden.tensor::<4>("images", &device);
    let images = Tensor::from_inner(images).require_grad();
    let conditions = golden.tensor::<2>("conditions", &device);
    let conditions = Tensor::from_inner(conditions).require_grad();
    let predicted = unet.forward(images.clone(), &steps, conditions.clone());
    let found = values(predicted.clone().inner());
    let close = |name: &str, found: &[f32], expected: &str| {
        assert_close(name, found, &golden.f32s(expected), tolerance(2e-5));
    };
    close("noise", &found, "predicted");

    let noise = Tensor::from_inner(golden.tensor::<4>("noise", &device));
    let loss = (predicted - noise).square().mean();
    close("loss", &values(loss.clone().inner()), "loss");
    let gradients = loss.backward();
    let of_images = values(images.grad(&gradients).unwrap());
    close("images", &of_images, "grad.images");
    let of_conditions = values(conditions.grad(&gradients).unwrap());
    close("conditions", &of_conditions, "grad.conditions");
    let mut named = Named {
        gradients: &gradients,
        path: ParamPath::default(),
        tensors: Vec::new(),
    };
    unet.visit(&mut named);
    let names = golden.names("grad.").len();
    assert_eq!(named.tensors.len(), names - 2);
    for tensor in named.tensors {
        let found = tensor.read().unwrap();
        close(&tensor.name, &found, &format!("grad.{}", tensor.name));
    }
}
