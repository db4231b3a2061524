//! Eigenvalues of a symmetric matrix, without eigenvectors.

use crate::lanes::dot;

/// Eigenvalues of a symmetric matrix `[order, order]`, the largest first, within a few units of
/// rounding of the largest.
///
/// The matrix is made tridiagonal by reflections (Golub and Van Loan, algorithm 8.3.1), and each
/// eigenvalue is enclosed by bisection (section 8.4.1), which always ends.
pub(super) fn symmetric(mut matrix: Vec<f64>, order: usize) -> Vec<f64> {
    let (diagonal, off) = tridiagonal(&mut matrix, order);
    let squares: Vec<f64> = off.iter().map(|value| value * value).collect();
    // Gershgorin: no eigenvalue is further from 0 than the largest absolute row sum.
    let bound = (0..order)
        .map(|i| {
            let left = if i > 0 { off[i - 1].abs() } else { 0.0 };
            let right = off.get(i).map_or(0.0, |value| value.abs());
            diagonal[i].abs() + left + right
        })
        .fold(0.0, f64::max);
    let resolution = bound * f64::EPSILON;
    let mut eigenvalues = Vec::with_capacity(order);
    let mut above = bound;
    for number in 0..order {
        // `order - number` eigenvalues lie below `above`, fewer below `below`.
        let mut below = -bound;
        while above - below > resolution {
            let middle = 0.5 * (above + below);
            if middle <= below || middle >= above {
                break;
            }
            if count_below(&diagonal, &squares, middle) < order - number {
                below = middle;
            } else {
                above = middle;
            }
        }
        eigenvalues.push(0.5 * (above + below));
    }
    eigenvalues
}

/// Reduces a symmetric matrix to its diagonal `[order]` and off-diagonal `[order - 1]`.
fn tridiagonal(matrix: &mut [f64], order: usize) -> (Vec<f64>, Vec<f64>) {
    let mut off = Vec::with_capacity(order);
    for step in 0..order.saturating_sub(1) {
        let start = step + 1;
        // The reflection that leaves only the first element of this row's tail.
        let mut mirror = matrix[step * order + start..start * order].to_vec();
        let norm = dot(&mirror, &mirror).sqrt();
        let rest = dot(&mirror[1..], &mirror[1..]);
        if rest == 0.0 {
            off.push(mirror[0]);
            continue;
        }
        let reflected = -norm.copysign(mirror[0]);
        mirror[0] -= reflected;
        off.push(reflected);
        let beta = 2.0 / dot(&mirror, &mirror);
        let rows = matrix[start * order..].chunks_exact_mut(order);
        let mut change: Vec<f64> = rows.map(|row| beta * dot(&row[start..], &mirror)).collect();
        let half = 0.5 * beta * dot(&change, &mirror);
        for (change, mirror) in change.iter_mut().zip(&mirror) {
            *change -= half * mirror;
        }
        let rows = matrix[start * order..].chunks_exact_mut(order);
        for ((row, &own_mirror), &own_change) in rows.zip(&mirror).zip(&change) {
            for ((value, &mirror), &change) in row[start..].iter_mut().zip(&mirror).zip(&change) {
                *value -= own_mirror * change + own_change * mirror;
            }
        }
    }
    let diagonal = (0..order).map(|i| matrix[i * order + i]).collect();
    (diagonal, off)
}

/// How many eigenvalues of a tridiagonal matrix lie below `x`: the number of negative pivots of
/// `T - x I` (Sylvester's law of inertia).
fn count_below(diagonal: &[f64], off_squares: &[f64], x: f64) -> usize {
    let mut pivot = 1.0;
    let mut count = 0;
    for (i, value) in diagonal.iter().enumerate() {
        let coupling = if i > 0 {
            off_squares[i - 1] / pivot
        } else {
            0.0
        };
        pivot = value - x - coupling;
        if pivot == 0.0 {
            // A pivot of exactly zero stands for a tiny one of either sign.
            pivot = f64::MIN_POSITIVE;
        }
        count += usize::from(pivot < 0.0);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `H diag(values) H` for the reflection `H` along a vector without zeros.
    fn rotated(values: &[f64]) -> Vec<f64> {
        let order = values.len();
        let vector: Vec<f64> = (0..order)
            .map(|i| 1.0 + (i as f64 * 0.7).sin() / 2.0)
            .collect();
        let length = dot(&vector, &vector);
        let h =
            |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * vector[i] * vector[j] / length;
        let product = |i: usize, j: usize| (0..order).map(|k| h(i, k) * values[k] * h(k, j)).sum();
        (0..order * order)
            .map(|at| product(at / order, at % order))
            .collect()
    }

    #[test]
    fn known_eigenvalues_are_found() {
        let spectra: [&[f64]; 7] = [
            &[3.0],
            &[2.0, -5.0],
            &[1.0, 1.0, 1.0],
            &[0.0, 0.0, 0.0, 7.0],
            &[1e12, 1e6, 1.0, 1e-3],
            &[0.0; 5],
            &[4.0, 4.0, -2.0, 9.0, 0.5, -2.0, 1.0, 3.0, 8.0, 6.5],
        ];
        for spectrum in spectra {
            let mut expected = spectrum.to_vec();
            expected.sort_by(|a, b| b.total_cmp(a));
            let scale = spectrum
                .iter()
                .fold(0.0f64, |most, value| most.max(value.abs()));
            for matrix in [rotated(spectrum), diagonal(spectrum)] {
                for (found, expected) in symmetric(matrix, spectrum.len()).iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() <= 1e-13 * scale,
                        "{found} {expected}"
                    );
                }
            }
        }
    }

    fn diagonal(values: &[f64]) -> Vec<f64> {
        let order = values.len();
        let mut matrix = vec![0.0; order * order];
        for (i, value) in values.iter().enumerate() {
            matrix[i * order + i] = *value;
        }
        matrix
    }

    #[test]
    fn the_second_difference_has_its_textbook_spectrum() {
        let order = 60;
        let mut matrix = diagonal(&vec![2.0; order]);
        for i in 1..order {
            matrix[i * order + i - 1] = -1.0;
            matrix[(i - 1) * order + i] = -1.0;
        }
        for (i, found) in symmetric(matrix, order).into_iter().enumerate() {
            let angle = std::f64::consts::PI * (order - i) as f64 / (order + 1) as f64;
            assert!((found - (2.0 - 2.0 * angle.cos())).abs() < 1e-13);
        }
    }
}
