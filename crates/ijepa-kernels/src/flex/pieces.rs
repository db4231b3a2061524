//! Which parts of a product are computed on their own.

/// Rows and columns of a piece are multiples of this, and so of every kernel's registers.
const UNIT: usize = 48;

/// Pieces of an output for each core, at most.
const PIECES: usize = 4;

/// Multiplications that take as long as packing a value.
const PACKING: usize = 32;

/// Rows and columns of the pieces of an output, a few for each of some cores, that are computed
/// soonest. Sums do not depend on them.
pub(super) fn piece(cores: usize, rows: usize, cols: usize) -> [usize; 2] {
    let most = PIECES * cores;
    let size = |len: usize, parts: usize| len.div_ceil(parts).next_multiple_of(UNIT);
    let pieces = (1..=most).flat_map(|down| {
        (1..=most / down).map(move |across| [size(rows, down), size(cols, across)])
    });
    let time = |&[height, width]: &[usize; 2]| {
        let rounds = (rows.div_ceil(height) * cols.div_ceil(width)).div_ceil(cores);
        rounds * (height * width + PACKING * (height + width))
    };
    pieces.min_by_key(time).unwrap_or([rows, cols])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_follow_the_longer_side() {
        assert_eq!(piece(2, 3136, 1536), [1584, 1536]);
        assert_eq!(piece(2, 384, 1536), [384, 768]);
        assert_eq!(piece(16, 3136, 3136), [816, 816]);
        assert_eq!(piece(7, 10_000, 96), [1440, 96]);
    }

    #[test]
    fn a_prime_number_of_cores_is_kept_busy() {
        let busy = |cores, rows: usize, cols: usize| {
            let [height, width] = piece(cores, rows, cols);
            let pieces = rows.div_ceil(height) * cols.div_ceil(width);
            let capacity = pieces.div_ceil(cores) * cores * height * width;
            (rows * cols) as f64 / capacity as f64
        };
        for cores in [5, 7, 11, 13] {
            for (rows, cols) in [(384, 384), (384, 1536), (3136, 1536), (1152, 384)] {
                let busy = busy(cores, rows, cols);
                assert!(busy > 0.7, "{rows} x {cols} on {cores} cores: {busy}");
            }
        }
    }
}
