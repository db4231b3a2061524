//! Linear layers on patches, side by side.

use burn::{
    nn::Linear,
    tensor::{Device, Tensor, TensorData, activation::log_softmax},
};
use ijepa_data::Mask;
use ijepa_model::{Initialization, Initializer};

use super::{DenseConfig, Upsample};
use crate::side_by_side::SideBySide;

/// Segmentation heads that differ in learning rate and weight decay.
#[derive(Debug)]
pub(super) struct SegmentationHeads {
    classes: usize,
    heads: SideBySide<Linear>,
}

impl SegmentationHeads {
    /// Initial heads for patches `dim` wide.
    pub(super) fn new(config: &DenseConfig, [dim, classes]: [usize; 2], device: &Device) -> Self {
        let init = Initialization {
            seed: config.seed,
            ..Initialization::default()
        };
        let trained = device.clone().autodiff();
        let mut init = Initializer::new(init, &trained);
        let rates = config.heads();
        let heads = SideBySide::new(rates, || init.linear(dim, classes), device);
        Self { classes, heads }
    }

    pub(super) fn count(&self) -> usize {
        self.heads.count()
    }

    /// One step on `tokens`, `[batch, patches, dim]`; all masks have the size that `upsample`
    /// gives.
    pub(super) fn step(
        &mut self,
        tokens: Tensor<3>,
        masks: &[&Mask],
        upsample: &Upsample,
        factor: f64,
    ) {
        let tokens = Tensor::from_inner(tokens);
        let (targets, pixels) = one_hot(masks, self.classes, &tokens.device());
        self.heads.step(factor, |head| {
            let logits = upsample.forward(head.forward(tokens.clone()));
            pixel_cross_entropy(logits, targets.clone(), pixels)
        });
    }

    /// As [`SideBySide::take_losses`].
    pub(super) fn take_losses(&mut self) -> Vec<f32> {
        self.heads.take_losses()
    }

    /// The class of every pixel of the image of `tokens`, `[1, patches, dim]`, by each head.
    pub(super) fn classes(&self, tokens: Tensor<3>, upsample: &Upsample) -> Vec<Vec<usize>> {
        let of_head = |head: Linear| {
            let logits = upsample.forward(head.forward(tokens.clone()));
            let classes = logits.argmax(1).into_data();
            classes.iter::<i64>().map(|class| class as usize).collect()
        };
        self.heads.tested().map(of_head).collect()
    }
}

/// 1 for the class of every pixel and 0 for all others, `[batch, classes, height, width]`; pixels
/// that are ignored have none. Also the number of those that are not.
fn one_hot(masks: &[&Mask], classes: usize, device: &Device) -> (Tensor<4>, usize) {
    let [height, width] = masks[0].size();
    let area = height * width;
    let mut values = vec![0.0_f32; masks.len() * classes * area];
    let mut pixels = 0;
    for (mask, values) in masks.iter().zip(values.chunks_exact_mut(classes * area)) {
        let known = mask.classes().iter().enumerate();
        for (at, &class) in known.filter(|(_, class)| **class != Mask::IGNORED) {
            values[usize::from(class) * area + at] = 1.0;
            pixels += 1;
        }
    }
    let data = TensorData::new(values, [masks.len(), classes, height, width]);
    (Tensor::from_data(data, device), pixels)
}

/// Mean cross-entropy of the `pixels` that have a class.
fn pixel_cross_entropy(logits: Tensor<4>, targets: Tensor<4>, pixels: usize) -> Tensor<1> {
    let sum = (log_softmax(logits, 1) * targets).sum();
    sum / -(pixels.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use ijepa_model::checkpoint::named_gradients;
    use ijepa_testkit::{Golden, assert_close, device, tolerance, values};

    use super::*;

    /// See `tests/golden/dense.py`.
    #[test]
    fn interpolation_loss_and_gradients_are_pytorchs() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let golden = Golden::load(folder, "dense");
        let device = device().autodiff();
        let parameter = |tensor: Tensor<2>| Param::from_tensor(tensor.require_grad());
        let [rows, columns] = [0, 1].map(|axis| {
            let side = golden.json["grid"][axis].as_u64();
            side.unwrap() as usize
        });
        for case in ["larger", "smaller"] {
            let name = |what: &str| format!("{case}.{what}");
            let [height, width] = golden.shape(&name("mask"))[1..] else {
                panic!("masks are maps")
            };
            let bias = golden.tensor::<1>("bias", &device).require_grad();
            let head = Linear {
                weight: parameter(golden.tensor("weight", &device)),
                bias: Some(Param::from_tensor(bias)),
            };
            let masks = golden.i64s(&name("mask"));
            let masks = masks.chunks_exact(height * width).map(|mask| {
                let classes = mask.iter().map(|&class| class as u8);
                Mask::new([height, width], classes.collect())
            });
            let masks: Vec<Mask> = masks.collect();
            let masks: Vec<&Mask> = masks.iter().collect();
            let (targets, pixels) = one_hot(&masks, golden.shape("bias")[0], &device);
            let upsample = Upsample::new([rows, columns], [height, width], &device);

            let tokens = golden.tensor::<3>("tokens", &device);
            let logits = upsample.forward(head.forward(tokens));
            let found = values(logits.clone());
            assert_close(case, &found, &golden.f32s(&name("logits")), tolerance(1e-5));
            let loss = pixel_cross_entropy(logits, targets, pixels);
            let found = values(loss.clone());
            assert_close(case, &found, &golden.f32s(&name("loss")), tolerance(1e-5));
            for gradient in named_gradients(&head, &loss.backward()) {
                let expected = golden.f32s(&name(&gradient.name));
                let found = gradient.read().unwrap();
                assert_close(&gradient.name, &found, &expected, tolerance(1e-5));
            }
        }
    }
}
