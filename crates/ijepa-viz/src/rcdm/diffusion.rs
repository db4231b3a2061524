//! Gaussian diffusion (Ho et al. 2020): noising, and making images of noise.

use burn::tensor::{Device, Tensor, TensorData};
use ijepa_data::{SampleRng, normal};

use super::config::COLORS;

/// Variances of the noise that the first and the last step add (Ho et al. 2020).
const VARIANCES: [f64; 2] = [1e-4, 0.02];

/// How much noise images have at each step.
#[derive(Debug, Clone, PartialEq)]
pub struct Diffusion {
    /// Share of the image's variance that is left after each step, `alpha_bar`.
    kept: Vec<f64>,
}

impl Default for Diffusion {
    /// The published one: 1000 steps.
    fn default() -> Self {
        Self::linear(1000)
    }
}

impl Diffusion {
    /// Noise whose variance grows linearly from `1e-4` to `0.02` over `steps` steps, at least 2.
    ///
    /// # Panics
    ///
    /// Panics with fewer steps.
    pub fn linear(steps: usize) -> Self {
        assert!(steps >= 2, "{steps} steps");
        let [first, last] = VARIANCES;
        let variance = |step| first + (last - first) * step as f64 / (steps - 1) as f64;
        let kept = (0..steps).scan(1.0, |kept, step| {
            *kept *= 1.0 - variance(step);
            Some(*kept)
        });
        Self {
            kept: kept.collect(),
        }
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.kept.len()
    }

    /// Images after `steps` steps (from 0), in one go (Ho et al. 2020, equation 4):
    /// `sqrt(alpha_bar) image + sqrt(1 - alpha_bar) noise`.
    ///
    /// # Shapes
    ///
    /// - `images`, `noise` and output: `[batch, rows, cols, 3]`
    /// - `steps`: `[batch]`
    ///
    /// # Panics
    ///
    /// Panics if there is no such step.
    pub fn noised(&self, images: Tensor<4>, noise: Tensor<4>, steps: &[usize]) -> Tensor<4> {
        let device = images.device();
        images * self.factors(steps, f64::sqrt, &device)
            + noise * self.factors(steps, rest, &device)
    }

    /// What the network predicts, `sqrt(alpha_bar) noise - sqrt(1 - alpha_bar) image`: the velocity
    /// (Salimans and Ho 2022), which is the noise where there is little and the image where there
    /// is much of it, so that neither is found by dividing by a small number.
    ///
    /// # Shapes
    ///
    /// - `images`, `noise` and output: `[batch, rows, cols, 3]`
    /// - `steps`: `[batch]`
    ///
    /// # Panics
    ///
    /// Panics if there is no such step.
    pub fn velocity(&self, images: Tensor<4>, noise: Tensor<4>, steps: &[usize]) -> Tensor<4> {
        let device = images.device();
        noise * self.factors(steps, f64::sqrt, &device)
            - images * self.factors(steps, rest, &device)
    }

    /// The noise in `images` after `steps` steps, given their velocity.
    ///
    /// # Shapes
    ///
    /// As of [`velocity`](Self::velocity).
    pub fn noise_of(&self, images: Tensor<4>, velocity: Tensor<4>, steps: &[usize]) -> Tensor<4> {
        let device = images.device();
        velocity * self.factors(steps, f64::sqrt, &device)
            + images * self.factors(steps, rest, &device)
    }

    /// A function of `alpha_bar` for each image, `[batch, 1, 1, 1]`.
    fn factors(&self, steps: &[usize], of: fn(f64) -> f64, device: &Device) -> Tensor<4> {
        let factors = steps.iter().map(|&step| of(self.kept[step]) as f32);
        per_image(factors.collect(), device)
    }

    /// `count` of the steps, evenly spread from the last to the first; a single one is the last.
    ///
    /// # Panics
    ///
    /// Panics if `count` is 0 or more than there are.
    pub fn spread(&self, count: usize) -> Vec<usize> {
        let steps = self.steps();
        assert!((1..=steps).contains(&count), "{count} of {steps} steps");
        let stride = (steps - 1) as f64 / (count.max(2) - 1) as f64;
        let step = |number: usize| steps - 1 - (number as f64 * stride).round() as usize;
        (0..count).map(step).collect()
    }

    /// One step back: from images at `step` to images at `before`, or to clean ones
    /// (Ho et al. 2020, equation 7, with the variance of the posterior).
    ///
    /// The image that the predicted velocity leads to is clipped to `[-1, 1]`.
    ///
    /// # Shapes
    ///
    /// - `images`, `velocity`, `noise` and output: `[batch, rows, cols, 3]`
    ///
    /// # Panics
    ///
    /// Panics if there is no such step.
    pub fn denoised(
        &self,
        images: Tensor<4>,
        velocity: Tensor<4>,
        noise: Tensor<4>,
        step: usize,
        before: Option<usize>,
    ) -> Tensor<4> {
        let kept = self.kept[step];
        let kept_before = before.map_or(1.0, |before| self.kept[before]);
        let alpha = kept / kept_before;
        let beta = 1.0 - alpha;
        let clean = images.clone().mul_scalar(kept.sqrt()) - velocity.mul_scalar(rest(kept));
        let clean = clean.clamp(-1.0, 1.0);
        let clean_share = kept_before.sqrt() * beta / (1.0 - kept);
        let image_share = alpha.sqrt() * (1.0 - kept_before) / (1.0 - kept);
        let mean = clean.mul_scalar(clean_share) + images.mul_scalar(image_share);
        let variance = beta * (1.0 - kept_before) / (1.0 - kept);
        mean + noise.mul_scalar(variance.sqrt())
    }
}

/// Standard deviation of the noise beside what is kept of the image.
fn rest(kept: f64) -> f64 {
    (1.0 - kept).sqrt()
}

/// Values of images one after the other, as `[batch, side, side, 3]`.
pub(crate) fn images_of(values: &[f32], side: usize, device: &Device) -> Tensor<4> {
    let batch = values.len() / (side * side * COLORS);
    Tensor::<1>::from_floats(values, device).reshape([batch, side, side, COLORS])
}

/// One value for each image, `[batch, 1, 1, 1]`.
pub(crate) fn per_image(values: Vec<f32>, device: &Device) -> Tensor<4> {
    let batch = values.len();
    Tensor::from_data(TensorData::new(values, [batch, 1, 1, 1]), device)
}

/// Standard normal noise for one image, `[side, side, 3]`.
pub(crate) fn noise(rng: &mut SampleRng, side: usize) -> impl Iterator<Item = f32> {
    (0..side * side * COLORS).map(move |_| normal(rng) as f32)
}

#[cfg(test)]
mod tests {
    use ijepa_data::{Purpose, sample_rng};
    use ijepa_testkit::{assert_close, device, values};

    use super::*;

    fn tensor(values: Vec<f32>) -> Tensor<4> {
        let shape = [1, 1, values.len() / 3, 3];
        Tensor::from_data(TensorData::new(values, shape), &device())
    }

    /// `alpha_bar` of Ho et al. (2020), multiplied out in double precision by NumPy.
    #[test]
    fn noise_grows_as_published() {
        let diffusion = Diffusion::default();
        let expected = [(0, 0.9999), (499, 0.078_587_243), (999, 4.035_829_9e-5)];
        for (step, kept) in expected {
            assert!((diffusion.kept[step] / kept - 1.0).abs() < 1e-6, "{step}");
        }
    }

    /// Adding the noise of every step one after the other comes to the same distribution as the
    /// closed form; 6000 values, mean and variance within five standard errors.
    #[test]
    fn closed_form_has_the_statistics_of_the_chain() {
        let diffusion = Diffusion::linear(20);
        let mut rng = sample_rng(0, Purpose::DiffusionTraining, 0, 0);
        let count = 6000;
        let image = vec![0.5f32; count];
        let mut draw = || -> Vec<f32> { (0..count).map(|_| normal(&mut rng) as f32).collect() };
        let mut chain = image.clone();
        for step in 0..20 {
            let before = if step == 0 {
                1.0
            } else {
                diffusion.kept[step - 1]
            };
            let alpha = diffusion.kept[step] / before;
            for (value, noise) in chain.iter_mut().zip(draw()) {
                *value = (alpha.sqrt() as f32) * *value + ((1.0 - alpha).sqrt() as f32) * noise;
            }
        }
        let direct = values(diffusion.noised(tensor(image), tensor(draw()), &[19]));
        let kept = diffusion.kept[19];
        for noised in [chain, direct] {
            let mean = noised.iter().map(|&x| f64::from(x)).sum::<f64>() / count as f64;
            let square = |x: &f32| (f64::from(*x) - mean).powi(2);
            let variance = noised.iter().map(square).sum::<f64>() / count as f64;
            let error = ((1.0 - kept) / count as f64).sqrt();
            assert!((mean - 0.5 * kept.sqrt()).abs() < 5.0 * error, "{mean}");
            let error = (1.0 - kept) * (2.0 / count as f64).sqrt();
            assert!((variance - (1.0 - kept)).abs() < 5.0 * error, "{variance}");
        }
    }

    /// If the predicted velocity is the true one, it has the noise, and the way back ends at the
    /// image.
    #[test]
    fn true_velocities_lead_back_to_the_image() {
        let diffusion = Diffusion::default();
        let image = vec![0.25, -0.75, 0.9, -0.1, 0.6, 0.0];
        let mut rng = sample_rng(1, Purpose::DiffusionSample, 0, 0);
        let steps = diffusion.spread(10);
        assert_eq!((steps[0], steps[9], steps.len()), (999, 0, 10));
        assert_eq!(diffusion.spread(1), [999]);
        let mut x = tensor((0..6).map(|_| normal(&mut rng) as f32).collect());
        for (number, &step) in steps.iter().enumerate() {
            let kept = diffusion.kept[step];
            let true_noise = x.clone() - tensor(image.clone()).mul_scalar(kept.sqrt());
            let true_noise = true_noise.div_scalar((1.0 - kept).sqrt());
            let velocity = diffusion.velocity(tensor(image.clone()), true_noise.clone(), &[step]);
            let noise = diffusion.noise_of(x.clone(), velocity.clone(), &[step]);
            assert_close("noise", &values(noise), &values(true_noise), 1e-5);
            let before = steps.get(number + 1).copied();
            let noise = tensor((0..6).map(|_| normal(&mut rng) as f32).collect());
            x = diffusion.denoised(x, velocity, noise, step, before);
        }
        assert_close("image", &values(x), &image, 1e-5);
    }
}
