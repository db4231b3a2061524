//! Matrix products on one thread and on all.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use gemm::Parallelism;
use rayon::prelude::*;

use super::buffer::as_uninit;

/// Multiplications that are worth another thread.
const WORTHWHILE: usize = 1 << 19;

/// Rows and columns of a piece are multiples of this, and so of every kernel's registers.
const UNIT: usize = 48;

/// A matrix somewhere in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix {
    pub(super) start: *const f32,
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: isize,
    pub(super) col_stride: isize,
}

#[expect(unsafe_code, reason = "threads read the same operands")]
// SAFETY: nothing writes through a `Matrix`.
unsafe impl Send for Matrix {}
#[expect(unsafe_code, reason = "threads read the same operands")]
// SAFETY: as above.
unsafe impl Sync for Matrix {}

impl Matrix {
    /// Rows of `cols` values one after another.
    pub(super) fn of_rows(values: &[f32], cols: usize) -> Self {
        Self {
            start: values.as_ptr(),
            rows: values.len() / cols.max(1),
            cols,
            row_stride: cols as isize,
            col_stride: 1,
        }
    }

    /// A tensor of two dimensions, however it lies.
    pub(super) fn of(tensor: &FlexTensor) -> Self {
        let layout = tensor.layout();
        let [rows, cols] = layout.shape().dims::<2>();
        Self {
            start: tensor.storage::<f32>()[layout.start_offset()..].as_ptr(),
            rows,
            cols,
            row_stride: layout.strides()[0],
            col_stride: layout.strides()[1],
        }
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// At most `count` rows from row `first` on.
    fn some_rows(self, first: usize, count: usize) -> Self {
        Self {
            start: self.start.wrapping_offset(first as isize * self.row_stride),
            rows: count.min(self.rows - first),
            ..self
        }
    }

    /// At most `count` columns from column `first` on.
    fn some_cols(self, first: usize, count: usize) -> Self {
        self.transposed().some_rows(first, count).transposed()
    }
}

/// An output that several tasks write, each its own part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    start: *mut f32,
    len: usize,
}

#[expect(
    unsafe_code,
    reason = "parts interleave in memory, so no slices can split them"
)]
// SAFETY: every task writes its own part only.
unsafe impl Send for Output {}
#[expect(
    unsafe_code,
    reason = "parts interleave in memory, so no slices can split them"
)]
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    pub(super) fn new(values: &mut [MaybeUninit<f32>]) -> Self {
        Self {
            start: values.as_mut_ptr().cast(),
            len: values.len(),
        }
    }

    /// Writes `lhs rhs`, or adds it to what has been written before, on this thread: its first
    /// value is value `offset`, and rows are `stride` apart. No other task writes these values.
    pub(super) fn write(self, offset: usize, stride: usize, add: bool, lhs: Matrix, rhs: Matrix) {
        assert_eq!(lhs.cols, rhs.rows, "inner dimensions of a matrix product");
        self.check(offset, stride, lhs.rows, rhs.cols);
        #[expect(
            unsafe_code,
            reason = "the matrix product works on pointers and strides"
        )]
        // SAFETY: the output has room, nothing else writes these values, and callers made the
        // matrices of slices that they hold.
        unsafe {
            gemm::gemm(
                lhs.rows,
                rhs.cols,
                lhs.cols,
                self.start.add(offset),
                1,
                stride as isize,
                add,
                lhs.start,
                lhs.col_stride,
                lhs.row_stride,
                rhs.start,
                rhs.col_stride,
                rhs.row_stride,
                1.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }

    /// Zeroes `rows` rows of `cols` values. No other task writes these values.
    pub(super) fn clear(self, offset: usize, stride: usize, rows: usize, cols: usize) {
        self.check(offset, stride, rows, cols);
        for row in 0..rows {
            #[expect(
                unsafe_code,
                reason = "parts interleave in memory, so no slices can split them"
            )]
            // SAFETY: as for `write`; zero bytes are a valid f32.
            unsafe {
                self.start.add(offset + row * stride).write_bytes(0, cols);
            }
        }
    }

    fn check(self, offset: usize, stride: usize, rows: usize, cols: usize) {
        let end = offset + rows.saturating_sub(1) * stride + cols;
        assert!(end <= self.len, "a part ends outside of the output");
    }
}

/// `output = lhs rhs`, or `output += lhs rhs`, on this thread.
pub(super) fn product_here(output: &mut [f32], add: bool, lhs: Matrix, rhs: Matrix) {
    let (rows, cols) = (lhs.rows, rhs.cols);
    assert_eq!(output.len(), rows * cols, "output of a matrix product");
    Output::new(as_uninit(output)).write(0, cols, add, lhs, rhs);
}

/// `output = lhs rhs`, or `output += lhs rhs` of initialised values, on all cores.
///
/// Each computes a piece of the output as a product of its own. Sharing packed operands instead
/// has cores wait for each other: products of long inner dimensions take a tenth more time.
pub(super) fn product_into(output: &mut [MaybeUninit<f32>], add: bool, lhs: Matrix, rhs: Matrix) {
    let (rows, cols) = (lhs.rows, rhs.cols);
    assert_eq!(output.len(), rows * cols, "output of a matrix product");
    let output = Output::new(output);
    let cores = match rows * cols * lhs.cols {
        ..WORTHWHILE => 1,
        _ => rayon::current_num_threads(),
    };
    if cores == 1 {
        return output.write(0, cols, add, lhs, rhs);
    }
    let [height, width] = piece(cores, rows, cols);
    let across = cols.div_ceil(width);
    (0..rows.div_ceil(height) * across)
        .into_par_iter()
        .for_each(|number| {
            let (row, col) = (number / across * height, number % across * width);
            let (lhs, rhs) = (lhs.some_rows(row, height), rhs.some_cols(col, width));
            output.write(row * cols + col, cols, add, lhs, rhs);
        });
}

/// Rows and columns of the pieces of an output for some cores: the grid that reads least.
fn piece(cores: usize, rows: usize, cols: usize) -> [usize; 2] {
    // Each row of the grid reads the whole right operand, each column the whole left one.
    let read = |&down: &usize| down * cols + cores / down * rows;
    let grids = (1..=cores).filter(|down| cores.is_multiple_of(*down));
    let down = grids.min_by_key(read).unwrap_or(1);
    let size = |len: usize, parts: usize| len.div_ceil(parts).next_multiple_of(UNIT);
    [size(rows, down), size(cols, cores / down)]
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

    /// Pieces that end inside of the last unit, on either side.
    #[test]
    fn pieces_make_the_product_of_one_thread() {
        for (rows, inner, cols) in [(500, 70, 97), (49, 300, 500), (97, 1, 9000), (1, 9000, 97)] {
            let value = |at: usize| (at * 7919 % 1000) as f32 / 1000.0 - 0.5;
            let lhs: Vec<f32> = (0..rows * inner).map(value).collect();
            let rhs: Vec<f32> = (0..cols * inner).map(value).collect();
            let (lhs, rhs) = (Matrix::of_rows(&lhs, inner), Matrix::of_rows(&rhs, cols));
            for add in [false, true] {
                let mut expected = vec![1.0; rows * cols];
                let mut found = expected.clone();
                product_here(&mut expected, add, lhs, rhs);
                product_into(as_uninit(&mut found), add, lhs, rhs);
                ijepa_testkit::assert_close("product", &found, &expected, 1e-6);
            }
        }
    }
}
