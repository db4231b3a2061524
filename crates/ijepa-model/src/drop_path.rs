//! Stochastic depth (Huang et al. 2016), and the seeds of what is random in a mask group.

use ijepa_masking::stream;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::regularize::Sketch;

/// The random numbers that drop residual branches in training.
///
/// Off in all pretraining recipes; fine-tuning uses it.
#[derive(Debug)]
pub struct StochasticDepth {
    streams: Streams,
}

#[derive(Debug)]
enum Streams {
    /// One stream that all samples of a group draw from in turn.
    Group(Box<ChaCha8Rng>),
    /// A stream for each sample.
    Samples(Vec<ChaCha8Rng>),
}

/// What decides the random numbers of one mask group in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupSeed {
    /// Seed of the run.
    pub seed: u64,
    /// Optimizer step, from 0.
    pub step: u64,
    /// Number of the group in the batch, from 0.
    pub group: u64,
}

impl GroupSeed {
    pub(crate) fn depth(self) -> StochasticDepth {
        StochasticDepth::for_group(self.seed, self.step, self.group)
    }

    pub(crate) fn sketch(self) -> Sketch {
        Sketch::for_group(self.seed, self.step, self.group)
    }
}

impl StochasticDepth {
    /// The random numbers of mask group `group` at `step` of a run with `seed`.
    pub fn for_group(seed: u64, step: u64, group: u64) -> Self {
        Self {
            streams: Streams::Group(Box::new(stream(seed, step, group, b"droppath"))),
        }
    }

    /// The random numbers of the samples in the places `samples` of the batch at `step` of a run
    /// with `seed`; how a batch is divided into passes changes nothing.
    pub fn for_samples(seed: u64, step: u64, samples: impl IntoIterator<Item = u64>) -> Self {
        let stream = |sample| stream(seed, step, sample, b"dropsamp");
        Self {
            streams: Streams::Samples(samples.into_iter().map(stream).collect()),
        }
    }

    /// Factors of a residual branch for each of `batch` samples: 0 with probability `rate`, else
    /// `1 / (1 - rate)`.
    ///
    /// # Panics
    ///
    /// Panics if the numbers are those of another number of samples.
    pub(crate) fn factors(&mut self, batch: usize, rate: f64) -> Vec<f32> {
        let keep = 1.0 - rate;
        let factor = |rng: &mut ChaCha8Rng| match rng.random_bool(keep) {
            true => (1.0 / keep) as f32,
            false => 0.0,
        };
        match &mut self.streams {
            Streams::Group(rng) => (0..batch).map(|_| factor(rng)).collect(),
            Streams::Samples(rngs) => {
                assert_eq!(rngs.len(), batch, "one stream for each sample");
                rngs.iter_mut().map(factor).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_are_dropped_at_the_rate_and_their_mean_is_kept() {
        let factors = StochasticDepth::for_samples(1, 2, 0..20_000).factors(20_000, 0.25);
        let dropped = factors.iter().filter(|&&factor| factor == 0.0).count();
        // Standard deviation 61: seven of them leave a false alarm rate below 1e-11.
        assert!(dropped.abs_diff(5_000) < 430, "{dropped}");
        let kept = |&factor: &f32| factor == 0.0 || factor == 4.0 / 3.0;
        assert!(factors.iter().all(kept));
        let none = StochasticDepth::for_group(1, 2, 3).factors(1_000, 0.0);
        assert!(none.iter().all(|&factor| factor == 1.0));
    }
}
