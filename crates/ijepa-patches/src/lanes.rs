//! Sums in f64 that the compiler can vectorise, and means.

/// Partial sums kept side by side; floating-point addition may not be reordered by the compiler.
const LANES: usize = 8;

/// Inner product of two vectors of one length, in eight sums that the compiler can vectorise.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

/// The mean row; not finite if there is none.
///
/// # Shapes
///
/// - `features`: `[rows, dim]`
/// - output: `[dim]`
///
/// # Panics
///
/// Panics if `dim` is 0.
pub fn mean_row(features: &[f32], dim: usize) -> Vec<f64> {
    let mut mean = vec![0.0; dim];
    for row in features.chunks_exact(dim) {
        for (sum, &value) in mean.iter_mut().zip(row) {
            *sum += f64::from(value);
        }
    }
    let rows = (features.len() / dim) as f64;
    mean.iter_mut().for_each(|sum| *sum /= rows);
    mean
}

#[cfg(test)]
mod tests {
    use super::dot;

    #[test]
    fn every_element_is_counted_once() {
        for length in [0, 1, 7, 8, 9, 31] {
            let a: Vec<f64> = (0..length).map(f64::from).collect();
            let expected: f64 = a.iter().map(|x| x * x).sum();
            assert_eq!(dot(&a, &a), expected);
        }
    }
}
