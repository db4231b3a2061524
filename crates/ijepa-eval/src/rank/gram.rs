//! Inner products of all pairs of vectors.

use crate::lanes::dot;

/// Positions of all vectors held at once, few enough to stay in the processor's cache.
const CHUNK: usize = 64;

/// The matrix `[count, count]` of inner products of `count` vectors of one length.
///
/// `value` gives the element of a vector at a position.
pub(crate) fn gram(count: usize, length: usize, value: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut gram = vec![0.0; count * count];
    let mut parts = vec![0.0; count * CHUNK];
    for start in (0..length).step_by(CHUNK) {
        for (vector, part) in parts.chunks_exact_mut(CHUNK).enumerate() {
            for (offset, element) in part.iter_mut().enumerate() {
                let position = start + offset;
                *element = if position < length {
                    value(vector, position)
                } else {
                    0.0
                };
            }
        }
        for (i, a) in parts.chunks_exact(CHUNK).enumerate() {
            for (j, b) in parts.chunks_exact(CHUNK).enumerate().take(i + 1) {
                gram[i * count + j] += dot(a, b);
            }
        }
    }
    for i in 0..count {
        for j in 0..i {
            gram[j * count + i] = gram[i * count + j];
        }
    }
    gram
}

#[cfg(test)]
mod tests {
    use super::gram;

    #[test]
    fn products_are_symmetric_and_complete() {
        for length in [1, 63, 64, 130] {
            let value = |vector: usize, position: usize| ((vector + 2) * (position % 5)) as f64;
            let found = gram(3, length, value);
            let squares: usize = (0..length).map(|position| (position % 5).pow(2)).sum();
            for (at, product) in found.into_iter().enumerate() {
                assert_eq!(product, ((at / 3 + 2) * (at % 3 + 2) * squares) as f64);
            }
        }
    }
}
