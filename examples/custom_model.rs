//! Our encoder inside a Burn model of your own: a frozen backbone with a trained linear head.
//!
//! Run:     cargo run --release --example custom_model
//! Needs:   nothing; images are rendered
//! Time:    a few seconds
//! Prints:  the loss of every tenth step, falling
#![expect(clippy::print_stdout, reason = "an example prints")]

use burn::{
    module::Module,
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::{AdamWConfig, GradientsParams},
    tensor::{Device, Int, Tensor},
};
use ijepa_data::{DataSpec, Preprocess};
use ijepa_model::{Normalization, Pooling, VisionTransformer, VisionTransformerConfig};

/// Texture classes of the rendered images.
const CLASSES: usize = 5;

#[derive(Module, Debug)]
struct Classifier {
    backbone: VisionTransformer,
    head: Linear,
}

impl Classifier {
    fn new(backbone: VisionTransformer, device: &Device) -> Self {
        let head = LinearConfig::new(backbone.embed_dim(), CLASSES).init(device);
        Self {
            backbone: backbone.frozen(),
            head,
        }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.head
            .forward(self.backbone.forward_pooled(images, Pooling::Mean))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    // VisionTransformer::from_pretrained("weights.pth.tar", &device)? loads trained weights.
    let backbone = VisionTransformerConfig::new([32, 32], 4, 64, 2, 2);
    let mut model = Classifier::new(backbone.init(&device), &device);

    let spec: DataSpec = "scenes:kind=texture,n=64,size=32".parse()?;
    let source = spec.open()?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for index in 0..source.len() {
        let image = Preprocess::None.apply(&source.read(index)?, [32, 32])?;
        pixels.extend_from_slice(image.pixels());
        labels.push(source.label(index).unwrap_or(0) as i32);
    }
    let images = Normalization::IMAGENET.images(&pixels, [source.len(), 32, 32], &device);
    let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &device);

    let mut optimizer = AdamWConfig::new().init();
    let criterion = CrossEntropyLossConfig::new().init(&device);
    for step in 0..=30 {
        let loss = criterion.forward(model.forward(images.clone()), labels.clone());
        if step % 10 == 0 {
            println!(
                "step {step:2}  loss {:.3}",
                loss.clone().into_scalar::<f32>()
            );
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-2, model, gradients);
    }
    Ok(())
}
