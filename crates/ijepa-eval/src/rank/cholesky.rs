//! Square roots of positive definite matrices.

/// The lower triangle `L` of `L L^T = matrix`, which is positive definite.
pub(crate) fn cholesky(mut matrix: Vec<f64>, order: usize) -> Vec<f64> {
    for i in 0..order {
        for j in 0..=i {
            let (a, b) = (i * order, j * order);
            let known: f64 = (0..j).map(|k| matrix[a + k] * matrix[b + k]).sum();
            let rest = matrix[a + j] - known;
            matrix[a + j] = if i == j {
                rest.max(f64::MIN_POSITIVE).sqrt()
            } else {
                rest / matrix[b + j]
            };
        }
    }
    matrix
}
