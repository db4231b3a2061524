//! What a probe is, as data.

use ijepa_train::half_cosine;
use serde::Serialize;

use super::{Pools, ProbeError};

/// What happens to features before a linear head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadNorm {
    /// Nothing.
    None,
    /// Batch norm with learned scale and offset, epsilon 1e-5 (VISSL's `eval_mlp`).
    Vissl,
    /// Batch norm without them, epsilon 1e-6, and small initial weights (MAE's linear probe).
    Mae,
}

/// How heads learn; the first two with momentum 0.9 and weight decay on weights and biases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOptimizer {
    /// LARS (You et al. 2017) with trust coefficient 0.001; biases and norms follow their plain
    /// gradient.
    Lars,
    /// Stochastic gradient descent with Nesterov's momentum, as PyTorch computes it.
    Nesterov,
    /// AdamW (Loshchilov and Hutter 2019) with PyTorch's constants and weight decay on everything
    /// but norms and biases; what attentive heads learn by, and only they.
    AdamW,
}

/// The course of the learning rate, a step an epoch.
#[derive(Debug, Clone, PartialEq)]
pub enum LrSchedule {
    /// A tenth from each of these shares of the run on.
    Steps(Vec<f64>),
    /// Half a cosine to this share of the first value.
    Cosine(f64),
}

impl LrSchedule {
    /// The factor of the learning rate in `epoch` of `epochs`, counted from 0.
    ///
    /// ```
    /// use ijepa_eval::LrSchedule;
    ///
    /// let thirds = LrSchedule::Steps(vec![0.3, 0.6, 0.9]);
    /// assert_eq!((thirds.factor(14, 50), thirds.factor(15, 50)), (1.0, 0.1));
    /// assert_eq!(thirds.factor(0, 1), 1.0);
    /// ```
    pub fn factor(&self, epoch: usize, epochs: usize) -> f64 {
        match self {
            Self::Steps(milestones) => {
                // Shares such as 0.3 are not exact; half an epoch decides, and the first has the
                // whole rate.
                let passed =
                    |&&share: &&f64| (share * epochs as f64).round().max(1.0) <= epoch as f64;
                0.1f64.powi(milestones.iter().filter(passed).count() as i32)
            }
            Self::Cosine(last) => half_cosine(1.0, *last, epoch as f64 / epochs as f64),
        }
    }
}

/// A probe: every pooling, norm, learning rate and weight decay is a head of its own, and
/// all heads learn from the same batches.
#[derive(Debug, Clone, PartialEq)]
pub struct ProbeConfig {
    /// What the heads see of the features.
    pub pools: Pools,
    /// What happens to it first.
    pub norms: Vec<HeadNorm>,
    /// Learning rates for batches of 256; they grow with the batch, but those of AdamW do not.
    pub lrs: Vec<f64>,
    /// Weight decays.
    pub weight_decays: Vec<f64>,
    /// How the heads learn.
    pub optimizer: ProbeOptimizer,
    /// Images of a step; all of them if there are fewer.
    pub batch_size: usize,
    /// Passes over the images; of each, the last partial batch is left out.
    pub epochs: usize,
    /// The course of the learning rate.
    pub schedule: LrSchedule,
    /// Decides initial weights and the order of the images.
    pub seed: u64,
}

impl ProbeConfig {
    /// Heads of each pooling: norm, learning rate of 256 images and weight decay.
    pub(super) fn grid(&self) -> Vec<(HeadNorm, f64, f64)> {
        let norms = self.norms.iter();
        let pairs = norms.flat_map(|&norm| self.lrs.iter().map(move |&lr| (norm, lr)));
        pairs
            .flat_map(|(norm, lr)| self.weight_decays.iter().map(move |&wd| (norm, lr, wd)))
            .collect()
    }

    /// Checks before anything is computed that every list has an element and every number is in
    /// its range.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Empty`], [`ProbeError::Value`] or [`ProbeError::Optimizer`].
    pub fn validate(&self) -> Result<(), ProbeError> {
        if self.norms.is_empty() {
            return Err(ProbeError::Empty { what: "batch norm" });
        }
        check_rates(&self.lrs, &self.weight_decays)?;
        let attentive = matches!(self.pools, Pools::Attentive { .. });
        let has_norm = self.norms.iter().any(|&norm| norm != HeadNorm::None);
        if attentive != (self.optimizer == ProbeOptimizer::AdamW) || (attentive && has_norm) {
            return Err(ProbeError::Optimizer);
        }
        for (key, count) in [("batch size", self.batch_size), ("epochs", self.epochs)] {
            check(key, count as f64, count > 0, "at least 1")?;
        }
        Ok(())
    }
}

/// Checks the rates and decays of which every pair has a head.
pub(crate) fn check_rates(lrs: &[f64], weight_decays: &[f64]) -> Result<(), ProbeError> {
    for (what, list) in [("learning rate", lrs), ("weight decay", weight_decays)] {
        if list.is_empty() {
            return Err(ProbeError::Empty { what });
        }
    }
    for &lr in lrs {
        let valid = lr > 0.0 && lr.is_finite();
        check("learning rate", lr, valid, "a number above 0")?;
    }
    for &decay in weight_decays {
        let valid = decay >= 0.0 && decay.is_finite();
        check("weight decay", decay, valid, "a number of at least 0")?;
    }
    Ok(())
}

pub(crate) fn check(
    key: &'static str,
    found: f64,
    valid: bool,
    expected: &'static str,
) -> Result<(), ProbeError> {
    match valid {
        true => Ok(()),
        false => Err(ProbeError::Value {
            key,
            found,
            expected,
        }),
    }
}
