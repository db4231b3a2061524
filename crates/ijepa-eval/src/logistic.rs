//! Multinomial logistic regression on frozen features, the low-shot protocol.

mod lbfgs;

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_kernels::{add_product, cross_entropy, linear, on_workers};

use crate::accuracy::Hits;
use crate::features::{Features, WidthError};
use crate::labels::Classes;
use crate::linalg::{LEAST_NORM, blocks};
use crate::probe::{
    HeadChoice, HeadNorm, HeadReport, LOGITS, Pools, ProbeError, ProbeReport, check, count,
};
use lbfgs::{Minimum, Stop, minimize};

/// A sweep over penalties.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticConfig {
    /// What the classifiers see of the features.
    pub pools: Pools,
    /// L2 penalties times the number of training images; scikit-learn's `C` is 1 over this.
    pub penalties: Vec<f64>,
    /// Largest component of the gradient at the minimum, relative to that at zero weights.
    pub tolerance: f64,
    /// Steps of L-BFGS for each penalty.
    pub max_iterations: usize,
}

impl Default for LogisticConfig {
    /// Both poolings; penalties around those of MSN's low-shot evaluation.
    fn default() -> Self {
        Self {
            pools: Pools::Both,
            penalties: vec![2.5, 0.25, 0.025, 0.0025, 0.00025],
            tolerance: 1e-4,
            max_iterations: 1000,
        }
    }
}

impl LogisticConfig {
    /// Checks before anything is computed that there are penalties and all numbers are in range.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Empty`] or [`ProbeError::Value`].
    pub fn validate(&self) -> Result<(), ProbeError> {
        if self.penalties.is_empty() {
            return Err(ProbeError::Empty { what: "penalty" });
        }
        for &penalty in &self.penalties {
            let valid = penalty > 0.0 && penalty.is_finite();
            check("penalty", penalty, valid, "a number above 0")?;
        }
        let valid = self.tolerance > 0.0 && self.tolerance < 1.0;
        check("tolerance", self.tolerance, valid, "a number from 0 to 1")
    }
}

/// Multinomial logistic regression without intercept on features that are centred and scaled to
/// unit length image by image, for every penalty.
///
/// Minimises `mean(cross-entropy) + penalty / (2 images) |W|^2` by L-BFGS, the largest penalty
/// first and each from the last solution. This is the low-shot evaluation of MSN (Assran et al.
/// 2022), with a sweep; the paper does not say how it classified with 1 % of the labels.
///
/// The host holds about 25 times the weights in f64.
///
/// # Errors
///
/// A [`ProbeError`] if the configuration is out of range, the sets do not go together or labels
/// are missing.
pub fn logistic(
    train: &Features,
    test: &Features,
    config: &LogisticConfig,
    device: &Device,
) -> Result<ProbeReport, ProbeError> {
    config.validate()?;
    let mut penalties = config.penalties.clone();
    penalties.sort_by(|a, b| b.total_cmp(a));
    WidthError::check(train.dim(), test.dim())?;
    let classes = Classes::of(train.labels(), test.labels())?;
    let device = device.clone().without_autodiff();
    let images = classes.train.len() as f64;
    let mut heads = Vec::new();
    for (pool, columns) in config.pools.columns(train.dim())? {
        let train = Task::new(train, &columns, &classes.train, classes.classes, &device);
        let test = Task::new(test, &columns, &classes.test, classes.classes, &device);
        let mut weights = vec![0.0; columns.len() * classes.classes];
        for &penalty in &penalties {
            let minimum = on_workers(&device, || train.solve(weights, penalty / images, config));
            weights = minimum.x;
            let accuracy = on_workers(&device, || test.hits(&weights)).accuracy();
            heads.push(HeadReport {
                head: HeadChoice {
                    pool,
                    batch_norm: HeadNorm::None,
                    lr: None,
                    weight_decay: penalty / images,
                },
                top1: accuracy.top1,
                top5: accuracy.top5,
                loss: Some(minimum.value),
            });
        }
    }
    let counts = [classes.train.len(), classes.test.len()];
    Ok(ProbeReport::new(heads, counts, classes.classes, counts[0]))
}

/// Images and classes on a device.
struct Task<'a> {
    /// `[images, dim]`, centred and of unit length.
    x: Tensor<2>,
    labels: &'a [u32],
    classes: usize,
    device: Device,
}

impl<'a> Task<'a> {
    fn new(
        features: &Features,
        columns: &Range<usize>,
        labels: &'a [u32],
        classes: usize,
        device: &Device,
    ) -> Self {
        let rows = (0..features.images())
            .flat_map(|image| centred_unit(&features.row(image)[columns.clone()]));
        let data = TensorData::new(rows.collect(), [features.images(), columns.len()]);
        Self {
            x: Tensor::from_data(data, device),
            labels,
            classes,
            device: device.clone(),
        }
    }

    fn solve(&self, start: Vec<f64>, penalty: f64, config: &LogisticConfig) -> Minimum {
        let (_, at_zero) = self.objective(&vec![0.0; start.len()], penalty);
        let scale = at_zero.iter().fold(0.0f64, |most, g| most.max(g.abs()));
        let stop = Stop {
            gradient: config.tolerance * scale,
            iterations: config.max_iterations,
        };
        minimize(start, stop, |weights| self.objective(weights, penalty))
    }

    /// `mean(cross-entropy) + penalty / 2 |W|^2` and its gradient; `weights` is `[dim, classes]`.
    fn objective(&self, weights: &[f64], penalty: f64) -> (f64, Vec<f64>) {
        let weight = self.tensor(weights);
        let mut product = weight.zeros_like();
        let mut total = 0.0;
        for rows in self.blocks() {
            let part = self.x.clone().slice([rows.clone(), 0..weight.dims()[0]]);
            let logits = self.logits(part.clone(), weight.clone());
            let (gradient, losses) = cross_entropy(logits, self.labels[rows].to_vec(), 1);
            let losses = losses.into_data();
            total += losses.iter::<f32>().map(f64::from).sum::<f64>();
            product = add_product(product, part, gradient);
        }
        let images = self.labels.len() as f64;
        let squares: f64 = weights.iter().map(|w| w * w).sum();
        let data = product.into_data();
        let gradient = data.iter::<f32>().zip(weights);
        let gradient = gradient.map(|(g, w)| f64::from(g) / images + penalty * w);
        (total / images + 0.5 * penalty * squares, gradient.collect())
    }

    fn hits(&self, weights: &[f64]) -> Hits {
        let weight = self.tensor(weights);
        let mut hits = [Hits::default()];
        for rows in self.blocks() {
            let part = self.x.clone().slice([rows.clone(), 0..weight.dims()[0]]);
            count(
                &mut hits,
                self.logits(part, weight.clone()),
                &self.labels[rows],
            );
        }
        hits[0]
    }

    fn logits(&self, x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
        linear(x, weight, Tensor::zeros([self.classes], &self.device), None)
    }

    fn tensor(&self, weights: &[f64]) -> Tensor<2> {
        let values: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
        let shape = [weights.len() / self.classes, self.classes];
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        blocks(self.labels.len(), (LOGITS / self.classes).max(1))
    }
}

/// A feature less its own mean, of unit length (cyanure's preprocessing of rows).
fn centred_unit(row: &[f32]) -> Vec<f32> {
    let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / row.len() as f64;
    let centred = row.iter().map(|&x| f64::from(x) - mean);
    let norm = centred
        .clone()
        .map(|x| x * x)
        .sum::<f64>()
        .sqrt()
        .max(LEAST_NORM);
    centred.map(|x| (x / norm) as f32).collect()
}

#[cfg(test)]
mod tests {
    use ijepa_testkit::{Golden, assert_close, device};

    use super::*;

    fn features(golden: &Golden, set: &str) -> Features {
        let values = golden.f32s(&format!("logistic.{set}"));
        let labels = golden.i64s(&format!("logistic.{set}_labels"));
        let dim = values.len() / labels.len();
        let labels = labels.into_iter().map(|label| Some(label as u32));
        Features::new(dim, values, labels.collect()).unwrap()
    }

    #[test]
    fn minima_are_those_of_scikit_learn() {
        let golden = Golden::load(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"),
            "probe",
        );
        let (train, test) = (features(&golden, "train"), features(&golden, "test"));
        let numbers = |key: &str| -> Vec<f64> {
            let list = golden.json[key].as_array().unwrap();
            list.iter().map(|value| value.as_f64().unwrap()).collect()
        };
        let config = LogisticConfig {
            pools: Pools::Given,
            penalties: numbers("penalties"),
            tolerance: 1e-6,
            ..LogisticConfig::default()
        };
        let report = logistic(&train, &test, &config, &device()).unwrap();
        for (head, (objective, top1)) in report
            .heads
            .iter()
            .zip(numbers("objectives").into_iter().zip(numbers("top1")))
        {
            let difference = head.loss.unwrap() / objective - 1.0;
            assert!(
                difference.abs() < 1e-6,
                "objective is off by {difference:e}"
            );
            assert!(
                (head.top1 - top1).abs() < 1e-9,
                "{} against {top1}",
                head.top1
            );
        }
        let best = numbers("top1").into_iter().fold(0.0, f64::max);
        assert!((report.top1 - best).abs() < 1e-9);

        let labels: Vec<u32> = train.labels().iter().flatten().copied().collect();
        let task = Task::new(&train, &(0..12), &labels, 7, &device());
        for penalty in numbers("penalties") {
            let name = format!("logistic.coef.{penalty:?}");
            let minimum = task.solve(vec![0.0; 12 * 7], penalty / labels.len() as f64, &config);
            let weights: Vec<f32> = minimum.x.iter().map(|&w| w as f32).collect();
            assert_close(&name, &weights, &golden.f32s(&name), 1e-3);
        }
    }

    #[test]
    fn features_are_centred_and_scaled_image_by_image() {
        assert_eq!(centred_unit(&[5.0, 5.0, 5.0]), [0.0; 3]);
        let unit = centred_unit(&[2.0, 4.0]);
        assert!((unit[1] - 0.5f32.sqrt()).abs() < 1e-6 && unit[0] == -unit[1]);
    }
}
