//! Randomness as a function of what it is for, without state that lives between images.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a stream of random numbers decides; streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// The order of the images in an epoch.
    Order,
    /// The crop, flip and colours of one image.
    Augment,
    /// What a rendered image shows.
    Scene,
    /// The sensor noise of a rendered image.
    SceneNoise,
    /// How the images of one batch are mixed.
    Mixing,
    /// Which part of one image is erased, and the noise there.
    Erasing,
    /// Which images are measured in place of all.
    Sample,
    /// The initial weights of a linear head.
    ProbeHead,
    /// The initial weights of a diffusion decoder.
    DecoderWeights,
    /// How noisy a diffusion decoder's training image is, its noise, and whether it is told what
    /// the image shows.
    DiffusionTraining,
    /// The noise that a diffusion decoder makes an image of.
    DiffusionSample,
}

impl Purpose {
    /// The number in the key. Changing one changes every run, so they are written out.
    fn number(self) -> u64 {
        match self {
            Self::Order => 1,
            Self::Augment => 2,
            Self::Scene => 3,
            Self::SceneNoise => 4,
            Self::Mixing => 5,
            Self::Erasing => 6,
            Self::ProbeHead => 7,
            Self::Sample => 8,
            Self::DecoderWeights => 20,
            Self::DiffusionTraining => 21,
            Self::DiffusionSample => 22,
        }
    }
}

/// The generator of [`sample_rng`].
pub type SampleRng = ChaCha8Rng;

/// The generator for one decision about one image.
///
/// The 32-byte key is `seed`, `purpose`, `epoch` and `index` side by side, so equal arguments
/// give equal numbers on every machine, in every thread and after every resume, and different
/// arguments give unrelated ones.
///
/// # Examples
///
/// ```
/// use ijepa_data::{Purpose, sample_rng};
/// use rand::Rng;
///
/// let first = sample_rng(0, Purpose::Augment, 3, 17).next_u64();
/// assert_eq!(first, sample_rng(0, Purpose::Augment, 3, 17).next_u64());
/// assert_ne!(first, sample_rng(0, Purpose::Augment, 3, 18).next_u64());
/// ```
pub fn sample_rng(seed: u64, purpose: Purpose, epoch: u64, index: u64) -> SampleRng {
    let mut key = [0; 32];
    for (bytes, word) in key
        .chunks_exact_mut(8)
        .zip([seed, purpose.number(), epoch, index])
    {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

// The distributions are written here, since those of a library may change with its version and
// would then change every run.

/// Uniform on `[0, 1)`.
pub fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform on `[low, high)`; `low` if the two are equal.
pub(crate) fn uniform(rng: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * unit(rng)
}

/// Uniform on `0..bound`; the bias is below `bound / 2^64`.
pub(crate) fn below(rng: &mut impl Rng, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// Standard normal, by Box and Muller.
pub fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(rng)).cos()
}

/// Gamma of unit scale, by Marsaglia and Tsang (2000); `shape` more than 0.
fn gamma(rng: &mut impl Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        let raised = gamma(rng, shape + 1.0);
        return raised * (1.0 - unit(rng)).powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    loop {
        let x = normal(rng);
        let v = (1.0 + x / (9.0 * d).sqrt()).powi(3);
        let u = 1.0 - unit(rng);
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// Beta with both parameters `alpha`, on `[0, 1]`; `alpha` at least 0.1, so that nothing
/// underflows.
pub(crate) fn symmetric_beta(rng: &mut impl Rng, alpha: f64) -> f64 {
    let (first, second) = (gamma(rng, alpha), gamma(rng, alpha));
    first / (first + second)
}

/// Shuffles by Fisher and Yates, so that every order is equally likely.
pub(crate) fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(rng, last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_changes_the_stream() {
        let first =
            |seed, purpose, epoch, index| sample_rng(seed, purpose, epoch, index).next_u64();
        let base = first(1, Purpose::Order, 2, 3);
        assert_ne!(base, first(2, Purpose::Order, 2, 3));
        assert_ne!(base, first(1, Purpose::Augment, 2, 3));
        assert_ne!(base, first(1, Purpose::Order, 3, 3));
        assert_ne!(base, first(1, Purpose::Order, 2, 4));
    }

    #[test]
    fn numbers_never_change_between_versions() {
        let mut rng = sample_rng(1, Purpose::Augment, 2, 3);
        let drawn = [rng.next_u64(), rng.next_u64()];
        assert_eq!(
            drawn,
            [7_721_313_440_808_763_356, 4_010_224_085_778_835_155]
        );
    }

    #[test]
    fn draws_stay_in_their_interval_and_reach_every_value() {
        let mut rng = sample_rng(0, Purpose::Order, 0, 0);
        let mut counts = [0; 7];
        for _ in 0..7000 {
            counts[below(&mut rng, 7)] += 1;
            let x = uniform(&mut rng, -2.0, 3.0);
            assert!((-2.0..3.0).contains(&x));
        }
        // Standard deviation 29: seven of them leave a false alarm rate below 1e-10.
        assert!(
            counts.iter().all(|&count: &i32| count.abs_diff(1000) < 205),
            "{counts:?}"
        );
    }

    /// Checks mean, variance and fourth central moment within six of their standard errors, a
    /// false alarm rate of 2e-9 each, from 100,000 draws.
    fn check(draw: impl Fn(&mut SampleRng) -> f64, mean: f64, variance: f64, fourth: f64) {
        const N: f64 = 1e5;
        let mut rng = sample_rng(0, Purpose::Mixing, 0, 0);
        let draws: Vec<f64> = (0..N as usize).map(|_| draw(&mut rng)).collect();
        let moment = |power| draws.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / N;
        assert!(
            moment(1).abs() < 6.0 * (variance / N).sqrt(),
            "{}",
            moment(1)
        );
        let error = ((fourth - variance * variance) / N).sqrt();
        assert!((moment(2) - variance).abs() < 6.0 * error, "{}", moment(2));
        assert!((moment(4) / fourth - 1.0).abs() < 0.1, "{}", moment(4));
    }

    #[test]
    fn normal_and_beta_draws_have_their_moments() {
        check(normal, 0.0, 1.0, 3.0);
        for alpha in [0.1, 0.8, 1.0, 4.0] {
            let variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            let kurtosis = 3.0 - 6.0 / (2.0 * alpha + 3.0);
            let draw = |rng: &mut SampleRng| symmetric_beta(rng, alpha);
            check(draw, 0.5, variance, kurtosis * variance * variance);
        }
    }
}
