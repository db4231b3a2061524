//! Stochastic depth (Huang et al. 2016).

use burn::tensor::{Tensor, TensorData};
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

    /// Zeroes `branch`, `[batch, tokens, dim]`, for each sample with probability `rate` and
    /// divides the others by `1 - rate`.
    pub(crate) fn drop(&mut self, branch: Tensor<3>, rate: f64) -> Tensor<3> {
        let [batch, ..] = branch.dims();
        let keep = 1.0 - rate;
        let factor = |kept: bool| if kept { (1.0 / keep) as f32 } else { 0.0 };
        let factors: Vec<f32> = (0..batch)
            .map(|_| factor(self.rng.random_bool(keep)))
            .collect();
        let factors = TensorData::new(factors, [batch, 1, 1]);
        let device = branch.device();
        branch * Tensor::<3>::from_data(factors, &device)
    }
}
