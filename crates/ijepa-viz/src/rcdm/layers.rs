//! Layers of the decoder; maps are `[batch, rows, cols, channels]`.

use burn::{
    module::{Module, Param},
    nn::Linear,
    tensor::{Device, Tensor, TensorData},
};
use ijepa_data::{Purpose, sample_rng, unit};
use ijepa_kernels::{self as kernels, Activation, GroupNormOptions};
use ijepa_model::lazy_parameter;

/// Epsilon of every norm, PyTorch's default.
const EPSILON: f64 = 1e-5;

/// Creates the parameters of a network in their order, each a function of seed and place.
#[derive(Debug)]
pub(super) struct Weights<'a> {
    seed: u64,
    next: u64,
    device: &'a Device,
}

impl<'a> Weights<'a> {
    pub(super) fn new(seed: u64, device: &'a Device) -> Self {
        Self {
            seed,
            next: 0,
            device,
        }
    }

    /// PyTorch's default of linear layers and convolutions: uniform up to `1 / sqrt(fan_in)`.
    fn uniform<const D: usize>(&mut self, dims: [usize; D], fan_in: usize) -> Param<Tensor<D>> {
        let mut rng = sample_rng(self.seed, Purpose::DecoderWeights, 0, self.next);
        self.next += 1;
        let bound = (fan_in as f64).sqrt().recip();
        lazy_parameter(dims, self.device, move |device| {
            let draw = |_| (bound * (2.0 * unit(&mut rng) - 1.0)) as f32;
            let values: Vec<f32> = (0..dims.iter().product()).map(draw).collect();
            Tensor::from_data(TensorData::new(values, dims), device)
        })
    }

    fn full<const D: usize>(&self, dims: [usize; D], value: f64) -> Param<Tensor<D>> {
        lazy_parameter(dims, self.device, move |device| {
            Tensor::full(dims, value, device)
        })
    }

    pub(super) fn linear(&mut self, inputs: usize, outputs: usize) -> Linear {
        Linear {
            weight: self.uniform([inputs, outputs], inputs),
            bias: Some(self.uniform([outputs], inputs)),
        }
    }

    /// A linear layer that begins as zero.
    pub(super) fn zero_linear(&self, inputs: usize, outputs: usize) -> Linear {
        Linear {
            weight: self.full([inputs, outputs], 0.0),
            bias: Some(self.full([outputs], 0.0)),
        }
    }

    pub(super) fn conv(&mut self, inputs: usize, outputs: usize) -> Conv3x3 {
        Conv3x3 {
            weight: self.uniform([3, 3, inputs, outputs], 9 * inputs),
            bias: self.uniform([outputs], 9 * inputs),
        }
    }

    /// A convolution that begins as zero.
    pub(super) fn zero_conv(&self, inputs: usize, outputs: usize) -> Conv3x3 {
        Conv3x3 {
            weight: self.full([3, 3, inputs, outputs], 0.0),
            bias: self.full([outputs], 0.0),
        }
    }

    pub(super) fn norm(&self, channels: usize, groups: usize) -> GroupNorm {
        GroupNorm {
            gamma: self.full([channels], 1.0),
            beta: self.full([channels], 0.0),
            groups,
        }
    }
}

/// `linear(x)` over the last dimension.
pub(super) fn linear<const D: usize>(layer: &Linear, x: Tensor<D>) -> Tensor<D> {
    let bias = layer.bias.as_ref().expect("every linear layer has a bias");
    kernels::linear(x, layer.weight.val(), bias.val(), None)
}

/// A convolution of 3 by 3 pixels that keeps the map's size.
#[derive(Module, Debug)]
pub struct Conv3x3 {
    /// `[3, 3, inputs, outputs]`.
    pub weight: Param<Tensor<4>>,
    /// `[outputs]`.
    pub bias: Param<Tensor<1>>,
}

impl Conv3x3 {
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        kernels::conv3x3(x, self.weight.val(), self.bias.val())
    }
}

/// Group norm (Wu and He 2018).
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// Scale, `[channels]`.
    pub gamma: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub beta: Param<Tensor<1>>,
    #[module(skip)]
    groups: usize,
}

impl GroupNorm {
    /// The norm, then `activation`.
    pub(super) fn forward(&self, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        let [batch, _, _, channels] = x.dims();
        let [scale, shift] = [&self.gamma, &self.beta]
            .map(|affine| affine.val().unsqueeze::<2>().expand([batch, channels]));
        kernels::group_norm(x, scale, shift, self.options(activation))
    }

    /// `norm(x) * (1 + scale) + shift`, then SiLU.
    ///
    /// # Shapes
    ///
    /// - `film`: `[batch, 2 * channels]`, scales before shifts
    pub(super) fn modulated(&self, x: Tensor<4>, film: Tensor<2>) -> Tensor<4> {
        let [.., channels] = x.dims();
        let factor = film.clone().narrow(1, 0, channels).add_scalar(1.0);
        let shift = film.narrow(1, channels, channels);
        let [gamma, beta] = [&self.gamma, &self.beta].map(|affine| affine.val().unsqueeze::<2>());
        let shift = beta * factor.clone() + shift;
        kernels::group_norm(x, gamma * factor, shift, self.options(Activation::Silu))
    }

    fn options(&self, activation: Activation) -> GroupNormOptions {
        GroupNormOptions {
            groups: self.groups,
            epsilon: EPSILON,
            activation,
        }
    }
}

/// What a residual block does to the size of its map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resample {
    Keep,
    /// Means of 2 by 2 pixels.
    Halve,
    /// Every pixel becomes 2 by 2.
    Double,
}

impl Resample {
    fn apply(self, x: Tensor<4>) -> Tensor<4> {
        let [batch, rows, cols, channels] = x.dims();
        match self {
            Self::Keep => x,
            Self::Halve => x
                .reshape([batch * rows / 2, 2, cols / 2, 2 * channels])
                .mean_dim(1)
                .reshape([batch * rows / 2, cols / 2, 2, channels])
                .mean_dim(2)
                .reshape([batch, rows / 2, cols / 2, channels]),
            Self::Double => x
                .reshape([batch * rows, 1, cols, 1, channels])
                .expand([batch * rows, 2, cols, 2, channels])
                .reshape([batch, 2 * rows, 2 * cols, channels]),
        }
    }
}

/// Two convolutions with the embedding of time and condition between, beside a shortcut
/// (Dhariwal and Nichol 2021).
#[derive(Module, Debug)]
pub struct ResBlock {
    /// Norm before the first convolution.
    pub norm1: GroupNorm,
    /// First convolution.
    pub conv1: Conv3x3,
    /// From the embedding to scales and shifts.
    pub film: Linear,
    /// Norm that is scaled and shifted.
    pub norm2: GroupNorm,
    /// Second convolution, which begins as zero.
    pub conv2: Conv3x3,
    /// Shortcut where the number of channels changes.
    pub shortcut: Option<Linear>,
    #[module(skip)]
    resample: Resample,
}

/// What all blocks of a network have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockSizes {
    pub(super) embedding: usize,
    pub(super) groups: usize,
    pub(super) heads: usize,
}

impl ResBlock {
    pub(super) fn new(
        [inputs, outputs]: [usize; 2],
        resample: Resample,
        sizes: BlockSizes,
        weights: &mut Weights<'_>,
    ) -> Self {
        Self {
            norm1: weights.norm(inputs, sizes.groups),
            conv1: weights.conv(inputs, outputs),
            film: weights.linear(sizes.embedding, 2 * outputs),
            norm2: weights.norm(outputs, sizes.groups),
            conv2: weights.zero_conv(outputs, outputs),
            shortcut: (inputs != outputs).then(|| weights.linear(inputs, outputs)),
            resample,
        }
    }

    /// # Shapes
    ///
    /// - `embedding`: `[batch, embedding]`, after its SiLU
    pub(super) fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let hidden = self.norm1.forward(x.clone(), Activation::Silu);
        let hidden = self.conv1.forward(self.resample.apply(hidden));
        let film = linear(&self.film, embedding);
        let hidden = self.conv2.forward(self.norm2.modulated(hidden, film));
        let x = self.resample.apply(x);
        match &self.shortcut {
            Some(shortcut) => linear(shortcut, x) + hidden,
            None => x + hidden,
        }
    }
}

/// Self-attention between the pixels of a map.
#[derive(Module, Debug)]
pub struct MapAttention {
    /// Norm of the branch.
    pub norm: GroupNorm,
    /// Queries, keys and values, each by head.
    pub qkv: Linear,
    /// Output, which begins as zero.
    pub proj: Linear,
    #[module(skip)]
    heads: usize,
}

impl MapAttention {
    pub(super) fn new(channels: usize, sizes: BlockSizes, weights: &mut Weights<'_>) -> Self {
        Self {
            norm: weights.norm(channels, sizes.groups),
            qkv: weights.linear(channels, 3 * channels),
            proj: weights.zero_linear(channels, channels),
            heads: sizes.heads,
        }
    }

    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, rows, cols, channels] = x.dims();
        let normed = self.norm.forward(x.clone(), Activation::Identity);
        let pixels = normed.reshape([batch, rows * cols, channels]);
        let mixed = kernels::attention(linear(&self.qkv, pixels), self.heads, None);
        x + linear(&self.proj, mixed).reshape([batch, rows, cols, channels])
    }
}
