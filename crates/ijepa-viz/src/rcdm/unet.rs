//! The network that tells noise from image.

use burn::{
    module::Module,
    nn::Linear,
    tensor::{Device, Tensor, TensorData, activation::silu},
};
use ijepa_kernels::{Activation, on_workers};

use super::{
    config::{COLORS, UnetConfig},
    layers::{BlockSizes, Conv3x3, GroupNorm, MapAttention, ResBlock, Resample, Weights, linear},
};

/// Longest period of the time embedding, steps.
const LONGEST_PERIOD: f64 = 10_000.0;

/// A residual block, maybe with attention after it and a block of twice the size after that.
#[derive(Module, Debug)]
pub struct Stage {
    /// The block.
    pub block: ResBlock,
    /// Attention after it.
    pub attention: Option<MapAttention>,
    /// A block that doubles the map's size.
    pub double: Option<ResBlock>,
}

impl Stage {
    fn forward(&self, x: Tensor<4>, embedding: &Tensor<2>) -> Tensor<4> {
        let x = self.block.forward(x, embedding.clone());
        let x = match &self.attention {
            Some(attention) => attention.forward(x),
            None => x,
        };
        match &self.double {
            Some(block) => block.forward(x, embedding.clone()),
            None => x,
        }
    }
}

/// Predicts the velocity of a noisy image from the step and a vector: the U-Net of Dhariwal and
/// Nichol (2021) with the conditioning of RCDM's code (Bordes et al. 2022), one linear layer
/// whose output is added to the embedding of time.
///
/// Without the learned variance of the original.
#[derive(Module, Debug)]
pub struct Unet {
    /// First layer of the time embedding.
    pub time1: Linear,
    /// Second layer of the time embedding.
    pub time2: Linear,
    /// From the vector to the embedding.
    pub condition: Linear,
    /// From colours to channels.
    pub conv_in: Conv3x3,
    /// Blocks on the way down; the outputs of all of them are kept for the way up.
    pub down: Vec<Stage>,
    /// Block at the smallest size, with attention.
    pub middle: Stage,
    /// Second block at the smallest size.
    pub middle2: ResBlock,
    /// Blocks on the way up, each fed with one kept output.
    pub up: Vec<Stage>,
    /// Norm before the last convolution.
    pub norm_out: GroupNorm,
    /// From channels to colours; begins as zero.
    pub conv_out: Conv3x3,
    #[module(skip)]
    channels: usize,
}

impl UnetConfig {
    /// The network with the initial weights of `seed`; pass an autodiff device to train it.
    ///
    /// # Panics
    ///
    /// Panics if [`validate`](Self::validate) fails.
    pub fn init(&self, seed: u64, device: &Device) -> Unet {
        if let Err(error) = self.validate() {
            panic!("{error}");
        }
        let mut build = Build {
            config: self,
            weights: Weights::new(seed, device),
            kept: vec![self.widths()[0]],
        };
        let embedding = self.embedding();
        let weights = &mut build.weights;
        let time1 = weights.linear(self.channels, embedding);
        let time2 = weights.linear(embedding, embedding);
        let condition = weights.linear(self.condition_dim, embedding);
        let conv_in = weights.conv(COLORS, self.widths()[0]);
        let down = build.down();
        let smallest = *self.widths().last().expect("there is a size");
        let middle = build.stage([smallest, smallest], true);
        let middle2 = build.block([smallest, smallest], Resample::Keep);
        let up = build.up();
        let width = self.widths()[0];
        Unet {
            time1,
            time2,
            condition,
            conv_in,
            down,
            middle,
            middle2,
            up,
            norm_out: build.weights.norm(width, self.groups),
            conv_out: build.weights.zero_conv(width, COLORS),
            channels: self.channels,
        }
    }
}

/// A network in the making.
struct Build<'a> {
    config: &'a UnetConfig,
    weights: Weights<'a>,
    /// Channels of the outputs that the way up needs.
    kept: Vec<usize>,
}

impl Build<'_> {
    fn sizes(&self) -> BlockSizes {
        BlockSizes {
            embedding: self.config.embedding(),
            groups: self.config.groups,
            heads: self.config.heads,
        }
    }

    fn block(&mut self, channels: [usize; 2], resample: Resample) -> ResBlock {
        ResBlock::new(channels, resample, self.sizes(), &mut self.weights)
    }

    fn stage(&mut self, channels: [usize; 2], attention: bool) -> Stage {
        Stage {
            block: self.block(channels, Resample::Keep),
            attention: attention
                .then(|| MapAttention::new(channels[1], self.sizes(), &mut self.weights)),
            double: None,
        }
    }

    /// Whether maps at `level`, counted from full size, get attention.
    fn attends(&self, level: usize) -> bool {
        let side = self.config.image_size >> level;
        self.config.attention.contains(&side)
    }

    fn down(&mut self) -> Vec<Stage> {
        let widths = self.config.widths();
        let mut channels = widths[0];
        let mut stages = Vec::new();
        for (level, &width) in widths.iter().enumerate() {
            for _ in 0..self.config.res_blocks {
                stages.push(self.stage([channels, width], self.attends(level)));
                channels = width;
                self.kept.push(width);
            }
            if level + 1 < widths.len() {
                stages.push(Stage {
                    block: self.block([width, width], Resample::Halve),
                    attention: None,
                    double: None,
                });
                self.kept.push(width);
            }
        }
        stages
    }

    fn up(&mut self) -> Vec<Stage> {
        let widths = self.config.widths();
        let mut channels = *widths.last().expect("there is a size");
        let mut stages = Vec::new();
        for (level, &width) in widths.iter().enumerate().rev() {
            for number in 0..=self.config.res_blocks {
                let kept = self.kept.pop().expect("an output was kept for each stage");
                let mut stage = self.stage([channels + kept, width], self.attends(level));
                channels = width;
                if level > 0 && number == self.config.res_blocks {
                    stage.double = Some(self.block([width, width], Resample::Double));
                }
                stages.push(stage);
            }
        }
        stages
    }
}

impl Unet {
    /// The [velocity](super::Diffusion::velocity) of noised `images`.
    ///
    /// # Shapes
    ///
    /// - `images` and output: `[batch, rows, cols, 3]`
    /// - `steps`: `[batch]`, how far the noising is, from 0
    /// - `conditions`: `[batch, condition_dim]`, standardised; zero for none
    ///
    /// # Panics
    ///
    /// Panics if the shapes do not fit the configuration.
    pub fn forward(&self, images: Tensor<4>, steps: &[f64], conditions: Tensor<2>) -> Tensor<4> {
        on_workers(&images.device(), || {
            let time = time_embedding(steps, self.channels, &images.device());
            let time = linear(&self.time2, silu(linear(&self.time1, time)));
            let embedding = silu(time + linear(&self.condition, conditions));
            let mut x = self.conv_in.forward(images);
            let mut kept = vec![x.clone()];
            for stage in &self.down {
                x = stage.forward(x, &embedding);
                kept.push(x.clone());
            }
            x = self.middle.forward(x, &embedding);
            x = self.middle2.forward(x, embedding.clone());
            for stage in &self.up {
                let beside = kept.pop().expect("an output was kept for each stage");
                x = stage.forward(Tensor::cat(vec![x, beside], 3), &embedding);
            }
            let normed = self.norm_out.forward(x, Activation::Silu);
            self.conv_out.forward(normed)
        })
    }

    /// Number of trainable values.
    pub fn num_parameters(&self) -> usize {
        self.num_params()
    }
}

/// Cosines and sines of the steps at frequencies from 1 down to 1 over the longest period.
fn time_embedding(steps: &[f64], dim: usize, device: &Device) -> Tensor<2> {
    let half = dim / 2;
    let angles = |step: f64| {
        let frequency = move |at: usize| LONGEST_PERIOD.powf(-(at as f64) / half as f64);
        (0..half).map(move |at| step * frequency(at))
    };
    let row = |&step: &f64| {
        let cosines = angles(step).map(f64::cos);
        cosines.chain(angles(step).map(f64::sin))
    };
    let values: Vec<f32> = steps
        .iter()
        .flat_map(row)
        .map(|value| value as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, [steps.len(), dim]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the same networks in PyTorch; see `tests/golden/decoder.py`.
    #[test]
    fn networks_have_the_sizes_of_their_definition() {
        let parameters = |config: UnetConfig| {
            let parameters = config.init(0, &ijepa_testkit::device()).num_parameters();
            assert!(config.least_values() <= parameters as u64);
            parameters
        };
        assert_eq!(parameters(UnetConfig::px32(96)), 1_383_523);
        assert_eq!(parameters(UnetConfig::px64(96)), 3_717_987);
    }

    #[test]
    fn time_has_cosines_before_sines() {
        let embedding = time_embedding(&[0.0, 100.0], 4, &ijepa_testkit::device());
        let values: Vec<f32> = embedding.into_data().iter::<f32>().collect();
        let expected = [
            1.0,
            1.0,
            0.0,
            0.0,
            100f32.cos(),
            1f32.cos(),
            100f32.sin(),
            1f32.sin(),
        ];
        ijepa_testkit::assert_close("time", &values, &expected, 1e-6);
    }
}
