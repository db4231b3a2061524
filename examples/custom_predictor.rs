//! Training with a predictor of your own: one cross-attention instead of the paper's narrow ViT.
//!
//! Run:     cargo run --release --example custom_predictor
//! Needs:   nothing; images are rendered
//! Time:    seconds
//! Prints:  the loss of every tenth step, and where encoder and predictor were saved
#![expect(clippy::print_stdout, reason = "an example prints")]

use burn::{
    module::{Module, Param},
    nn::Linear,
    tensor::{Device, Tensor, activation::softmax},
};
use ijepa_data::{DataSpec, Preprocess};
use ijepa_masking::{MaskRng, MaskSampler, MultiBlockConfig};
use ijepa_model::{
    Compute, IJepa, InitScheme, Initialization, Initializer, MaskTensors, Mlp, Normalization,
    Objective, Predictor, StochasticDepth, VisionTransformerConfig,
    checkpoint::{Format, ModuleFile},
};
use ijepa_train::{GroupBatch, Learner, StepSettings};

/// Hidden patches ask visible ones: queries are positions, keys and values the context features.
#[derive(Module, Debug)]
struct CrossAttention {
    token: Param<Tensor<3>>,
    positions: Param<Tensor<3>>,
    queries: Linear,
    keys: Linear,
    values: Linear,
    mlp: Mlp,
}

impl CrossAttention {
    fn new(encoder: &VisionTransformerConfig, init: Initialization, device: &Device) -> Self {
        let dim = encoder.embed_dim;
        let grid = encoder.grid().expect("the encoder has a grid");
        let mut init = Initializer::new(init, device);
        Self {
            token: init.token(dim),
            positions: init.positions(grid, dim),
            queries: init.linear(dim, dim),
            keys: init.linear(dim, dim),
            values: init.linear(dim, dim),
            mlp: Mlp {
                fc1: init.linear(dim, 2 * dim),
                fc2: init.linear(2 * dim, dim),
            },
        }
    }
}

impl Predictor for CrossAttention {
    fn forward(
        &self,
        context: Tensor<3>,
        masks: &MaskTensors,
        _: Option<&mut StochasticDepth>,
    ) -> Tensor<3> {
        let positions = self.positions.val();
        let scale = (context.dims()[2] as f64).sqrt().recip();
        let visible = context + masks.contexts.gather_shared(positions.clone());
        // A row for each pair of target and context, in the order of `masks.pairs`.
        let visible = visible.repeat_dim(0, masks.num_targets);
        let hidden = masks.pairs.gather_shared(positions) + self.token.val();
        let keys = self.keys.forward(visible.clone()).transpose();
        let scores = self.queries.forward(hidden.clone()).matmul(keys) * scale;
        let mixed = softmax(scores, 2).matmul(self.values.forward(visible));
        self.mlp.forward(mixed + hidden, Compute::default())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let config = VisionTransformerConfig::new([32, 32], 4, 64, 2, 2);
    let init = Initialization {
        scheme: InitScheme::FanIn,
        ..Initialization::default()
    };
    let model = IJepa {
        encoder: config.init_with(init, &device),
        predictor: CrossAttention::new(&config, init, &device),
    };
    let mut learner = Learner::of_model(model, Objective::default(), Default::default());

    let source = "scenes:n=16,size=32".parse::<DataSpec>()?.open()?;
    let mut pixels = Vec::new();
    for index in 0..source.len() {
        let image = Preprocess::None.apply(&source.read(index)?, [32, 32])?;
        pixels.extend_from_slice(image.pixels());
    }
    let images = Normalization::IMAGENET.images(&pixels, [source.len(), 32, 32], &device);
    let masks = MultiBlockConfig {
        min_keep: 4,
        ..MultiBlockConfig::default()
    };
    let sampler = masks.build(config.grid()?)?;
    for step in 0..=30 {
        let masks = sampler.sample(source.len(), &mut MaskRng::for_group(0, step, 0));
        let group = GroupBatch {
            images: images.clone(),
            masks: MaskTensors::new(&masks, &device),
            seed: None,
        };
        let settings = StepSettings {
            lr: 2e-3,
            weight_decay: 0.04,
            ema: 0.99,
            clip_grad: 0.0,
            groups_per_pass: 1,
        };
        let output = learner.step([group], settings);
        if step % 10 == 0 {
            println!(
                "step {step:2}  loss {:.3}",
                output.loss.into_scalar::<f32>()
            );
        }
    }

    let folder = std::env::temp_dir().join(format!("ijepa-own-{}", std::process::id()));
    let encoder = learner.target.encoder();
    encoder.save(folder.join("encoder"), Format::Native)?;
    let predictor = folder.join("predictor.safetensors");
    ModuleFile::save(&predictor, &learner.model.predictor, Default::default())?;
    println!("saved in {}", folder.display());
    Ok(())
}
