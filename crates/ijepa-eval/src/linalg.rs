//! Symmetric matrices, each computed on one thread: results do not depend on how many there are.

use std::ops::Range;

use faer::{
    Accum, Mat, MatMut, Par,
    diag::Diag,
    dyn_stack::{MemBuffer, MemStack},
    linalg::{
        cholesky::llt::factor::{LltRegularization, cholesky_in_place, cholesky_in_place_scratch},
        evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch},
        matmul::triangular::{BlockStructure, matmul},
        triangular_solve::solve_lower_triangular_in_place,
    },
};

/// Smallest norm divided by, as in PyTorch's `normalize`.
pub(crate) const LEAST_NORM: f64 = 1e-12;
/// Positions of all vectors held at once.
const CHUNK: usize = 256;

/// Parts of `0..rows` of so many, the last of what is left.
pub(crate) fn blocks(rows: usize, block: usize) -> impl Iterator<Item = Range<usize>> {
    let firsts = (0..rows).step_by(block);
    firsts.map(move |first| first..rows.min(first + block))
}

/// The lower triangle of the inner products of all pairs of `count` vectors of one length,
/// `[count, count]`; zeros above it.
///
/// `value` gives the element of a vector at a position.
pub(crate) fn gram(count: usize, length: usize, value: impl Fn(usize, usize) -> f64) -> Mat<f64> {
    let mut gram = Mat::zeros(count, count);
    for start in (0..length).step_by(CHUNK) {
        let width = CHUNK.min(length - start);
        let part = Mat::from_fn(count, width, |vector, offset| value(vector, start + offset));
        let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
        let transposed = part.transpose();
        matmul(
            &mut gram,
            lower,
            Accum::Add,
            &part,
            full,
            transposed,
            full,
            1.0,
            Par::Seq,
        );
    }
    gram
}

/// Eigenvalues of a symmetric matrix, of which the lower triangle is read, the largest first.
pub(crate) fn eigenvalues(matrix: &Mat<f64>) -> Vec<f64> {
    let order = matrix.nrows();
    let mut values = Diag::zeros(order);
    let needed =
        self_adjoint_evd_scratch::<f64>(order, ComputeEigenvectors::No, Par::Seq, <_>::default());
    let mut memory = MemBuffer::new(needed);
    let stack = MemStack::new(&mut memory);
    self_adjoint_evd(
        matrix.as_ref(),
        values.as_mut(),
        None,
        Par::Seq,
        stack,
        <_>::default(),
    )
    .expect("finite symmetric matrices have eigenvalues");
    values.column_vector().iter().rev().copied().collect()
}

/// The lower triangle `L` of `L L^T = matrix`, of which the lower triangle is read and no
/// eigenvalue is negative. What rounding may have cost is added to the diagonal, so that there is
/// an `L`, and 1 to a matrix of zeros.
pub(crate) fn cholesky(mut matrix: Mat<f64>) -> Mat<f64> {
    let order = matrix.nrows();
    let largest = (0..order).fold(0.0f64, |most, i| most.max(matrix[(i, i)]));
    let rounding = match largest > 0.0 {
        true => largest * order as f64 * f64::EPSILON,
        false => 1.0,
    };
    (0..order).for_each(|i| matrix[(i, i)] += rounding);
    let needed = cholesky_in_place_scratch::<f64>(order, Par::Seq, <_>::default());
    let mut memory = MemBuffer::new(needed);
    let (stack, none) = (MemStack::new(&mut memory), LltRegularization::default());
    cholesky_in_place(matrix.as_mut(), none, Par::Seq, stack, <_>::default())
        .expect("the diagonal makes up for rounding");
    matrix
}

/// Makes `columns` `L^-1 columns`, for a lower triangle `L`.
pub(crate) fn solve(lower: &Mat<f64>, columns: MatMut<'_, f64>) {
    solve_lower_triangular_in_place(lower.as_ref(), columns, Par::Seq);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `H diag(values) H` for the reflection `H` along a vector without zeros.
    fn rotated(values: &[f64]) -> Mat<f64> {
        let order = values.len();
        let vector: Vec<f64> = (0..order)
            .map(|i| 1.0 + (i as f64 * 0.7).sin() / 2.0)
            .collect();
        let length: f64 = vector.iter().map(|value| value * value).sum();
        let h =
            |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * vector[i] * vector[j] / length;
        let product = |i: usize, j: usize| (0..order).map(|k| h(i, k) * values[k] * h(k, j)).sum();
        Mat::from_fn(order, order, product)
    }

    fn diagonal(values: &[f64]) -> Mat<f64> {
        let value = |i, j| if i == j { values[i] } else { 0.0 };
        Mat::from_fn(values.len(), values.len(), value)
    }

    #[test]
    fn products_are_complete_below_the_diagonal() {
        for length in [1, 255, 256, 515] {
            let value = |vector: usize, position: usize| ((vector + 2) * (position % 5)) as f64;
            let found = gram(3, length, value);
            let squares: usize = (0..length).map(|position| (position % 5).pow(2)).sum();
            for (i, j) in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)] {
                assert_eq!(found[(i, j)], ((i + 2) * (j + 2) * squares) as f64);
            }
        }
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
                for (found, expected) in eigenvalues(&matrix).iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() <= 1e-13 * scale,
                        "{found} {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_second_difference_has_its_textbook_spectrum() {
        let order = 60;
        let value = |i: usize, j: usize| match i.abs_diff(j) {
            0 => 2.0,
            1 => -1.0,
            _ => 0.0,
        };
        let matrix = Mat::from_fn(order, order, value);
        for (i, found) in eigenvalues(&matrix).into_iter().enumerate() {
            let angle = std::f64::consts::PI * (order - i) as f64 / (order + 1) as f64;
            assert!((found - (2.0 - 2.0 * angle.cos())).abs() < 1e-13);
        }
    }
}
