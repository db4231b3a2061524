//! Stochastic depth (Huang et al. 2016).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The random numbers that drop residual branches in training.
///
/// Off in all pretraining recipes; fine-tuning uses it.
#[derive(Debug)]
pub struct StochasticDepth {
    rng: ChaCha8Rng,
}

impl StochasticDepth {
    /// The random numbers of mask group `group` at `step` of a run with `seed`.
    pub fn for_group(seed: u64, step: u64, group: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&step.to_le_bytes());
        key[16..24].copy_from_slice(&group.to_le_bytes());
        key[24..].copy_from_slice(b"droppath");
        Self {
            rng: ChaCha8Rng::from_seed(key),
        }
    }

    /// Factors of a residual branch for each of `batch` samples: 0 with probability `rate`, else
    /// `1 / (1 - rate)`.
    pub(crate) fn factors(&mut self, batch: usize, rate: f64) -> Vec<f32> {
        let keep = 1.0 - rate;
        let factor = |kept: bool| if kept { (1.0 / keep) as f32 } else { 0.0 };
        (0..batch)
            .map(|_| factor(self.rng.random_bool(keep)))
            .collect()
    }
}
