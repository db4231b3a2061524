//! Numbers of timm's ViT, mixup and losses and of PyTorch's AdamW; see `golden/finetune.py` and
//! `golden/lora.py`.

use std::{collections::BTreeMap, path::Path};

use burn::{module::Module, optim::GradientsParams, tensor::Tensor};
use ijepa_data::{CropRect, Mixing};
use ijepa_eval::finetune::{layer_scale, mix_images, soft_cross_entropy};
use ijepa_model::{
    Classifier, Compute, Kernels,
    checkpoint::{StateDict, named_gradients, named_tensors},
};
use ijepa_testkit::{Golden, assert_close, device, tolerance, values};
use ijepa_train::{AdamW, AdamWConfig, WarmupCosine};
use serde_json::Value;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden() -> Golden {
    Golden::load(folder(), "finetune")
}

/// Logits, gradients and three steps of pairs beside frozen weights, with fused kernels and with
/// Burn's operations.
#[test]
fn low_rank_pairs_learn_as_in_pytorch() {
    let (golden, device) = (Golden::load(folder(), "lora"), device());
    let of = |key: &str| golden.json[key].as_f64().unwrap();
    let labels = golden.json["labels"].as_array().unwrap().iter();
    let labels: Vec<u32> = labels.map(|label| label.as_u64().unwrap() as u32).collect();
    let losses = golden.json["losses"].as_array().unwrap();
    let in_module = |name: &str| match name.strip_prefix("fc_norm.") {
        Some(end) => format!("encoder.norm.{end}"),
        None if name.starts_with("head.") => name.to_owned(),
        None => format!("encoder.{name}"),
    };
    let tensors = |start: &str| -> BTreeMap<String, Vec<f32>> {
        let names = golden.names(start).into_iter();
        names
            .map(|name| (in_module(&name), golden.f32s(&format!("{start}{name}"))))
            .collect()
    };
    for kernels in [Kernels::Fused, Kernels::Reference] {
        let mut model = classifier("classifier.safetensors");
        model.encoder = model.encoder.with_lora(of("rank") as usize, 0, 0);
        let before = StateDict::open(folder().join("lora.safetensors")).unwrap();
        let before = before.renamed(|name| Some(in_module(name.strip_prefix("before.")?)));
        let (model, left) = before.load_fitting(model).unwrap();
        assert!(
            left.unexpected.is_empty() && left.misshaped.is_empty(),
            "{left}"
        );
        let compute = Compute {
            kernels,
            ..Compute::default()
        };
        let mut model = model.with_compute(compute).train();
        let mut optimizer = AdamW::new(AdamWConfig::default());
        let classes = model.classes().len();
        let targets = Mixing::None.targets(&labels, classes, 0.0);
        let targets = Tensor::<1>::from_floats(&targets[..], &device);
        let targets = Tensor::from_inner(targets.reshape([labels.len(), classes]));
        for (step, expected) in losses.iter().enumerate() {
            let images = golden.tensor::<4>("images", &device);
            // As torch.roll along the channels.
            let channels = (0..3).map(|c| images.clone().narrow(1, (c + 3 - step) % 3, 1));
            let images = Tensor::from_inner(Tensor::cat(channels.collect(), 1));
            let logits = model.forward(images);
            if step == 0 {
                let found = values(logits.clone());
                assert_close("logits", &found, &golden.f32s("logits"), tolerance(1e-5));
            }
            let loss = soft_cross_entropy(logits, targets.clone());
            let expected = expected.as_f64().unwrap() as f32;
            assert_close("loss", &values(loss.clone()), &[expected], tolerance(1e-5));
            let gradients = loss.backward();
            if step == 0 {
                let found = named_gradients(&model, &gradients).into_iter();
                let found: BTreeMap<_, _> = found
                    .map(|it| (it.name.clone(), it.read().unwrap()))
                    .collect();
                let expected = tensors("gradient.");
                assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
                for (name, expected) in expected {
                    assert_close(&name, &found[&name], &expected, tolerance(1e-5));
                }
            }
            let gradients = GradientsParams::from_grads(gradients, &model);
            optimizer.step(&mut model, gradients, of("lr"), of("weight_decay"));
        }
        let after = named_tensors(&model).into_iter();
        let after: BTreeMap<_, _> = after
            .map(|it| (it.name.clone(), it.read().unwrap()))
            .collect();
        for (name, expected) in tensors("after.") {
            assert_close(&name, &after[&name], &expected, tolerance(1e-5));
        }
    }
}

fn classifier(name: &str) -> Classifier {
    Classifier::from_pretrained(folder().join(name), &device()).unwrap()
}

fn mixing(step: &Value) -> Mixing {
    let lam = step["lam"].as_f64().unwrap();
    match step["kind"].as_str() {
        None => Mixing::None,
        Some("mixup") => Mixing::Mixup { lam },
        Some(_) => {
            let side = |at: usize| step["rect"][at].as_u64().unwrap() as usize;
            let rect = CropRect {
                top: side(0),
                left: side(1),
                height: side(2),
                width: side(3),
            };
            Mixing::CutMix { lam, rect }
        }
    }
}

fn schedule(golden: &Golden) -> (WarmupCosine, f64) {
    let of = |key: &str| golden.json["schedule"][key].as_f64().unwrap();
    let schedule = WarmupCosine {
        lr: of("lr"),
        min_lr: of("min_lr"),
        warmup_epochs: of("warmup_epochs"),
        epochs: of("epochs"),
    };
    (schedule, of("steps_per_epoch"))
}

#[test]
fn a_classifier_of_timm_gives_timms_logits() {
    let golden = golden();
    let images = golden.tensor::<4>("images", &device());
    let found = values(classifier("classifier.safetensors").forward(images));
    assert_close("logits", &found, &golden.f32s("logits"), tolerance(1e-5));
}

#[test]
fn layers_and_rates_are_those_of_the_formulas() {
    let golden = golden();
    let decay = golden.json["layer_decay"].as_f64().unwrap();
    let scales = golden.json["scales"].as_object().unwrap();
    assert_eq!(scales.len(), 30);
    for (name, expected) in scales {
        let found = layer_scale(name, 2, decay);
        assert!((found - expected.as_f64().unwrap()).abs() < 1e-12, "{name}");
    }
    let (schedule, steps_per_epoch) = schedule(&golden);
    for (step, expected) in golden.json["steps"].as_array().unwrap().iter().enumerate() {
        let found = schedule.at(step as f64 / steps_per_epoch);
        let expected = expected["lr"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-12, "step {step}: {found}");
    }
}

/// Six steps with label smoothing, mixup and CutMix, layer-wise rates and decay of weights only.
///
/// Weights within 1e-4 of the largest of their tensor: Adam divides by roots of gradients, which
/// multiplies rounding. The offset of the keys has no gradient but rounding and is left out.
#[test]
fn mixed_images_targets_losses_and_updates_equal_timms() {
    let (golden, device) = (golden(), device());
    let labels = golden.json["labels"].as_array().unwrap().iter();
    let labels: Vec<u32> = labels.map(|label| label.as_u64().unwrap() as u32).collect();
    let of = |key: &str| golden.json[key].as_f64().unwrap();
    let (smoothing, decay, weight_decay) = (of("smoothing"), of("layer_decay"), of("weight_decay"));
    let mut model = classifier("classifier.safetensors").train();
    let mut optimizer = AdamW::new(AdamWConfig::default());
    for (number, step) in golden.json["steps"].as_array().unwrap().iter().enumerate() {
        let mixing = mixing(step);
        let images = golden.tensor::<4>("images", &device);
        // As torch.roll along the channels.
        let channels = (0..3).map(|c| images.clone().narrow(1, (c + 9 - number) % 3, 1));
        let images = mix_images(Tensor::cat(channels.collect(), 1), mixing);
        let classes = model.classes().len();
        let targets = mixing.targets(&labels, classes, smoothing);
        if mixing != Mixing::None {
            let expected = golden.f32s(&format!("mixed.{number}"));
            assert_close(
                "images",
                &values(images.clone()),
                &expected,
                tolerance(1e-6),
            );
            let expected = golden.f32s(&format!("targets.{number}"));
            assert_close("targets", &targets, &expected, 1e-6);
        }
        let targets = Tensor::<1>::from_floats(&targets[..], &device);
        let targets = targets.reshape([labels.len(), classes]);
        let logits = model.forward(Tensor::from_inner(images));
        let loss = soft_cross_entropy(logits, Tensor::from_inner(targets));
        let expected = step["loss"].as_f64().unwrap() as f32;
        assert_close("loss", &values(loss.clone()), &[expected], tolerance(2e-5));
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        let lr = step["lr"].as_f64().unwrap();
        let scale_of = |name: &str| layer_scale(name, 2, decay);
        optimizer.step_scaled(&mut model, gradients, lr, weight_decay, scale_of);
    }
    for tensor in ijepa_model::checkpoint::named_tensors(&model) {
        let name = tensor.name.replace("encoder.norm", "fc_norm");
        let name = name.trim_start_matches("encoder.");
        let (mut found, mut expected) = (
            tensor.read().unwrap(),
            golden.f32s(&format!("after.{name}")),
        );
        if name.ends_with("qkv.bias") {
            found.drain(16..32);
            expected.drain(16..32);
        }
        assert_close(name, &found, &expected, 1e-4);
    }
}
