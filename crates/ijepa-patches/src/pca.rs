//! The directions in which features vary most.

use crate::{dot, mean_row};

/// Rounds of orthogonal iteration; each shrinks errors by the ratio of neighbouring eigenvalues.
const ROUNDS: usize = 50;

/// Principal components of a set of features.
///
/// ```
/// use ijepa_patches::Pca;
///
/// let line = [0.0, 1.0, 3.0, 5.0, 6.0, 9.0];
/// let pca = Pca::fit(&line, 2, 1);
/// let length = |x: [f32; 2]| pca.project(&x)[0];
/// assert!((length([3.0, 5.0]) - 0.0).abs() < 1e-9);
/// assert!((length([6.0, 9.0]) - 5.0).abs() < 1e-9);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    mean: Vec<f64>,
    /// Orthonormal directions, the one of most variance first.
    directions: Vec<Vec<f64>>,
}

impl Pca {
    /// The first `components` directions, fewer if the features are narrower.
    ///
    /// Orthogonal iteration (Golub and Van Loan, section 8.2.4) from a fixed start: equal features
    /// give equal directions. Each has its largest element positive.
    ///
    /// # Shapes
    ///
    /// - `features`: `[rows, dim]`, at least one row
    ///
    /// # Panics
    ///
    /// Panics if `dim` is 0.
    pub fn fit(features: &[f32], dim: usize, components: usize) -> Self {
        let mean = mean_row(features, dim);
        let centered: Vec<Vec<f64>> = features
            .chunks_exact(dim)
            .map(|row| minus(row, &mean))
            .collect();
        let start = |number: usize| -> Vec<f64> {
            // A rising pitch: shifts of one sine wave would all lie in a plane.
            let chirp = |at: usize| (0.7 * (at as f64).powi(2)).sin();
            (1..=dim)
                .map(|column| chirp(number * dim + column))
                .collect()
        };
        let mut directions: Vec<Vec<f64>> = (0..components.min(dim)).map(start).collect();
        for _ in 0..ROUNDS {
            for direction in &mut directions {
                *direction = stretched(&centered, direction);
            }
            orthonormalize(&mut directions);
        }
        for direction in &mut directions {
            let largest = direction
                .iter()
                .copied()
                .max_by(|a, b| a.abs().total_cmp(&b.abs()));
            if largest.is_some_and(|value| value < 0.0) {
                direction.iter_mut().for_each(|value| *value = -*value);
            }
        }
        Self { mean, directions }
    }

    /// Coordinates of a feature vector along the directions.
    ///
    /// # Shapes
    ///
    /// - `feature`: `[dim]`
    /// - output: `[components]`
    pub fn project(&self, feature: &[f32]) -> Vec<f64> {
        let centered = minus(feature, &self.mean);
        let along = |direction: &Vec<f64>| dot(direction, &centered);
        self.directions.iter().map(along).collect()
    }

    /// Share of the variance of `features` along each direction, in `[0, 1]`; 0 if they do not
    /// vary.
    ///
    /// # Shapes
    ///
    /// - `features`: `[rows, dim]`
    /// - output: `[components]`
    pub fn explained(&self, features: &[f32]) -> Vec<f64> {
        let mut along = vec![0.0; self.directions.len()];
        let mut total = 0.0;
        for row in features.chunks_exact(self.mean.len()) {
            let centered = minus(row, &self.mean);
            total += dot(&centered, &centered);
            for (sum, direction) in along.iter_mut().zip(&self.directions) {
                *sum += dot(direction, &centered).powi(2);
            }
        }
        let share = |sum: f64| if total > 0.0 { sum / total } else { 0.0 };
        along.into_iter().map(share).collect()
    }
}

fn minus(feature: &[f32], mean: &[f64]) -> Vec<f64> {
    let pairs = feature.iter().zip(mean);
    pairs
        .map(|(&value, mean)| f64::from(value) - mean)
        .collect()
}

/// The scatter matrix times `direction`.
fn stretched(rows: &[Vec<f64>], direction: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; direction.len()];
    for row in rows {
        let along = dot(row, direction);
        for (sum, value) in sum.iter_mut().zip(row) {
            *sum += along * value;
        }
    }
    sum
}

/// Modified Gram-Schmidt; a direction without variance becomes zero.
fn orthonormalize(directions: &mut [Vec<f64>]) {
    for number in 0..directions.len() {
        let (before, rest) = directions.split_at_mut(number);
        let direction = &mut rest[0];
        let size = dot(direction, direction).sqrt();
        for other in before.iter() {
            let along = dot(other, direction);
            for (value, other) in direction.iter_mut().zip(other) {
                *value -= along * other;
            }
        }
        let norm = dot(direction, direction).sqrt();
        let scale = if norm > 1e-12 * size { 1.0 / norm } else { 0.0 };
        direction.iter_mut().for_each(|value| *value *= scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_of_known_variances_are_found_in_order() {
        // Rotated axes with standard deviations 8, 4, 2 and 1.
        let axes = [
            [0.5, 0.5, 0.5, 0.5],
            [0.5, -0.5, 0.5, -0.5],
            [0.5, 0.5, -0.5, -0.5],
            [0.5, -0.5, -0.5, 0.5],
        ];
        let mut values = Vec::new();
        for (number, axis) in axes.iter().enumerate() {
            for sign in [-1.0, 1.0] {
                let length = sign * f64::from(8 >> number);
                values.extend(axis.iter().map(|value| (10.0 + length * value) as f32));
            }
        }
        let pca = Pca::fit(&values, 4, 3);
        for (found, expected) in pca.explained(&values).into_iter().zip([64.0, 16.0, 4.0]) {
            assert!((found - expected / 85.0).abs() < 1e-6, "{found}");
        }
        for (number, axis) in axes[..3].iter().enumerate() {
            let point: Vec<f32> = axis
                .iter()
                .map(|value| (10.0 + 3.0 * value) as f32)
                .collect();
            for (component, found) in pca.project(&point).into_iter().enumerate() {
                let expected = if component == number { 3.0 } else { 0.0 };
                assert!(
                    (found.abs() - expected).abs() < 1e-6,
                    "{number} {component} {found}"
                );
            }
        }
    }

    #[test]
    fn features_without_variance_have_no_directions() {
        let constant = [2.0; 12];
        let pca = Pca::fit(&constant, 3, 5);
        assert_eq!(pca.project(&[2.0, 9.0, 2.0]), [0.0; 3]);
        assert_eq!(pca.explained(&constant), [0.0; 3]);
    }
}
