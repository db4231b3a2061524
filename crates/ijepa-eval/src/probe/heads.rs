//! Linear heads side by side, and one step of all of them.
//!
//! A head computes `((x - center) * scale + offset) W + b`. Without a norm `scale` is 1 and
//! `offset` puts the center back; with one, `scale` is gamma over the standard deviation and
//! `offset` beta. So all heads share the centred features: one matrix product gives all logits and
//! one all weight gradients, and the gradients of gamma and beta follow from the latter.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_data::{Purpose, SampleRng, normal, sample_rng, unit};
use ijepa_kernels::{
    HeadRule, HeadStep, add_product, column_sums, cross_entropy, fold_heads, linear, step_heads,
};

use super::{Bank, HeadNorm, LOGITS, ProbeConfig, ProbeOptimizer};
use crate::linalg::blocks;

const MOMENTUM: f64 = 0.9;
/// Trust coefficient of LARS.
const TRUST: f64 = 0.001;
/// Share of a batch in running statistics.
const RUNNING: f64 = 0.1;
const VISSL_EPSILON: f64 = 1e-5;
const MAE_EPSILON: f64 = 1e-6;
/// Standard deviation of MAE's initial weights.
const MAE_STD: f64 = 0.01;

/// Parameters of one shape and their momentum.
#[derive(Debug, Clone)]
struct Learned<const D: usize> {
    value: Tensor<D>,
    momentum: Tensor<D>,
}

impl<const D: usize> Learned<D> {
    fn new(value: Tensor<D>) -> Self {
        Self {
            momentum: value.zeros_like(),
            value,
        }
    }

    /// A step of gradient descent with momentum.
    fn step(&mut self, gradient: Tensor<D>, rates: Tensor<D>, rule: HeadRule) {
        let momentum = self.momentum.clone() * rule.momentum + gradient.clone();
        let update = match rule.nesterov {
            true => gradient + momentum.clone() * rule.momentum,
            false => momentum.clone(),
        };
        self.value = self.value.clone() - update * rates;
        self.momentum = momentum;
    }
}

/// All heads of one pooling.
#[derive(Debug)]
pub(super) struct Heads {
    /// Norm, learning rate of 256 images and weight decay.
    grid: Vec<(HeadNorm, f64, f64)>,
    classes: usize,
    rule: HeadRule,
    /// `[dim, heads * classes]`.
    weight: Learned<2>,
    /// `[heads * classes]`.
    bias: Learned<1>,
    /// Scales and offsets after the norm, `[dim, heads]`; 1 and 0 unless they are learned.
    gamma: Learned<2>,
    beta: Learned<2>,
    /// Of the features, `[1, dim]`.
    running_mean: Tensor<2>,
    running_variance: Tensor<2>,
    /// Learning rates and decays, `[heads]`, and the same for every class.
    rates: Tensor<1>,
    decays: Tensor<1>,
    class_rates: Tensor<1>,
    class_decays: Tensor<1>,
    /// 1 for the heads of a norm and 0 for the others, `[1, heads]`.
    without: Tensor<2>,
    vissl: Tensor<2>,
    mae: Tensor<2>,
    /// Sum of the mean losses of the steps since they were last asked for, `[heads]`.
    losses: Tensor<1>,
    steps: usize,
}

impl Heads {
    /// Initial heads for features `dim` wide; `first` is the number of the first of them among
    /// all heads.
    pub(super) fn new(
        config: &ProbeConfig,
        batch_size: usize,
        [dim, classes]: [usize; 2],
        first: usize,
        device: &Device,
    ) -> Self {
        let grid = config.grid();
        let heads = grid.len();
        let columns = heads * classes;
        let (weight, bias) = initial(config, [dim, classes], first);
        let vector = |values: Vec<f32>| {
            let len = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [len]), device)
        };
        let of_grid = |value: &dyn Fn(&(HeadNorm, f64, f64)) -> f64| -> Vec<f32> {
            grid.iter().map(|head| value(head) as f32).collect()
        };
        let of_classes = |values: &[f32]| {
            let repeated = values.iter().flat_map(|&value| vec![value; classes]);
            vector(repeated.collect())
        };
        let with = |wanted| {
            let mask = of_grid(&|&(norm, ..)| f64::from(u8::from(norm == wanted)));
            vector(mask).reshape([1, heads])
        };
        let scale = batch_size as f64 / 256.0;
        let (rates, decays) = (of_grid(&|head| head.1 * scale), of_grid(&|head| head.2));
        Self {
            classes,
            rule: HeadRule {
                momentum: MOMENTUM,
                nesterov: config.optimizer == ProbeOptimizer::Nesterov,
                trust: (config.optimizer == ProbeOptimizer::Lars).then_some(TRUST),
            },
            weight: Learned::new(vector(weight).reshape([dim, columns])),
            bias: Learned::new(vector(bias)),
            gamma: Learned::new(Tensor::ones([dim, heads], device)),
            beta: Learned::new(Tensor::zeros([dim, heads], device)),
            running_mean: Tensor::zeros([1, dim], device),
            running_variance: Tensor::ones([1, dim], device),
            class_rates: of_classes(&rates),
            class_decays: of_classes(&decays),
            rates: vector(rates),
            decays: vector(decays),
            without: with(HeadNorm::None),
            vissl: with(HeadNorm::Vissl),
            mae: with(HeadNorm::Mae),
            losses: Tensor::zeros([heads], device),
            steps: 0,
            grid,
        }
    }

    /// Updates all parameters; `product` is still a sum over the batch, `sums` is a mean.
    fn learn(
        &mut self,
        product: Tensor<2>,
        sums: Tensor<1>,
        [norm, scale, offset]: [Tensor<2>; 3],
        share: f64,
        factor: f64,
    ) {
        let zero = self.rates.zeros_like();
        let placeholder = zero.clone().reshape([1, self.grid.len()]);
        let weight = std::mem::replace(&mut self.weight.value, placeholder.clone());
        let momentum = std::mem::replace(&mut self.weight.momentum, placeholder);
        let stepped = step_heads(
            HeadStep {
                weight,
                momentum,
                product,
                sums: sums.clone(),
                scale: scale * share,
                offset,
                rates: self.rates.clone() * factor,
                decays: self.decays.clone(),
            },
            self.rule,
        );
        self.weight.value = stepped.weight;
        self.weight.momentum = stepped.momentum;

        let bias_gradient = sums + self.bias.value.clone() * self.class_decays.clone();
        let class_rates = self.class_rates.clone() * factor;
        self.bias.step(bias_gradient, class_rates, self.rule);
        // Only the norm with learned parameters learns them.
        let rates = self.rates.clone().reshape([1, self.grid.len()]) * self.vissl.clone() * factor;
        let rates = rates.expand(norm.dims());
        let gamma_gradient = stepped.scale_gradient * share * norm;
        self.gamma.step(gamma_gradient, rates.clone(), self.rule);
        self.beta.step(stepped.offset_gradient, rates, self.rule);
    }

    /// What each head multiplies centred features by before gamma, what in all, and what it adds
    /// then, each `[dim, heads]`.
    fn affine(&self, mean: Tensor<2>, variance: Tensor<2>) -> [Tensor<2>; 3] {
        let inverse = |epsilon: f64| (variance.clone() + epsilon).sqrt().recip().transpose();
        let norm = inverse(VISSL_EPSILON) * self.vissl.clone()
            + inverse(MAE_EPSILON) * self.mae.clone()
            + self.without.clone();
        let offset = self.beta.value.clone() + mean.transpose() * self.without.clone();
        [norm.clone(), norm * self.gamma.value.clone(), offset]
    }

    fn update_statistics(&mut self, mean: &Tensor<2>, variance: &Tensor<2>, batch: usize) {
        let unbiased = batch as f64 / (batch.max(2) - 1) as f64;
        let mix = |old: &Tensor<2>, new: &Tensor<2>, factor: f64| {
            old.clone() * (1.0 - RUNNING) + new.clone() * (RUNNING * factor)
        };
        self.running_mean = mix(&self.running_mean, mean, 1.0);
        self.running_variance = mix(&self.running_variance, variance, unbiased);
    }
}

impl Bank for Heads {
    fn grid(&self) -> &[(HeadNorm, f64, f64)] {
        &self.grid
    }

    fn step(&mut self, x: Tensor<2>, targets: &[u32], factor: f64) {
        let [batch, dim] = x.dims();
        let share = 1.0 / batch as f64;
        let mean = (column_sums(x.clone()) * share).reshape([1, dim]);
        let centered = x - mean.clone();
        let variance = (column_sums(centered.clone().square()) * share).reshape([1, dim]);
        self.update_statistics(&mean, &variance, batch);

        let [norm, scale, offset] = self.affine(mean, variance);
        let weight = self.weight.value.clone();
        let (folded, shift) = fold_heads(weight.clone(), scale.clone(), offset.clone());
        let bias = self.bias.value.clone() + shift;
        let mut product = weight.zeros_like();
        let mut sums = bias.zeros_like();
        for rows in self.blocks(batch) {
            let part = centered.clone().slice([rows.clone(), 0..dim]);
            let logits = linear(part.clone(), folded.clone(), bias.clone(), None);
            let targets = targets[rows].to_vec();
            let (gradient, losses) = cross_entropy(logits, targets, self.grid.len());
            self.losses = self.losses.clone() + column_sums(losses) * share;
            sums = sums + column_sums(gradient.clone());
            product = add_product(product, part, gradient);
        }
        self.steps += 1;
        self.learn(product, sums * share, [norm, scale, offset], share, factor);
    }

    fn logits(&self, x: Tensor<2>) -> Tensor<2> {
        let centered = x - self.running_mean.clone();
        let mean = self.running_mean.clone();
        let [_, scale, offset] = self.affine(mean, self.running_variance.clone());
        let (folded, shift) = fold_heads(self.weight.value.clone(), scale, offset);
        linear(centered, folded, self.bias.value.clone() + shift, None)
    }

    fn take_losses(&mut self) -> Vec<f32> {
        let mean = self.losses.clone() / self.steps.max(1) as f64;
        self.losses = self.losses.zeros_like();
        self.steps = 0;
        mean.into_data().iter::<f32>().collect()
    }

    /// Pieces whose logits have bounded size.
    fn blocks(&self, rows: usize) -> Vec<Range<usize>> {
        let block = (LOGITS / (self.grid.len() * self.classes)).max(1);
        blocks(rows, block).collect()
    }
}

/// Initial weights, `[dim, heads * classes]`, and biases of heads of which `first` is the number of
/// the first among all.
fn initial(config: &ProbeConfig, [dim, classes]: [usize; 2], first: usize) -> (Vec<f32>, Vec<f32>) {
    let grid = config.grid();
    let columns = grid.len() * classes;
    let (mut weight, mut bias) = (vec![0.0; dim * columns], vec![0.0; columns]);
    for (head, &(norm, ..)) in grid.iter().enumerate() {
        let number = (first + head) as u64;
        let rng = &mut sample_rng(config.seed, Purpose::ProbeHead, 0, number);
        let place = head * classes..(head + 1) * classes;
        for row in weight.chunks_exact_mut(columns) {
            fill(&mut row[place.clone()], norm, dim, rng);
        }
        if norm != HeadNorm::Mae {
            fill(&mut bias[place], norm, dim, rng);
        }
    }
    (weight, bias)
}

/// Initial values for features `dim` wide: uniform within `1 / sqrt(dim)` as of PyTorch's linear
/// layers, or normal as of MAE's head.
fn fill(values: &mut [f32], norm: HeadNorm, dim: usize, rng: &mut SampleRng) {
    let bound = 1.0 / (dim as f64).sqrt();
    for value in values {
        *value = match norm {
            HeadNorm::Mae => MAE_STD * normal(rng),
            HeadNorm::None | HeadNorm::Vissl => bound * (2.0 * unit(rng) - 1.0),
        } as f32;
    }
}

#[cfg(test)]
mod tests {
    use ijepa_testkit::{Golden, assert_close, device, tolerance};

    use super::*;
    use crate::probe::{LrSchedule, Pools};

    const BATCH: usize = 32;

    /// Heads trained one by one in PyTorch; see `tests/golden/probe.py`.
    fn check(kind: &str, optimizer: ProbeOptimizer, lr_factor: f64) {
        let golden = Golden::load(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"),
            "probe",
        );
        let device = device();
        let config = ProbeConfig {
            pools: Pools::Given,
            norms: vec![HeadNorm::None, HeadNorm::Vissl, HeadNorm::Mae],
            lrs: vec![0.1 * lr_factor, 0.3 * lr_factor],
            weight_decays: vec![0.0, 0.05],
            optimizer,
            batch_size: BATCH,
            epochs: 1,
            schedule: LrSchedule::Cosine(1.0),
            seed: 0,
        };
        let [steps, batch, dim] = *golden.shape("x") else {
            panic!("x has three dimensions")
        };
        let columns = golden.shape(&format!("{kind}.bias"))[0];
        let heads = config.grid().len();
        // Rates are for 256 images here, for a batch in the golden file.
        let mut found = Heads::new(&config, 256, [dim, columns / heads], 0, &device);
        found.weight = Learned::new(golden.tensor(&format!("{kind}.weight"), &device));
        found.bias = Learned::new(golden.tensor(&format!("{kind}.bias"), &device));

        let x = golden.tensor::<3>("x", &device);
        let targets = golden.i64s("y");
        let factors = golden.json["factors"].as_array().unwrap();
        let mut losses = Vec::new();
        for step in 0..steps {
            let features = x.clone().slice([step..step + 1, 0..batch, 0..dim]);
            let targets = &targets[step * batch..(step + 1) * batch];
            let targets: Vec<u32> = targets.iter().map(|&target| target as u32).collect();
            let factor = factors[step].as_f64().unwrap();
            found.step(features.squeeze_dim(0), &targets, factor);
            losses.extend(found.take_losses());
        }
        let expected = golden.f32s(&format!("{kind}.losses"));
        assert_close(kind, &losses, &expected, tolerance(1e-5));
        let logits = found.logits(golden.tensor("test", &device)).into_data();
        let logits: Vec<f32> = logits.iter::<f32>().collect();
        let expected = golden.f32s(&format!("{kind}.logits"));
        assert_close(kind, &logits, &expected, tolerance(1e-5));
    }

    #[test]
    fn lars_follows_its_formula_in_pytorch_for_every_norm() {
        check("lars", ProbeOptimizer::Lars, 20.0);
    }

    #[test]
    fn gradient_descent_follows_pytorch_for_every_norm() {
        check("nesterov", ProbeOptimizer::Nesterov, 1.0);
    }
}
