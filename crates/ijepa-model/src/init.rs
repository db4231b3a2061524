//! Initial weights: a function of seed and parameter, the same on every backend.

use burn::{
    module::{Param, ParamId},
    nn::{LayerNorm, LayerNormConfig, Linear},
    tensor::{Device, Shape, Tensor, TensorData},
};
use ijepa_masking::PatchGrid;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, StandardUniform};
use serde::{Deserialize, Serialize};

use crate::pos_embed::sin_cos_positions;

/// Standard deviation of the reference's weights and of the mask token under every scheme.
const NORMAL_STD: f64 = 0.02;

/// Epsilon of the layer norms of encoder and predictor in the reference.
pub(crate) const LAYER_NORM_EPSILON: f64 = 1e-6;

/// How wide the normal distribution of initial weights is; biases are 0 and norms 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InitScheme {
    /// 0.02 for every weight, as the reference trains.
    #[default]
    Normal,
    /// As `Normal`, with the two output projections of block `l` (from 1) divided by
    /// `sqrt(2 * l)`; the reference computes and then overwrites this.
    DepthRescaled,
    /// `1 / sqrt(fan_in)` for every weight, which small models need to learn at all.
    FanIn,
}

impl InitScheme {
    fn std(self, fan_in: usize) -> f64 {
        match self {
            Self::Normal | Self::DepthRescaled => NORMAL_STD,
            Self::FanIn => (fan_in as f64).sqrt().recip(),
        }
    }
}

/// Scheme and seed of the initial weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Initialization {
    /// Scheme of all linear layers.
    pub scheme: InitScheme,
    /// Scheme of the patch embedding; `None` is the same as `scheme`.
    pub patch_embed: Option<InitScheme>,
    /// Seed of the weights.
    pub seed: u64,
}

/// Creates the parameters of one network in their order, each a function of the seed and of how
/// many came before it.
///
/// The reference truncates its normal distribution at ±2, a hundred standard deviations away;
/// here nothing is truncated.
///
/// ```
/// use burn::tensor::Device;
/// use ijepa_model::{InitScheme, Initialization, Initializer};
///
/// let device = Device::flex();
/// let scheme = InitScheme::DepthRescaled;
/// let init = Initialization { scheme, seed: 1, ..Default::default() };
/// let weight = |layer| {
///     let layer = Initializer::new(init, &device).branch_output(64, 64, layer);
///     layer.weight.val()
/// };
/// // The same numbers, for block 8 divided by the square root of 2 * 8.
/// let ratio = (weight(8) / weight(1)).mean().into_scalar::<f32>();
/// assert!((ratio - (2.0f32 / 16.0).sqrt()).abs() < 1e-5);
/// ```
#[derive(Debug)]
pub struct Initializer<'a> {
    device: &'a Device,
    init: Initialization,
    next_stream: u64,
}

impl<'a> Initializer<'a> {
    /// For a network of your own, whose random numbers are not those of ours.
    pub fn new(init: Initialization, device: &'a Device) -> Self {
        Self::of_network(3, init, device)
    }

    /// For the encoder.
    pub(crate) fn encoder(init: Initialization, device: &'a Device) -> Self {
        Self::of_network(0, init, device)
    }

    /// For the predictor, whose random numbers are not the encoder's.
    pub(crate) fn predictor(init: Initialization, device: &'a Device) -> Self {
        Self::of_network(1, init, device)
    }

    /// For the head of a classifier, whose random numbers are neither's.
    pub(crate) fn head(init: Initialization, device: &'a Device) -> Self {
        Self::of_network(2, init, device)
    }

    /// For low-rank pairs, whose random numbers are nobody else's.
    pub(crate) fn lora(init: Initialization, device: &'a Device) -> Self {
        Self::of_network(4, init, device)
    }

    fn of_network(network: u64, init: Initialization, device: &'a Device) -> Self {
        Self {
            device,
            init,
            next_stream: network << 32,
        }
    }

    /// A linear layer with zero bias and weights as the scheme has them.
    pub fn linear(&mut self, inputs: usize, outputs: usize) -> Linear {
        self.linear_with_std(inputs, outputs, self.init.scheme.std(inputs))
    }

    /// The last linear layer of a residual branch of block `layer`, counted from 1.
    pub fn branch_output(&mut self, inputs: usize, outputs: usize, layer: usize) -> Linear {
        let divisor = match self.init.scheme {
            InitScheme::DepthRescaled => (2.0 * layer as f64).sqrt(),
            InitScheme::Normal | InitScheme::FanIn => 1.0,
        };
        self.linear_with_std(inputs, outputs, self.init.scheme.std(inputs) / divisor)
    }

    /// A linear layer with weights of the given standard deviation and zero bias.
    pub fn linear_with_std(&mut self, inputs: usize, outputs: usize, std: f64) -> Linear {
        let weight = self.normal([inputs, outputs], std);
        Linear {
            weight,
            bias: Some(self.zeros([outputs])),
        }
    }

    /// Weight `[embed_dim, channels, patch_size, patch_size]` and zero bias.
    pub fn patch_projection(&mut self, shape: [usize; 4]) -> (Param<Tensor<4>>, Param<Tensor<1>>) {
        let [embed_dim, channels, rows, cols] = shape;
        let scheme = self.init.patch_embed.unwrap_or(self.init.scheme);
        (
            self.normal(shape, scheme.std(channels * rows * cols)),
            self.zeros([embed_dim]),
        )
    }

    /// A learned token `[1, 1, dim]`, of standard deviation 0.02 under every scheme.
    pub fn token(&mut self, dim: usize) -> Param<Tensor<3>> {
        self.normal([1, 1, dim], NORMAL_STD)
    }

    /// A layer norm that adds `epsilon` to the variance.
    pub fn layer_norm(&self, dim: usize, epsilon: f64) -> LayerNorm {
        LayerNormConfig::new(dim)
            .with_epsilon(epsilon)
            .init(self.device)
    }

    /// The fixed positions of a grid, `[1, patches, dim]`, computed at first use.
    pub fn positions(&self, grid: PatchGrid, dim: usize) -> Param<Tensor<3>> {
        let shape = [1, grid.num_patches(), dim];
        lazy_parameter(shape, self.device, move |device| {
            Tensor::from_data(sin_cos_positions(grid, dim), device)
        })
        .set_require_grad(false)
    }

    /// A parameter of zeros.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<D>> {
        lazy_parameter(shape, self.device, move |device| {
            Tensor::zeros(shape, device)
        })
    }

    /// A parameter of normal values with mean 0.
    pub fn normal<const D: usize>(&mut self, shape: [usize; D], std: f64) -> Param<Tensor<D>> {
        self.drawn(shape, move |rng| {
            let value: f32 = StandardNormal.sample(rng);
            value * std as f32
        })
    }

    /// A parameter of values that are uniform in `±bound`.
    pub fn uniform<const D: usize>(&mut self, shape: [usize; D], bound: f64) -> Param<Tensor<D>> {
        self.drawn(shape, move |rng| {
            let share: f32 = StandardUniform.sample(rng);
            (2.0 * share - 1.0) * bound as f32
        })
    }

    /// A parameter of values that are drawn one by one.
    fn drawn<const D: usize>(
        &mut self,
        shape: [usize; D],
        draw: impl Fn(&mut ChaCha8Rng) -> f32 + Send + Sync + 'static,
    ) -> Param<Tensor<D>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.init.seed);
        rng.set_stream(self.next_stream);
        self.next_stream += 1;
        lazy_parameter(shape, self.device, move |device| {
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| draw(&mut rng)).collect();
            Tensor::from_data(TensorData::new(values, shape), device)
        })
    }
}

/// A parameter that is computed at first use, so that loading a checkpoint never computes it.
///
/// `values` makes a tensor of `shape` on the device that it is given.
pub fn lazy_parameter<const D: usize>(
    shape: [usize; D],
    device: &Device,
    values: impl FnOnce(&Device) -> Tensor<D> + Send + Sync + 'static,
) -> Param<Tensor<D>> {
    Param::uninitialized(
        ParamId::new(),
        move |device, require_grad| values(device).set_require_grad(require_grad),
        device.clone(),
        true,
        Shape::from(shape),
    )
}
