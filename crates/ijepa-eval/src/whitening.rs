//! Features whose directions all count the same.

use faer::{Mat, MatMut};
use rayon::prelude::*;

use crate::{
    features::Features,
    linalg::{cholesky, gram, solve},
};

/// Added to every variance, as a share of the mean variance: directions without any stay finite.
const RIDGE: f64 = 1e-6;

/// Images whitened together.
const BLOCK: usize = 256;

/// Subtracts a mean and makes a covariance the identity: `L^-1 (x - mean)` for `L L^T` the
/// covariance.
///
/// Any other whitening, such as by principal components, is a rotation of this one, so distances
/// and angles are the same. Whitened pixels are a stronger baseline than pixels.
///
/// ```
/// use ijepa_eval::{Features, Whitening};
///
/// let corners = vec![9.0, 0.1, 9.0, -0.1, -9.0, 0.1, -9.0, -0.1];
/// let features = Features::new(2, corners, vec![None; 4])?;
/// let whitened = Whitening::of(&features).apply(&features)?;
/// assert!((whitened.row(0)[1] - 1.0).abs() < 0.2);
/// # Ok::<(), ijepa_eval::FeaturesError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Whitening {
    mean: Vec<f64>,
    /// Lower triangle, `[dim, dim]`.
    lower: Mat<f64>,
}

impl Whitening {
    /// The whitening of `features`, which should be many more than they are wide.
    ///
    /// Takes about `images * dim^2 + dim^3` operations on the host.
    pub fn of(features: &Features) -> Self {
        let (dim, images) = (features.dim(), features.images());
        let mean = features.mean();
        let mut covariance = gram(dim, images, |column, image| {
            f64::from(features.row(image)[column]) - mean[column]
        });
        let total: f64 = (0..dim).map(|i| covariance[(i, i)] / images as f64).sum();
        for i in 0..dim {
            let column = covariance.col_mut(i).iter_mut();
            column.for_each(|value| *value /= images as f64);
            covariance[(i, i)] += RIDGE * total / dim as f64;
        }
        let lower = cholesky(covariance);
        Self { mean, lower }
    }

    /// Whitened features with the labels of `features`.
    ///
    /// # Errors
    ///
    /// A [`FeaturesError`](crate::FeaturesError) if a whitened value is not finite.
    ///
    /// # Panics
    ///
    /// Panics if the width is not that of the features it was made of.
    pub fn apply(&self, features: &Features) -> Result<Features, crate::FeaturesError> {
        let dim = features.dim();
        assert_eq!(dim, self.mean.len(), "features of another width");
        let mut values = features.values().to_vec();
        let blocks = values.par_chunks_mut(BLOCK * dim);
        blocks.for_each(|block| {
            let mean = self.mean.iter().cycle();
            let centered = block.iter().zip(mean);
            let mut exact: Vec<f64> = centered
                .map(|(&value, mean)| f64::from(value) - mean)
                .collect();
            let columns = MatMut::from_column_major_slice_mut(&mut exact, dim, block.len() / dim);
            solve(&self.lower, columns);
            let rounded = block.iter_mut().zip(exact);
            rounded.for_each(|(value, exact)| *value = exact as f32);
        });
        Features::new(dim, values, features.labels().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Correlated values of very different size around a mean.
    fn correlated() -> Features {
        let noise = |seed: u32| f64::from(seed.wrapping_mul(2_654_435_761) >> 8) / 16_777_216.0;
        let row = |image: u32| {
            let [a, b, c] = [0, 1, 2].map(|column| noise(3 * image + column) - 0.5);
            [100.0 * a + 7.0, 99.0 * a + b, 0.01 * c + a].map(|value| value as f32)
        };
        let values: Vec<f32> = (0..500).flat_map(row).collect();
        Features::new(3, values, vec![Some(1); 500]).unwrap()
    }

    #[test]
    fn the_covariance_becomes_the_identity() {
        let features = correlated();
        let whitened = Whitening::of(&features).apply(&features).unwrap();
        assert_eq!(whitened.labels(), features.labels());
        let mean = whitened.mean();
        assert!(mean.iter().all(|value| value.abs() < 1e-4), "{mean:?}");
        for i in 0..2 {
            for j in 0..2 {
                let products = (0..500).map(|image| {
                    let row = whitened.row(image);
                    f64::from(row[i]) * f64::from(row[j])
                });
                let covariance = products.sum::<f64>() / 500.0;
                let expected = f64::from(u8::from(i == j));
                assert!((covariance - expected).abs() < 0.02, "{i} {j} {covariance}");
            }
        }
    }

    #[test]
    fn directions_without_variance_stay_finite() {
        let values: Vec<f32> = (0..10).flat_map(|i| [i as f32, i as f32, 3.0]).collect();
        let features = Features::new(3, values, vec![None; 10]).unwrap();
        assert!(Whitening::of(&features).apply(&features).is_ok());
        let constant = Features::new(2, vec![1.0; 8], vec![None; 4]).unwrap();
        let whitened = Whitening::of(&constant).apply(&constant).unwrap();
        assert!(whitened.values().iter().all(|&value| value == 0.0));
    }
}
