//! Which parts of a product are computed on their own.

/// Rows and columns of a piece are multiples of this, and so of every kernel's registers.
const UNIT: usize = 48;

/// Pieces of an output for each core, at most.
const PIECES: usize = 4;

/// Multiplications that take as long as packing a value.
const PACKING: usize = 32;

/// Up to so many rows and columns, products of the library are summed in another order, and so are
/// those of fewer values or of less than a few rows or columns.
const SMALL: usize = 64;
const LEAST_VALUES: usize = 16 * 16 + 1;
pub(super) const FEW: usize = 4;

/// Rows and columns of the pieces of an output, a few for each of some cores, that are computed
/// soonest. Sums do not depend on them: no piece is so small that it is summed in another order than
/// the whole, or else the whole is the only piece.
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
    let summed_alike = |&[height, width]: &[usize; 2]| {
        let (height, width) = (smallest(rows, height), smallest(cols, width));
        let is_wide = height >= FEW.min(rows) && width >= FEW.min(cols);
        is_wide && height.max(width) > SMALL && height * width >= LEAST_VALUES
    };
    let pieces = pieces.filter(summed_alike);
    pieces.min_by_key(time).unwrap_or([rows, cols])
}

/// The length of the fewest nearly equal parts of `len`, which is not 0, that are no longer than
/// `most`.
#[cfg(target_arch = "x86_64")]
pub(super) fn part(len: usize, most: usize) -> usize {
    len.div_ceil(len.div_ceil(most))
}

/// The length of the shortest part of `len` in parts of `size`.
fn smallest(len: usize, size: usize) -> usize {
    match len % size {
        0 => size.min(len),
        rest => rest,
    }
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
    fn no_piece_is_summed_in_another_order() {
        let pieces = |cores, rows: usize, cols: usize| {
            let [height, width] = piece(cores, rows, cols);
            rows.div_ceil(height) * cols.div_ceil(width)
        };
        assert_eq!(piece(2, 48, 192), [48, 96]);
        assert_eq!(piece(2, 1, 9600), [48, 4800]);
        // What would be left over is too narrow, and the halves too small.
        assert_eq!(pieces(2, 30, 97), 1);
        assert_eq!(pieces(8, 64, 64), 1);
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
