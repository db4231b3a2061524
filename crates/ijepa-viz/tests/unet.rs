//! The network in PyTorch's numbers; see `golden/decoder.py`.

use std::path::Path;

use burn::{module::Module, tensor::Tensor};
use ijepa_model::checkpoint::named_gradients;
use ijepa_testkit::{Golden, assert_close, device, tolerance, values};
use ijepa_viz::rcdm::Decoder;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
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
    let named = named_gradients(&unet, &gradients);
    let names = golden.names("grad.").len();
    assert_eq!(named.len(), names - 2);
    for tensor in named {
        let found = tensor.read().unwrap();
        close(&tensor.name, &found, &format!("grad.{}", tensor.name));
    }
}
