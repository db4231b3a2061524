//! Terms that keep the features of a network apart, beside the prediction.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use ijepa_model::regularize::{Sketch, sigreg, variance_and_covariance};
//!
//! let features = Tensor::ones([2, 3, 8], &Device::flex()); // two images, three tokens each
//! let [variance, covariance] = variance_and_covariance(features.clone());
//! assert!(variance.into_scalar::<f32>() > 0.98); // all tokens are the same
//! assert!(covariance.into_scalar::<f32>() < 1e-6);
//! let directions = Sketch::for_group(0, 0, 0).directions(8, &features.device());
//! assert!(sigreg(features, directions).into_scalar::<f32>() > 1.0);
//! ```

use burn::tensor::{Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use ijepa_masking::stream;

/// Added to a variance before its root is taken (Bardes et al. 2022, §4.1).
const VARIANCE_EPSILON: f64 = 1e-4;
/// Directions along which [`sigreg`] looks; they are others in every step.
const DIRECTIONS: usize = 64;
/// The characteristic function is compared at `KNOT_STEP * k` for `k` from 1 to `KNOTS`, by
/// symmetry at 17 knots from -5 to 5; at 0 nothing can differ.
const KNOTS: usize = 8;
const KNOT_STEP: f64 = 0.625;

/// The variance and covariance terms of VICReg (Bardes et al. 2022, equations 1 to 4), with all
/// tokens as samples.
///
/// With the unbiased covariance `C` of the tokens: the mean over the width of
/// `max(0, 1 - sqrt(C_ii + 1e-4))`, and the sum over `i != j` of `C_ij^2` divided by the width.
///
/// # Shapes
///
/// - `features`: `[rows, tokens, width]`, f32
/// - outputs: `[1]`
pub fn variance_and_covariance(features: Tensor<3>) -> [Tensor<1>; 2] {
    let tokens = as_tokens(features);
    let [count, width] = tokens.dims();
    let centered = tokens.clone() - tokens.mean_dim(0);
    let others = count.saturating_sub(1).max(1) as f64;
    let squares = centered.clone().square().sum_dim(0) / others;
    let deviations = squares.clone().add_scalar(VARIANCE_EPSILON).sqrt();
    let variance = deviations.neg().add_scalar(1.0).clamp_min(0.0).mean();
    let covariance = centered.clone().transpose().matmul(centered) / others;
    let off_diagonal = covariance.square().sum() - squares.square().sum();
    [variance, off_diagonal / width as f64]
}

/// The random directions of [`sigreg`] in a mask group.
#[derive(Debug)]
pub struct Sketch {
    rng: ChaCha8Rng,
}

impl Sketch {
    /// Those of mask group `group` at `step` of a run with `seed`.
    pub fn for_group(seed: u64, step: u64, group: u64) -> Self {
        Self {
            rng: stream(seed, step, group, b"sketch\0\0"),
        }
    }

    /// The directions, uniform on the sphere: `[width, 64]`, columns of length 1.
    pub fn directions(&self, width: usize, device: &Device) -> Tensor<2> {
        let mut rng = self.rng.clone();
        let normal = StandardNormal.sample_iter(&mut rng);
        let values: Vec<f32> = normal.take(width * DIRECTIONS).collect();
        let directions = TensorData::new(values, [width, DIRECTIONS]);
        let directions = Tensor::<2>::from_data(directions, device);
        directions.clone() / directions.square().sum_dim(0).sqrt()
    }
}

/// How far the tokens are from an isotropic Gaussian: SIGReg (Balestriero and LeCun 2025,
/// "LeJEPA", with the statistic of Epps and Pulley).
///
/// Along each of the `directions`, with the empirical characteristic function `f` of the `n`
/// projected tokens: `n` times the integral over `t` from -5 to 5 of
/// `|f(t) - exp(-t^2 / 2)|^2 exp(-t^2 / 2)`, by trapezoids at 17 knots. The mean over directions.
///
/// # Shapes
///
/// - `features`: `[rows, tokens, width]`, f32
/// - `directions`: `[width, directions]`, columns of length 1, see [`Sketch::directions`]
/// - output: `[1]`
pub fn sigreg(features: Tensor<3>, directions: Tensor<2>) -> Tensor<1> {
    let tokens = as_tokens(features);
    let count = tokens.dims()[0];
    let projected = tokens.matmul(directions);
    let distance = (1..=KNOTS).map(|knot| {
        let t = KNOT_STEP * knot as f64;
        let gaussian = (-t * t / 2.0).exp();
        let ends = if knot == KNOTS { 0.5 } else { 1.0 };
        let angles = projected.clone().mul_scalar(t);
        let real = angles.clone().cos().mean_dim(0).sub_scalar(gaussian);
        let imaginary = angles.sin().mean_dim(0);
        let square = real.square() + imaginary.square();
        square.mul_scalar(2.0 * ends * KNOT_STEP * gaussian)
    });
    let distance = distance.reduce(|sum, next| sum + next);
    distance.expect("there are knots").mean() * count as f64
}

fn as_tokens(features: Tensor<3>) -> Tensor<2> {
    let [rows, tokens, width] = features.dims();
    features.reshape([rows * tokens, width])
}
